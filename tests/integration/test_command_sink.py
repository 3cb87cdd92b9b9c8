from __future__ import annotations

import base64
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from edge.alert.message import sample
from edge.config.alerts import AlertsSection
from edge.outbox.item import Delivered, Outcome, Poison, Retry
from edge.wiring.sinks import build_sink
from shared.errors import ConfigError
from tests.helpers.clock import FakeClock
from tests.helpers.waiting import wait_until


def run(
    code: str, *arguments: str, picture: bytes | None = None, clock: FakeClock | None = None
) -> Outcome:
    """Deliver an alert to a Python program, whose five seconds are over when the clock is moved."""
    section = {
        "kind": "command",
        "argv": [sys.executable, "-c", code, *arguments],
        "timeout_s": 5.0,
    }
    alerts = AlertsSection.model_validate({"sinks": {"siren": section}})
    sink = build_sink("siren", alerts, (), clock or FakeClock())
    return sink.deliver(sample("gate"), picture)


def run_out_of_time(code: str, told: Path) -> Outcome:
    """Deliver an alert to a program that hangs once it has told something."""
    clock = FakeClock()
    with ThreadPoolExecutor(1) as thread:
        outcome = thread.submit(run, code, str(told), clock=clock)
        try:
            wait_until(lambda: told.exists() and told.read_text().endswith("."))
        finally:
            wait_until(lambda: clock.advance(5.0) or outcome.done())
        return outcome.result()


def test_the_program_gets_the_alert_as_json_and_its_arguments_as_they_are(tmp_path: Path) -> None:
    out = tmp_path / "got"
    code = (
        "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.argv[2] + sys.stdin.read())"
    )
    assert run(code, str(out), "$(id); *", picture=b"jpeg" * 100_000) == Delivered()
    text = out.read_text()
    assert text.startswith("$(id); *{")
    said = json.loads(text.removeprefix("$(id); *"))
    assert said["camera"] == "gate"
    assert base64.b64decode(said["snapshot_base64"]) == b"jpeg" * 100_000
    assert "Supplements listed fire alarms" in said["text"]


def test_the_exit_status_tells_what_came_of_it() -> None:
    assert run("import sys; print('no modem'); sys.exit(3)") == Retry(
        reason="exit status 3: no modem"
    )
    assert run("import sys; sys.exit(65)") == Poison(reason="exit status 65")
    assert run("import os; os.kill(os.getpid(), 9)") == Retry(reason="exit status -9")


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import os, subprocess, sys, time, pathlib\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "pathlib.Path(sys.argv[1]).write_text(f'{os.getpid()} {child.pid} .')\n"
        "time.sleep(600)"
    )
    assert run_out_of_time(code, pids) == Retry(reason="did not end within 5 s")
    wait_until(lambda: not any(map(_lives, pids.read_text().split()[:2])))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it is still there
def test_a_program_that_may_not_be_ended_holds_up_no_alert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "pid"
    code = (
        "import os, sys, time, pathlib\n"
        "pathlib.Path(sys.argv[1]).write_text(f'{os.getpid()} .')\n"
        "time.sleep(600)"
    )

    def refused(group: int, sign: int) -> None:
        raise PermissionError(f"{group} runs as another user")

    monkeypatch.setattr("edge.alert.command_sink._ENDS_WITHIN_S", 0.1)
    monkeypatch.setattr("os.killpg", refused)
    assert run_out_of_time(code, pid) == Retry(reason="did not end within 5 s")
    left_behind = pid.read_text().split()[0]
    assert _lives(left_behind)
    psutil.Process(int(left_behind)).kill()


def test_a_program_that_talks_without_end_costs_no_memory() -> None:
    outcome = run("import os\nfor _ in range(2000): os.write(1, b'x' * 65536)\nraise SystemExit(1)")
    assert isinstance(outcome, Retry)
    assert len(outcome.reason) < 200


def test_a_program_that_never_reads_is_no_error() -> None:
    assert run("pass", picture=b"x" * 1_000_000) == Delivered()
    code = "import os, time; os.close(0); time.sleep(0.2)"
    assert run(code, picture=b"x" * 1_000_000) == Delivered()


def test_secrets_of_the_service_are_not_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBERLINK_EDGE__CLOUD__KEY", "hush")
    out = tmp_path / "got"
    code = "import os, sys, pathlib; pathlib.Path(sys.argv[1]).write_text(repr(dict(os.environ)))"
    assert run(code, str(out)) == Delivered()
    assert "hush" not in out.read_text()


def test_a_program_that_is_not_there_is_refused_at_start() -> None:
    alerts = AlertsSection.model_validate(
        {"sinks": {"siren": {"kind": "command", "argv": ["/no/such/program"]}}}
    )
    with pytest.raises(ConfigError, match=r"alerts\.sinks\.siren: argv: '/no/such/program'"):
        build_sink("siren", alerts, (), FakeClock())


def _lives(pid: str) -> bool:
    try:
        return bool(psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
