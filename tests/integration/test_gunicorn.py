from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import requests

from tests.helpers.pictures import fire_jpeg
from tests.helpers.processes import free_port, is_ready
from tests.helpers.waiting import wait_until

ROOT = Path(__file__).parents[2]


def test_the_cloud_answers_behind_gunicorn(tmp_path, models):
    port = free_port()
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
        wait_until(lambda: is_ready(port))
        answer = requests.post(
            f"http://127.0.0.1:{port}/infer",
            data=fire_jpeg(),
            headers={"Content-Type": "image/jpeg"},
            timeout=20,
        )
        assert answer.json()["result"]["label"] == "fire"
    finally:
        started.terminate()
        started.wait(40)
