"""What systemd hears of each service that has a unit: ready, alive, stopping."""

from __future__ import annotations

import itertools
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.processes import free_port
from tests.helpers.redis_server import redis_server

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy" / "systemd"


class Systemd:
    """The service manager's socket, and one service that was started as its unit says."""

    def __init__(self, folder: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.address = str(folder / "notify")
        self._socket.bind(self.address)
        self._socket.settimeout(60)

    def hears(self) -> str:
        return self._socket.recv(4096).decode()

    def hears_until(self, wanted: str) -> list[str]:
        heard = [self.hears()]
        while heard[-1] != wanted:
            heard.append(self.hears())
        return heard

    @contextmanager
    def runs(self, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        given = {**os.environ, **environment, "NOTIFY_SOCKET": self.address}
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, env=given, stderr=subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            self._socket.close()


def is_told_as_the_unit_expects(
    systemd: Systemd, process: subprocess.Popen[bytes], unit: str
) -> None:
    """See it start, live for three feeds of the watchdog, and stop, each within what its unit allows."""
    text = (UNITS / unit).read_text()
    allowed_s = {name: int(s) for name, s in re.findall(r"^(\w+Sec)=(\d+)$", text, re.MULTILINE)}
    assert "Type=notify" in text
    assert systemd.hears() == "READY=1"
    fed_mono_s = [time.monotonic()]
    for _ in range(3):
        assert systemd.hears() == "WATCHDOG=1"
        fed_mono_s.append(time.monotonic())
    pauses_s = [after - before for before, after in itertools.pairwise(fed_mono_s)]
    assert max(pauses_s) < allowed_s["WatchdogSec"] / 2  # as sd_watchdog_enabled(3) recommends
    process.terminate()
    assert set(systemd.hears_until("STOPPING=1")) <= {"WATCHDOG=1", "STOPPING=1"}
    assert process.wait(allowed_s["TimeoutStopSec"]) == 0


@pytest.mark.parametrize("service", ["edge", "cloud"])
def test_systemd_hears_a_service_start_live_and_stop(tmp_path, models, service):
    systemd = Systemd(tmp_path)
    arguments = ["--port", str(free_port()), "--state", str(tmp_path), "--models", str(models)]
    with systemd.runs(service, "run", *arguments) as process:
        is_told_as_the_unit_expects(systemd, process, f"emberlink-{service}.service")


def test_systemd_hears_a_worker_start_live_and_stop(tmp_path, models):
    systemd = Systemd(tmp_path)
    with redis_server(tmp_path) as redis:
        given = {"ENGINE__KIND": "redis", "REDIS__URL": redis.url, "MODELS": str(models)}
        environment = {f"EMBERLINK_CLOUD__{name}": value for name, value in given.items()}
        with systemd.runs("cloud", "worker", **environment) as process:
            is_told_as_the_unit_expects(systemd, process, "emberlink-worker@.service")
