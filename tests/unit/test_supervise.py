"""Heartbeats and troubles, with a clock that the test moves."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from shared.errors import FireError, StoreError
from shared.watch.service_manager import ServiceManager
from shared.watch.supervise import Supervisor
from shared.watch.trouble import Trouble, TroubleKind
from tests.helpers.clock import FakeClock


def _events(log: io.StringIO) -> list[str]:
    return [json.loads(line)["event"] for line in log.getvalue().splitlines()]


def _trouble(clock: FakeClock, **changes: object) -> Trouble:
    values = {
        "kind": TroubleKind.VIEW,
        "subject": "yard",
        "code": "black",
        "cause": "Nothing can be seen.",
        "remedy": "Clean the lens.",
        "since": clock.now_at(),
    }
    return Trouble(**{**values, **changes})  # type: ignore[arg-type] # a test's own values


def _acknowledge(supervisor: Supervisor, trouble: Trouble, by: str = "anna") -> Trouble:
    return supervisor.acknowledge(trouble.kind, trouble.subject, trouble.code, by=by)


# --- troubles --------------------------------------------------------------------------------------------------


def test_a_trouble_keeps_when_it_began_and_takes_the_newest_words(log):
    clock = FakeClock()
    supervisor = Supervisor(clock)
    supervisor.raise_trouble(_trouble(clock, cause="first"))
    began_at = clock.now_at()
    clock.advance(20)
    supervisor.raise_trouble(_trouble(clock, cause="second"))
    (active,) = supervisor.active()
    assert (active.since, active.cause) == (began_at, "second")
    assert _events(log) == ["trouble_began"]


def test_the_end_of_a_trouble_is_told_once_with_its_length(log):
    clock = FakeClock()
    supervisor = Supervisor(clock)
    supervisor.raise_trouble(_trouble(clock))
    clock.advance(42)
    clock.set_wall(clock.now_at() - timedelta(days=40))
    for _ in range(2):
        supervisor.clear(TroubleKind.VIEW, "yard")
    assert supervisor.active() == ()
    assert _events(log) == ["trouble_began", "trouble_ended"]
    assert json.loads(log.getvalue().splitlines()[-1])["lasted_s"] == 42


def test_clearing_one_finding_leaves_the_others_of_the_same_camera():
    clock = FakeClock()
    supervisor = Supervisor(clock)
    for code in ("black", "moved"):
        supervisor.raise_trouble(_trouble(clock, code=code))
    supervisor.clear(TroubleKind.VIEW, "yard", "black")
    assert [t.code for t in supervisor.active()] == ["moved"]


def test_a_rule_raises_what_it_tells_and_clears_what_it_no_longer_tells():
    clock = FakeClock()
    supervisor = Supervisor(clock)
    told = [_trouble(clock), _trouble(clock, subject="gate")]
    supervisor.add_rule(lambda: told)
    supervisor.look()
    assert [t.subject for t in supervisor.active()] == ["yard", "gate"]
    told.pop(0)
    supervisor.look()
    assert [t.subject for t in supervisor.active()] == ["gate"]


def test_a_rule_clears_nothing_that_somebody_else_raised():
    clock = FakeClock()
    supervisor = Supervisor(clock)
    supervisor.add_rule(lambda: [])
    supervisor.raise_trouble(_trouble(clock))
    supervisor.look()
    assert len(supervisor.active()) == 1


def test_a_rule_that_fails_is_told_once_and_silences_no_other(log):
    clock = FakeClock()
    supervisor = Supervisor(clock)
    supervisor.add_rule(lambda: 1 / 0)  # type: ignore[arg-type,return-value] # it fails before
    supervisor.add_rule(lambda: [_trouble(clock)])
    for _ in range(3):
        supervisor.look()
    assert len(supervisor.active()) == 1
    assert _events(log).count("rule_failed") == 1


def test_callers_that_invent_subjects_cannot_fill_the_memory():
    clock = FakeClock()
    supervisor = Supervisor(clock)
    for number in range(3000):
        supervisor.raise_trouble(_trouble(clock, subject=str(number)))
    assert len(supervisor.active()) == 1024


# --- acknowledging ---------------------------------------------------------------------------------------------


def test_a_seen_trouble_stays_as_long_as_it_holds():
    clock = FakeClock()
    supervisor = Supervisor(clock)
    supervisor.raise_trouble(_trouble(clock))
    _acknowledge(supervisor, _trouble(clock))
    supervisor.raise_trouble(_trouble(clock))
    (active,) = supervisor.active()
    assert (active.acknowledged_by, active.acknowledged_at) == ("anna", clock.now_at())


def test_a_trouble_that_comes_again_is_not_seen_yet():
    clock = FakeClock()
    supervisor = Supervisor(clock)
    supervisor.raise_trouble(_trouble(clock))
    _acknowledge(supervisor, _trouble(clock))
    supervisor.clear(TroubleKind.VIEW, "yard")
    supervisor.raise_trouble(_trouble(clock))
    assert supervisor.active()[0].acknowledged_at is None


def test_what_is_not_active_cannot_be_acknowledged():
    clock = FakeClock()
    with pytest.raises(FireError, match="no trouble view"):
        _acknowledge(Supervisor(clock), _trouble(clock))


def test_what_was_acknowledged_is_known_after_a_restart(tmp_path):
    clock = FakeClock()
    first = Supervisor(clock, tmp_path)
    first.raise_trouble(_trouble(clock))
    _acknowledge(first, _trouble(clock))
    began_at = clock.now_at()
    clock.advance(30)
    second = Supervisor(clock, tmp_path)  # the first one was killed
    assert second.active() == ()
    second.raise_trouble(_trouble(clock))
    (active,) = second.active()
    assert (active.since, active.acknowledged_by) == (began_at, "anna")


def test_a_state_folder_that_cannot_be_written_is_told_to_whoever_acknowledges(tmp_path):
    clock = FakeClock()
    supervisor = Supervisor(clock, tmp_path / "nowhere")
    supervisor.raise_trouble(_trouble(clock))
    with pytest.raises(StoreError, match="nowhere"):
        _acknowledge(supervisor, _trouble(clock))
    assert supervisor.active()[0].acknowledged_by == "anna"


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"[{}]", b'{"a": 1}', b"\xff\xfe"])
def test_kept_troubles_that_are_damaged_do_not_stop_a_start(tmp_path, content):
    (tmp_path / "troubles.json").write_bytes(content)
    assert Supervisor(FakeClock(), tmp_path).active() == ()


# --- restarts --------------------------------------------------------------------------------------------------


def _run(clock: FakeClock, folder: Path, *, ends_cleanly: bool) -> list[Trouble]:
    supervisor = Supervisor(clock, folder)
    supervisor.start()
    supervisor.stopping()
    if ends_cleanly:
        supervisor.stopped()
    return [t for t in supervisor.active() if t.kind is TroubleKind.RESTART]


def test_an_unclean_end_is_a_trouble_until_somebody_acknowledges_it(tmp_path):
    clock = FakeClock()
    assert _run(clock, tmp_path, ends_cleanly=False) == []
    (trouble,) = _run(clock, tmp_path, ends_cleanly=True)
    assert trouble.needs_acknowledgement
    supervisor = Supervisor(clock, tmp_path)  # ended cleanly, but nobody has seen the trouble yet
    assert [t.key for t in supervisor.active()] == [trouble.key]
    _acknowledge(supervisor, trouble)
    assert supervisor.active() == ()
    assert Supervisor(clock, tmp_path).active() == ()


def test_a_clean_end_is_no_trouble(tmp_path):
    clock = FakeClock()
    for _ in range(2):
        assert _run(clock, tmp_path, ends_cleanly=True) == []


# --- heartbeats ------------------------------------------------------------------------------------------------


def _silent(supervisor: Supervisor) -> list[str]:
    supervisor.look()
    return [t.subject for t in supervisor.active() if t.kind is TroubleKind.THREAD]


def test_a_silent_thread_is_a_trouble_until_it_beats_again():
    clock = FakeClock()
    supervisor = Supervisor(clock)
    supervisor.watch("line-yard", allowed_s=10)
    supervisor.watch("line-gate", allowed_s=10)
    clock.advance(9)
    supervisor.beat("line-gate")
    assert _silent(supervisor) == []
    clock.advance(2)
    assert _silent(supervisor) == ["line-yard"]
    supervisor.beat("line-yard")
    assert _silent(supervisor) == []


def test_a_silent_thread_is_replaced_once_and_then_given_time():
    clock, replaced = FakeClock(), []
    supervisor = Supervisor(clock)
    supervisor.watch("read-yard", allowed_s=10, restart=lambda: replaced.append(clock.mono_s()))
    clock.advance(11)
    for _ in range(9):
        assert _silent(supervisor) == ["read-yard"]
        clock.advance(1)
    assert len(replaced) == 1
    clock.advance(2)
    supervisor.look()
    assert len(replaced) == 2


def test_an_owner_that_cannot_replace_its_thread_ends_nothing(log):
    clock = FakeClock()
    supervisor = Supervisor(clock)
    supervisor.watch("read-yard", allowed_s=10, restart=lambda: 1 / 0)  # type: ignore[arg-type,return-value] # fails
    clock.advance(11)
    assert _silent(supervisor) == ["read-yard"]
    assert "restart_failed" in _events(log)


def test_a_thread_that_ended_as_it_should_is_not_missed():
    clock = FakeClock()
    supervisor = Supervisor(clock)
    supervisor.watch("read-yard", allowed_s=10)
    clock.advance(11)
    assert _silent(supervisor) == ["read-yard"]
    supervisor.unwatch("read-yard")
    assert _silent(supervisor) == []


def test_a_beat_of_an_unknown_thread_is_nothing():
    supervisor = Supervisor(FakeClock())
    supervisor.beat("invented")
    assert _silent(supervisor) == []


def test_only_a_vital_thread_makes_the_process_unfit():
    clock = FakeClock()
    supervisor = Supervisor(clock)
    supervisor.watch("read-yard", allowed_s=10)
    supervisor.watch("web-loop", allowed_s=10, is_vital=True)
    clock.advance(11)
    assert not supervisor.is_fit()
    supervisor.beat("web-loop")
    assert supervisor.is_fit()


# --- systemd ---------------------------------------------------------------------------------------------------


@pytest.fixture
def systemd(tmp_path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(10)
        yield listener


def test_systemd_is_told_of_start_life_and_stop(tmp_path, systemd):
    manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    supervisor = Supervisor(FakeClock(), manager=manager)
    supervisor.start()
    told = [systemd.recv(100) for _ in range(2)]
    supervisor.stopping()
    told.append(systemd.recv(100))
    assert told == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_the_watchdog_is_not_fed_while_a_vital_thread_is_silent(tmp_path, systemd):
    clock = FakeClock()
    supervisor = Supervisor(clock, manager=ServiceManager({"NOTIFY_SOCKET": systemd.getsockname()}))
    supervisor.watch("web-loop", allowed_s=5, is_vital=True)
    clock.advance(6)
    supervisor.start()
    assert systemd.recv(100) == b"READY=1"
    systemd.settimeout(2.5)
    with pytest.raises(TimeoutError):
        systemd.recv(100)
    supervisor.beat("web-loop")
    assert systemd.recv(100) == b"WATCHDOG=1"
    supervisor.stopping()


def test_without_systemd_nothing_is_sent_and_nothing_fails(log):
    for environment in ({}, {"NOTIFY_SOCKET": "/nowhere/at/all"}, {"NOTIFY_SOCKET": "@nobody"}):
        manager = ServiceManager(environment)
        for tell in (manager.ready, manager.alive, manager.stopping):
            tell()
    assert _events(log) == ["service_manager_unreachable"] * 2


def test_a_process_that_stood_still_blames_nobody(log):
    clock = FakeClock()
    supervisor = Supervisor(clock)
    supervisor.watch("line-yard", allowed_s=10)
    clock.advance(100)
    supervisor._excuse_after_standstill()
    assert _silent(supervisor) == []
    assert _events(log) == ["process_stood_still"]


def test_words_of_a_trouble_do_not_make_it_another_one():
    trouble = _trouble(FakeClock())
    assert replace(trouble, cause="other", remedy="other").key == trouble.key
