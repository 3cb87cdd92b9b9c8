"""A real Prometheus that scrapes what a test runs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.helpers.processes import free_port, wait_until_listening
from tests.helpers.waiting import wait_until

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")


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
        wait_until(lambda: self.query(expression))


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
    port = free_port()
    command = [
        str(PROMETHEUS),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        wait_until_listening(process, port, log)
        server = Prometheus(url=f"http://127.0.0.1:{port}")
        wait_until(lambda: requests.get(f"{server.url}/-/ready", timeout=20).ok)
        yield server
    finally:
        process.terminate()
        process.wait(40)
