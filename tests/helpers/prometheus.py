"""A real Prometheus that scrapes what a test runs."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
_START_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Prometheus:
    """A running server."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Ask for the value now; raises when the expression is wrong."""
        answer = requests.get(
            f"{self.url}/api/v1/query", params={"query": expression}, timeout=10
        ).json()
        assert answer["status"] == "success", answer
        return list(answer["data"]["result"])

    def value(self, expression: str) -> float:
        """Ask for the one value of an expression."""
        (found,) = self.query(expression)
        return float(found["value"][1])

    def wait_for(self, expression: str) -> None:
        """Wait until an expression has a value."""
        until_s = time.monotonic() + _START_S
        while not self.query(expression):
            assert time.monotonic() < until_s, expression
            time.sleep(0.2)


@contextmanager
def running_prometheus(
    folder: Path,
    rules: Path,
    jobs: Mapping[str, int],
    token_files: Mapping[str, Path] | None = None,
) -> Iterator[Prometheus]:
    """Run one for the length of a block; `jobs` are names with the ports that are scraped every second."""
    folder.mkdir(exist_ok=True)
    config = folder / "prometheus.yml"
    lines = ["global: {scrape_interval: 1s, evaluation_interval: 1s}", f"rule_files: [{rules}]"]
    lines.append("scrape_configs:")
    for job, port in jobs.items():
        lines.append(f"  - job_name: {job}")
        lines.append(f"    static_configs: [{{targets: ['127.0.0.1:{port}']}}]")
        if token_files and job in token_files:
            lines.append(f"    authorization: {{credentials_file: {token_files[job]}}}")
    config.write_text("\n".join(lines) + "\n")
    port = _free_port()
    command = [
        str(PROMETHEUS),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        server = Prometheus(url=f"http://127.0.0.1:{port}")
        _wait_until_ready(server)
        yield server
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_ready(server: Prometheus) -> None:
    until_s = time.monotonic() + _START_S
    while True:
        try:
            if requests.get(f"{server.url}/-/ready", timeout=2).status_code == 200:
                return
        except requests.ConnectionError:
            pass
        assert time.monotonic() < until_s, "Prometheus did not start"
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
