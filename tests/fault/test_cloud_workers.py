"""Workers that die, as processes: nothing is lost, and a picture that kills them is given up alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from shared.picture.imaging import encode_jpeg
from tests.helpers.pictures import fire_jpeg, noise_bgr
from tests.helpers.redis_server import redis_server
from tests.helpers.services import Running, running_cloud
from tests.helpers.stand_in_clouds import Exchange, stand_in_cloud
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.fault

ROOT = Path(__file__).parents[2]
_CLAIM_S = 2.0
_REDIS_S = 10.0  # it is not what is in trouble here
_POISON_PX = 48

# A worker whose model dies, as a segmentation fault would make it, when it is shown a picture of one certain size.
_WORKER = f"""
import os, sys
from shared.startup import prepare_libraries
prepare_libraries()
from shared.model.detector import Detector
prepare = Detector.prepare
def deadly(self, picture):
    if picture.width_px == {_POISON_PX}:
        os.kill(os.getpid(), 9)
    return prepare(self, picture)
Detector.prepare = deadly
run_batch = Detector.run_batch
def slow(self, tensors):
    import time
    time.sleep(float(os.environ.get("SLOW_S", "0")))
    return run_batch(self, tensors)
Detector.run_batch = slow
from cloud.cli import main
main(["worker"])
"""


@contextmanager
def _worker(
    models: Path, url: str, slow_s: float = 0.0, **more: str
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "EMBERLINK_CLOUD__ENGINE__KIND": "redis",
        "EMBERLINK_CLOUD__REDIS__URL": url,
        "EMBERLINK_CLOUD__REDIS__TIMEOUT_S": str(_REDIS_S),
        "EMBERLINK_CLOUD__REDIS__CLAIM_S": str(_CLAIM_S),
        "EMBERLINK_CLOUD__REDIS__DELIVERIES": "2",
        "EMBERLINK_CLOUD__MODELS": str(models),
        "SLOW_S": str(slow_s),
        **{f"EMBERLINK_CLOUD__CALLBACKS__{name}": value for name, value in more.items()},
    }
    process = subprocess.Popen([sys.executable, "-c", _WORKER], cwd=ROOT, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def _cloud(tmp_path: Path, models: Path, url: str, **more: Any) -> Iterator[Running]:
    sections: dict[str, Any] = {
        "engine": {"kind": "redis", "places": 32},
        "redis": {"url": url, "claim_s": _CLAIM_S, "timeout_s": _REDIS_S},
        "server": {"threads": 40},
        **more,
    }
    with running_cloud(tmp_path / "front", models, **sections) as cloud:
        yield cloud


def _workers(cloud: Running) -> int:
    return len(cloud.service.house._alive())


def test_nothing_is_lost_when_one_of_two_workers_is_killed_under_load(tmp_path, models):
    with (
        redis_server(tmp_path) as server,
        _cloud(tmp_path, models, server.url) as cloud,
        _worker(models, server.url, slow_s=0.1) as victim,
        _worker(models, server.url, slow_s=0.1),
    ):
        wait_until(lambda: _workers(cloud) == 2)
        answers: list[int] = []
        stop = threading.Event()

        def keep_asking() -> None:
            with requests.Session() as session:
                while not stop.is_set():
                    answer = session.post(
                        cloud.url + "/infer",
                        data=fire_jpeg(),
                        headers={"Content-Type": "image/jpeg"},
                        timeout=30,
                    )
                    answers.append(answer.status_code)

        jobs = [cloud.show("/infer/async", fire_jpeg()).json()["request_id"] for _ in range(20)]
        threads = [threading.Thread(target=keep_asking) for _ in range(12)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(answers) > 12)
        victim.send_signal(signal.SIGKILL)
        seen = len(answers)
        wait_until(lambda: len(answers) > seen + 24)  # of one worker alone
        stop.set()
        for thread in threads:
            thread.join()
        assert set(answers) == {200}
        for job_id in jobs:
            wait_until(lambda j=job_id: cloud.get(f"/infer/result/{j}").status_code == 200)


def test_a_picture_that_kills_workers_is_given_up_and_takes_no_other_with_it(tmp_path, models):
    poison = encode_jpeg(noise_bgr(_POISON_PX, _POISON_PX))
    with redis_server(tmp_path) as server, _cloud(tmp_path, models, server.url) as cloud:
        pictures = [fire_jpeg()] * 4 + [poison] + [fire_jpeg()] * 3
        jobs = [cloud.show("/infer/async", p).json()["request_id"] for p in pictures]
        deaths = 0
        ends_s = time.monotonic() + 60
        while cloud.get(f"/infer/result/{jobs[4]}").status_code == 202:
            assert time.monotonic() < ends_s
            with _worker(models, server.url) as worker:
                wait_until(
                    lambda w=worker: (
                        w.poll() is not None
                        or cloud.get(f"/infer/result/{jobs[4]}").status_code != 202
                    )
                )
                deaths += worker.poll() is not None
        with _worker(models, server.url):
            for job_id in (*jobs[:4], *jobs[5:]):
                wait_until(lambda j=job_id: cloud.get(f"/infer/result/{j}").status_code == 200)
        given_up = cloud.get(f"/infer/result/{jobs[4]}")
        assert (given_up.status_code, given_up.json()["err_no"]) == (500, 3008)
        assert deaths == 2


def test_a_worker_that_is_told_to_stop_finishes_its_batch(tmp_path, models):
    with (
        redis_server(tmp_path) as server,
        _cloud(tmp_path, models, server.url) as cloud,
        _worker(models, server.url, slow_s=1.0) as worker,
    ):
        wait_until(lambda: _workers(cloud) == 1)
        job_id = cloud.show("/infer/async", fire_jpeg()).json()["request_id"]
        wait_until(lambda: cloud.get(f"/infer/result/{job_id}").json()["status"] == "running")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(40) == 0
        assert cloud.get(f"/infer/result/{job_id}").status_code == 200
        assert _workers(cloud) == 0


def test_a_worker_that_is_told_to_stop_tells_what_waits_for_a_slow_receiver(tmp_path, models):
    def slowly(exchange: Exchange) -> None:
        time.sleep(1.5)
        exchange.reply(200)

    with redis_server(tmp_path) as server, stand_in_cloud(slowly) as receiver:
        url = f"{receiver.url}/hooks"
        callbacks = {"allowed": [url], "key": "a callback secret of enough length"}
        with (
            _cloud(tmp_path, models, server.url, callbacks=callbacks) as cloud,
            _worker(models, server.url, ALLOWED=json.dumps([url]), KEY=callbacks["key"]) as worker,
        ):
            wait_until(lambda: _workers(cloud) == 1)
            path = f"/infer/async?callback_url={url}"
            ids = [cloud.show(path, fire_jpeg()).json()["request_id"] for _ in range(2)]
            for job_id in ids:
                assert cloud.settled(job_id).status_code == 200
            wait_until(lambda: receiver.calls)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(40) == 0
        told = {json.loads(call.body)["request_id"] for call in receiver.calls}
        assert told == set(ids)
