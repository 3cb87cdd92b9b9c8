"""Who is let in, who is told to wait, and how a stopping service ends, on a real service."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from cloud.fleet.keys import add_key
from tests.helpers.clock import FakeClock
from tests.helpers.held_model import held_model
from tests.helpers.pictures import fire_jpeg
from tests.helpers.services import Running, running_cloud
from tests.helpers.signing import SignedBy
from tests.helpers.waiting import wait_until


def _post(cloud: Running, **headers: str) -> requests.Response:
    with requests.Session() as session:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return session.post(
            cloud.url + "/infer",
            data=fire_jpeg(),
            headers={"Content-Type": "image/jpeg", **given},
            timeout=20,
        )


def _posting(cloud: Running, count: int, answers: list[requests.Response]) -> list[Any]:
    threads = [threading.Thread(target=lambda: answers.append(_post(cloud))) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_a_caller_above_its_rate_is_told_when_to_come_back(tmp_path: Path, models: Path):
    clock = FakeClock()
    with running_cloud(tmp_path, models, clock=clock, rate={"per_s": 0.3, "burst": 3}) as cloud:
        answers = [cloud.show("/infer", fire_jpeg()) for _ in range(4)]
        assert [a.status_code for a in answers] == [200, 200, 200, 429]
        assert answers[-1].json()["err_no"] == 429
        come_back_s = int(answers[-1].headers["Retry-After"])
        assert cloud.show("/infer/async", fire_jpeg()).status_code == 429
        assert 'fire_cloud_dropped_total{reason="rate"} 2.0' in cloud.get("/metrics").text
        clock.advance(come_back_s)
        assert cloud.show("/infer", fire_jpeg()).status_code == 200


def test_a_full_house_refuses_before_a_body_is_even_looked_at(tmp_path: Path, models: Path):
    with running_cloud(tmp_path, models, engine={"places": 2}) as cloud, held_model(cloud) as model:
        answers: list[requests.Response] = []
        threads = _posting(cloud, 2, answers)
        wait_until(lambda: cloud.service.house.admission.taken == 2)
        refused = cloud.show("/infer", b"this would be a 400")
        assert (refused.status_code, refused.json()["err_no"]) == (503, 3004)
        assert int(refused.headers["Retry-After"]) >= 1
        assert 'fire_cloud_dropped_total{reason="full"} 1.0' in cloud.get("/metrics").text
        model.go_on.set()
        for thread in threads:
            thread.join()
        assert {a.status_code for a in answers} == {200}


def test_a_kept_answer_is_given_however_full_the_house_is(tmp_path: Path, models: Path):
    with running_cloud(tmp_path, models, engine={"places": 1}) as cloud:
        cloud.show("/infer", fire_jpeg(), Idempotency_Key="k1")
        with held_model(cloud) as model:
            answers: list[requests.Response] = []
            threads = _posting(cloud, 1, answers)
            wait_until(lambda: cloud.service.house.admission.taken == 1)
            again = cloud.show("/infer", fire_jpeg(), Idempotency_Key="k1")
            assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
            model.go_on.set()
            threads[0].join()


def test_callers_who_prefer_to_wait_leave_threads_for_the_others(tmp_path: Path, models: Path):
    sections = {"engine": {"places": 2}, "server": {"threads": 6}}
    with running_cloud(tmp_path, models, **sections) as cloud, held_model(cloud) as model:
        late = cloud.show("/infer", fire_jpeg(), Idempotency_Key="k1", X_Request_Deadline_Ms="200")
        assert late.status_code == 504
        answers: list[requests.Response] = []

        def wait() -> None:
            answers.append(_post(cloud, Idempotency_Key="k1", Prefer="wait=60"))

        threads = [threading.Thread(target=wait) for _ in range(8)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(answers) == 6)
        assert {a.status_code for a in answers} == {409}
        started_s = time.monotonic()
        assert cloud.get("/healthz").status_code == 200
        assert time.monotonic() - started_s < 10.0  # the waiting ones wait on
        assert len(answers) == 6
        model.go_on.set()
        for thread in threads:
            thread.join()
        assert [a.status_code for a in answers[6:]] == [200, 200]


def test_a_stopping_service_finishes_what_is_in_and_refuses_what_comes(
    tmp_path: Path, models: Path
):
    server = {"stop_timeout_s": 60.0}
    with running_cloud(tmp_path, models, server=server) as cloud, held_model(cloud) as model:
        answers: list[requests.Response] = []
        threads = _posting(cloud, 4, answers)
        wait_until(lambda: cloud.service.house.admission.taken == 4)
        stopping = threading.Thread(target=cloud.service.stop)
        stopping.start()
        wait_until(lambda: cloud.get("/readyz").status_code == 503)
        refused = cloud.show("/infer", fire_jpeg())
        assert (refused.status_code, refused.json()["retryable"]) == (503, True)
        assert cloud.show("/infer/async", fire_jpeg()).status_code == 503
        model.go_on.set()
        for thread in (*threads, stopping):
            thread.join(40)
        assert [a.status_code for a in answers] == [200] * 4


def test_a_stop_does_not_wait_longer_than_it_was_told(tmp_path: Path, models: Path):
    server = {"stop_timeout_s": 0.5}
    with running_cloud(tmp_path, models, server=server) as cloud, held_model(cloud) as model:
        answers: list[Any] = []

        def ask() -> None:
            try:
                answers.append(_post(cloud).status_code)
            except requests.RequestException as err:
                answers.append(type(err))

        thread = threading.Thread(target=ask)
        thread.start()
        wait_until(lambda: cloud.service.house.admission.taken == 1)
        started_s = time.monotonic()
        cloud.service.stop()
        assert time.monotonic() - started_s < 10.0
        model.go_on.set()
        thread.join(40)
        assert answers


@pytest.mark.parametrize("name", ["decode", "queue", "infer", "post"])
def test_every_stage_is_measured(tmp_path: Path, models: Path, name: str):
    with running_cloud(tmp_path, models) as cloud:
        cloud.show("/infer", fire_jpeg())
        assert f'fire_cloud_stage_seconds_count{{stage="{name}"}} 1.0' in cloud.get("/metrics").text


def test_one_edge_that_floods_does_not_starve_three_others(tmp_path: Path, models: Path):
    names = ("flood", "a", "b", "c")
    keys = {name: add_key(tmp_path / "keys.json", name) for name in names}
    with running_cloud(tmp_path, models, engine={"places": 8}, server={"threads": 40}) as cloud:
        detector = cloud.service.house.slot.current
        run_batch = detector.run_batch

        def slow(tensors: Any) -> Any:
            time.sleep(0.02)
            return run_batch(tensors)

        detector.run_batch = slow
        stop = threading.Event()
        statuses: dict[str, list[int]] = {name: [] for name in names}

        def keep_asking(name: str, pause_s: float) -> None:
            with requests.Session() as session:
                session.auth = SignedBy(name, keys[name])
                session.headers["Content-Type"] = "image/jpeg"
                while not stop.wait(pause_s):
                    answer = session.post(cloud.url + "/infer", data=fire_jpeg(), timeout=20)
                    statuses[name].append(answer.status_code)

        threads = [threading.Thread(target=keep_asking, args=("flood", 0.0)) for _ in range(16)]
        threads += [threading.Thread(target=keep_asking, args=(n, 0.1)) for n in names[1:]]
        for thread in threads:
            thread.start()
        wait_until(lambda: all(statuses[n].count(200) >= 5 for n in names[1:]))
        stop.set()
        for thread in threads:
            thread.join()
    assert statuses["flood"].count(503) > 10
    for name in names[1:]:
        answered = statuses[name].count(200)
        # The first may come before the house knows that it must share.
        assert answered >= len(statuses[name]) - 2, statuses[name]
