"""Programs of a test's own, started beside it: a free port, and waiting until they listen."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests

from tests.helpers.waiting import wait_until

_MOST_WORKERS = 16


def _own_ports() -> Iterator[int]:
    """Give the ports of this process of tests over and over: below those that the system gives away by itself.

    What lies between finding a port and listening on it is the start of a program; whatever else the machine opens
    meanwhile must not get the port.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    mine = range(20_000 + worker % _MOST_WORKERS, 32_000, _MOST_WORKERS)
    start = os.getpid() % len(mine)
    return itertools.cycle([*mine[start:], *mine[:start]])


_ports = _own_ports()


def free_port() -> int:
    """Find a port of this machine on which nothing listens now, and that nobody else will be given."""
    for port in itertools.islice(_ports, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("a hundred ports in a row are taken")


def wait_until_listening(process: subprocess.Popen[Any], port: int, log: Path) -> None:
    """Wait until a program takes connections; fails with its log when it ended instead."""

    def listens() -> bool:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            return False
        return True

    wait_until(listens)


def port_in_log(process: subprocess.Popen[Any], log: Path, event: str) -> int:
    """Wait for the line in which one of our services tells that it is ready, and give the port from it."""

    def port() -> int | None:
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
        told = [json.loads(line) for line in lines if line.endswith("}\n")]
        found = next((fields["port"] for fields in told if fields["event"] == event), None)
        assert found or process.poll() is None, "".join(lines)
        return found

    return int(wait_until(port) or 0)


def is_ready(port: int) -> bool:
    """Tell whether one of our services listens and says that it is ready."""
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=40).ok
    except requests.RequestException:
        return False
