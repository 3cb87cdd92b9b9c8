from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import requests

from tests.helpers.pictures import fire_jpeg

ROOT = Path(__file__).parents[2]


def test_the_cloud_answers_behind_gunicorn(tmp_path, models):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "--workers", "1", "--threads", "8"]
    command += ["--graceful-timeout", "1", "--no-control-socket"]
    started = subprocess.Popen(
        [*command, "--bind", f"127.0.0.1:{port}", "cloud.wsgi:application()"],
        cwd=ROOT,
        env={
            **os.environ,
            "EMBERLINK_CLOUD__STATE": str(tmp_path),
            "EMBERLINK_CLOUD__MODELS": str(models),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                if requests.get(f"{url}/readyz", timeout=2).ok:
                    break
            except requests.RequestException:
                time.sleep(0.1)
        answer = requests.post(
            f"{url}/infer", data=fire_jpeg(), headers={"Content-Type": "image/jpeg"}, timeout=10
        )
        assert answer.json()["result"]["label"] == "fire"
    finally:
        started.terminate()
        started.wait(20)
