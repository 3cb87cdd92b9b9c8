"""A real Redis of a test's own, on a free port of this machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.processes import free_port, wait_until_listening


class RedisServer:
    """A process that can be killed and started again."""

    def __init__(self, folder: Path, *, keeps: bool) -> None:
        """Choose a port; one that `keeps` has its data again after it was killed."""
        self._folder = folder
        self._keeps = keeps
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Tell where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start and wait until it answers."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--dir", str(self._folder)]
        command += ["--appendonly", "yes" if self._keeps else "no", "--appendfsync", "always"]
        command += ["--maxmemory-policy", "noeviction"]
        log = self._folder / "redis.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out)
        wait_until_listening(self._process, self.port, log)

    def client(self) -> Any:
        """Give a connection, for what an operator does to it."""
        import redis  # the package may be missing

        return redis.Redis(port=self.port)

    def kill(self) -> None:
        """End it at once."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def redis_server(folder: Path, *, keeps: bool = False) -> Iterator[RedisServer]:
    """Run a Redis for the length of a block; skip the test where none is installed."""
    pytest.importorskip("redis")
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    server = RedisServer(folder, keeps=keeps)
    server.start()
    try:
        yield server
    finally:
        server.kill()
