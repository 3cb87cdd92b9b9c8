"""What a worker of the Redis engine, as a process, tells whoever watches it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.helpers.pictures import fire_jpeg
from tests.helpers.processes import free_port, is_ready
from tests.helpers.redis_server import redis_server
from tests.helpers.services import cloud_settings, running_cloud
from tests.helpers.waiting import wait_until

ROOT = Path(__file__).parents[2]


@contextmanager
def worker(models: Path, url: str, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    settings = {
        "ENGINE__KIND": "redis",
        "REDIS__URL": url,
        "MODELS": str(models),
        "WORKER__PORT": str(port),
    }
    environment = {f"EMBERLINK_CLOUD__{name}": value for name, value in settings.items()}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "cloud", "worker"],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=out,
            stderr=out,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def told(port: int) -> dict[str, float]:
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=20).text
    rows = re.findall(r"^([^#\s]\S*) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in rows}


def test_a_worker_tells_that_it_lives_and_what_its_model_did(tmp_path, models):
    port = free_port()
    with redis_server(tmp_path) as redis:
        sections = {"engine": {"kind": "redis"}, "redis": {"url": redis.url}}
        log = tmp_path / "worker.log"
        with (
            worker(models, redis.url, port, log) as process,
            running_cloud(tmp_path / "front", models, **sections) as front,
        ):
            wait_until(lambda: is_ready(port))
            wait_until(lambda: front.get("/readyz").ok)
            assert front.show("/infer", fire_jpeg()).json()["result"]["label"] == "fire"
            job = front.show("/infer/async", fire_jpeg()).json()["request_id"]
            assert front.settled(job).status_code == 200
            wait_until(lambda: told(port)['fire_cloud_jobs_total{state="done"}'] == 1)
            metrics = told(port)
            process.terminate()
            assert process.wait(40) == 0, log.read_text()
    assert metrics["fire_cloud_infer_seconds_count"] == 2
    assert metrics["fire_cloud_batch_size_sum"] == 2
    assert metrics["fire_cloud_queue_wait_seconds_count"] == 2
    assert metrics['fire_cloud_stage_seconds_count{stage="decode"}'] == 2
    assert any(name.startswith('fire_cloud_model_info{name="cloud-detector"') for name in metrics)
    assert metrics['fire_cloud_trouble_active{kind="model"}'] == 0


def test_a_worker_s_metrics_stay_on_the_machine_where_metrics_are_closed(tmp_path, models):
    closed = {"access": {"metrics_are_open": False}}
    assert cloud_settings(tmp_path, models, worker={"port": 5002}, **closed).worker.port == 5002
    with pytest.raises(ValueError, match=r"access\.metrics_are_open"):
        cloud_settings(tmp_path, models, worker={"port": 5002, "host": "0.0.0.0"}, **closed)
