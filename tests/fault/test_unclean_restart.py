"""An edge that is killed says so when it comes back, until somebody has seen it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.helpers.processes import port_in_log


@contextmanager
def _edge(state: Path, models: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run the service as a process; it is stopped politely at the end if it still runs."""
    command = [sys.executable, "-m", "edge", "run", "--port", "0", "--policy", "edge_only"]
    command += ["--state", str(state), "--models", str(models)]
    environment = {**os.environ, "EMBERLINK_EDGE__MODEL__VARIANT": "fp32"}
    log = state.parent / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, env=environment)
        try:
            yield process, f"http://127.0.0.1:{port_in_log(process, log, 'edge_ready')}"
        finally:
            process.terminate()
            process.wait(40)


def _restarts(url: str) -> list[dict[str, Any]]:
    answer = requests.get(f"{url}/troubles", timeout=40).json()
    return [t for t in answer["result"]["troubles"] if t["kind"] == "restart"]


@pytest.mark.fault
def test_a_kill_is_told_until_it_is_acknowledged_and_a_stop_is_not(tmp_path, models):
    state = tmp_path / "state"
    with _edge(state, models) as (process, url):
        assert _restarts(url) == []
        process.send_signal(signal.SIGKILL)
        process.wait(40)
    with _edge(state, models) as (_, url):
        (trouble,) = _restarts(url)
        assert "was last alive at" in trouble["cause"]
        seen = {"kind": "restart", "code": "unclean", "by": "anna"}
        answer = requests.post(f"{url}/troubles/acknowledge", json=seen, timeout=40)
        assert answer.status_code == 200
    with _edge(state, models) as (_, url):
        assert _restarts(url) == []
