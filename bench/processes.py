"""The processes a measurement needs: the real edge service, callers, the bare loop. All on 127.0.0.1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

_START_S = 30.0  # the service promises to be ready within 20
_STOP_S = 20.0
_RUN_S = 600.0  # no load lasts longer; one that does has hung


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all measurements share: where the models are, the posted picture, and whether to be brief."""

    models: Path
    picture: Path
    is_quick: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer as a caller saw it."""

    ms: float
    status: int
    source: str | None
    reason: str | None
    fire: float | None
    smoke: float | None


class ServiceProcess:
    """A running service or worker."""

    def __init__(self, port: int, process: psutil.Process) -> None:
        """Keep what to measure."""
        self.port = port
        self._process = process

    def cpu_s(self) -> float:
        """Tell the CPU time it has used, user and system, all threads."""
        used = self._process.cpu_times()
        return float(used.user + used.system)

    def rss_mb(self) -> float:
        """Tell its resident memory."""
        return float(self._process.memory_info().rss) / 1e6


class EdgeProcess(ServiceProcess):
    """A running edge service."""

    def __init__(self, port: int, process: psutil.Process, log: Path) -> None:
        """Keep what to measure."""
        super().__init__(port, process)
        self._log = log

    def log_lines(self) -> list[dict[str, Any]]:
        """Give what it has logged so far."""
        with self._log.open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines if line.endswith("}\n")]


@contextmanager
def edge_service(
    setting: Setting, *flags: str, environment: Mapping[str, str] | None = None
) -> Iterator[EdgeProcess]:
    """Run `emberlink-edge` for the length of a block, on a free port and with a state folder of its own."""
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("wb") as log:
        command = [sys.executable, "-c", "from edge.cli import main; main()", "run", "--port", "0"]
        command += ["--models", str(setting.models), "--state", str(Path(folder, "state")), *flags]
        started = psutil.Popen(command, stderr=log, env={**os.environ, **(environment or {})})
        try:
            port = _port_of(started, Path(folder, "log"))
            yield EdgeProcess(port, started, Path(folder, "log"))
        finally:
            started.terminate()
            try:
                started.wait(_STOP_S)
            except psutil.TimeoutExpired:
                started.kill()
                started.wait()


def post(
    setting: Setting, port: int, *, count: int, callers: int, path: str = "/joint_predict"
) -> list[Answer]:
    """Post the picture `count` times in all from a process of its own, in the order of the answers."""
    lines = _run_module(
        "bench.callers",
        "--port",
        str(port),
        "--picture",
        str(setting.picture),
        "--count",
        str(count),
        "--callers",
        str(callers),
        "--path",
        path,
    )
    answers = [Answer(**json.loads(line)) for line in lines]
    if len(answers) != count:
        raise RuntimeError(f"{count} posts, {len(answers)} answers")
    return answers


def run_bare_loop(setting: Setting, count: int) -> dict[str, Any]:
    """Run the bare loop in a process of its own; gives `cpu_ms`, `latencies_ms` and its `answer`."""
    (line,) = _run_module(
        "bench.bare_loop",
        "--models",
        str(setting.models),
        "--picture",
        str(setting.picture),
        "--count",
        str(count),
    )
    found: dict[str, Any] = json.loads(line)
    return found


def _run_module(module: str, *flags: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", module, *flags],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=_RUN_S,
    )
    return done.stdout.splitlines()


def _port_of(process: psutil.Popen, log: Path) -> int:
    """Read the port from the line `edge_ready`, then wait until it answers."""
    until_mono_s = time.monotonic() + _START_S
    while time.monotonic() < until_mono_s:
        if process.poll() is not None:
            break
        for line in log.read_text(encoding="utf-8").splitlines():
            fields = json.loads(line)
            if fields["event"] == "edge_ready" and _is_answering(fields["port"]):
                return int(fields["port"])
        time.sleep(0.1)
    raise RuntimeError(f"the edge did not start:\n{log.read_text(encoding='utf-8')}")


def _is_answering(port: int) -> bool:
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/healthz", timeout=5
        ) as answer:  # our own
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False
