"""What the tour does to the services and asks of them, and what of it held."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from outside import Network

ROOT = Path(__file__).resolve().parents[2]


class Tour:
    """The tour: what was said, and what of it held."""

    def __init__(self, folder: Path) -> None:
        """Keep where everything is written."""
        self.folder = folder
        self.state = folder / "edge"
        self.config = folder / "edge.toml"
        self.held: list[tuple[bool, str]] = []
        self.edge_port, self.cloud_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.edge_port}"
        self._began_s = time.monotonic()

    def say(self, text: str) -> None:
        """Tell what happens now."""
        print(f"{time.monotonic() - self._began_s:6.1f} s  {text}", flush=True)

    def check(self, is_held: bool, text: str) -> None:
        """Write down whether something held."""
        self.held.append((is_held, text))
        self.say(f"{'held:' if is_held else 'NOT HELD:'} {text}")

    def start(self, service: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a service as an operator does; its lines go into a file."""
        with (self.folder / f"{service}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", service, "run", *arguments],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start_edge(self, network: Network) -> subprocess.Popen[bytes]:
        """Start the edge, its cloud at the other end of the cable."""
        cloud = f"http://127.0.0.1:{network.port}"
        common = ["--port", str(self.edge_port), "--cloud", cloud, "--state", str(self.state)]
        return self.start("edge", "--config", str(self.config), *common)

    def get(self, path: str) -> Any:
        """Ask the edge; the envelope is opened."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            body = json.load(answer)
        return body.get("result", body)

    def event(self) -> dict[str, Any]:
        """Give the newest event."""
        newest: dict[str, Any] = self.get("/events")["events"][0]
        return newest

    def post(self, picture: bytes) -> dict[str, Any]:
        """Ask the pair about a picture."""
        request = urllib.request.Request(
            self.url + "/joint_predict", picture, {"Content-Type": "image/jpeg"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            told: dict[str, Any] = json.load(answer)
        return told

    def acknowledge(self, event_id: str) -> None:
        """Say that a person has seen an event."""
        request = urllib.request.Request(
            f"{self.url}/events/{event_id}/acknowledge",
            b'{"by": "the tour"}',
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10):
            pass

    def waiting(self) -> int:
        """Count the messages that wait to be sent."""
        with urllib.request.urlopen(self.url + "/metrics", timeout=10) as answer:
            rows = answer.read().decode().splitlines()
        return sum(
            int(float(r.split()[-1])) for r in rows if r.startswith("fire_edge_outbox_items")
        )

    def until(self, is_true: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for something, at most so long."""
        ends_s = time.monotonic() + timeout_s
        while time.monotonic() < ends_s:
            with contextlib.suppress(OSError, ValueError):
                if is_true():
                    return True
            time.sleep(0.25)
        return False

    def edge_command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the edge."""
        return subprocess.run(
            [sys.executable, "-m", "edge", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )


def free_port() -> int:
    """Find a port of loopback that nobody has, below those that the system gives away while the box is restarted."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a service to stop, and make sure."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def stopped_at_end(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Stop a service when the tour is over, however it ends."""
    try:
        yield
    finally:
        stop(process)
