"""A Redis that is full, read-only, forgets, or is none: what was taken is answered, all else is told why."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.clock import FakeClock
from tests.helpers.held_model import HeldModel
from tests.helpers.pictures import fire_jpeg
from tests.helpers.redis_server import RedisServer, redis_server
from tests.helpers.services import Running, running_cloud
from tests.helpers.waiting import wait_until
from tests.helpers.workers import running_worker

pytestmark = pytest.mark.fault


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


def _sections(url: str, **more: Any) -> dict[str, Any]:
    return {"engine": {"kind": "redis"}, "redis": {"url": url, "timeout_s": 10.0, **more}}


def _troubles(cloud: Running) -> dict[str, str]:
    told = cloud.get("/troubles").json()["result"]["troubles"]
    return {trouble["code"]: trouble["cause"] for trouble in told}


@contextmanager
def _held(worker: Any) -> Iterator[HeldModel]:
    detector = worker._slot.current
    held = detector.run_batch = HeldModel(detector.run_batch)
    try:
        yield held
    finally:
        held.go_on.set()


def _fill(client: Any) -> None:
    client.config_set("maxmemory", "1mb")


def _forbid_writing(client: Any) -> None:
    client.replicaof("127.0.0.1", 1)


def test_what_was_taken_is_finished_when_redis_is_full_and_nothing_is_lost(
    tmp_path, models, server
):
    sections = _sections(server.url)
    with (
        running_cloud(tmp_path / "a", models, **sections) as cloud,
        running_worker(tmp_path / "w", models, **sections) as worker,
        ThreadPoolExecutor(1) as caller,
    ):
        wait_until(lambda: not _troubles(cloud))
        with _held(worker) as model:
            answer = caller.submit(cloud.show, "/infer", fire_jpeg(), Idempotency_Key="k1")
            assert model.is_running.wait(40)
            job_id = cloud.show("/infer/async", fire_jpeg()).json()["request_id"]
            _fill(server.client())
            refused = cloud.show("/infer/async", fire_jpeg())
            assert (refused.status_code, refused.json()["err_no"]) == (503, 3007)
            assert "maxmemory" in refused.json()["detail"]
        assert answer.result(20).json()["result"]["label"] == "fire"
        assert cloud.settled(job_id).json()["result"]["label"] == "fire"
        assert cloud.get("/infer/result/k1").json()["result"]["label"] == "fire"
        assert list(_troubles(cloud)) == ["redis_away"]
        assert "maxmemory" in _troubles(cloud)["redis_away"]
        assert cloud.get("/readyz").status_code == 503
        server.client().config_set("maxmemory", 0)
        wait_until(lambda: cloud.show("/infer", fire_jpeg()).status_code == 200)
        wait_until(lambda: not _troubles(cloud))


def test_a_worker_lives_on_in_a_redis_that_is_full(tmp_path, models, server, monkeypatch):
    monkeypatch.setattr("cloud.redis_engine.worker._BEAT_S", 0.05)
    monkeypatch.setattr("cloud.redis_engine.worker._ALIVE_S", 1)
    sections = _sections(server.url)
    with running_worker(tmp_path / "w", models, **sections) as worker:
        client = server.client()
        _fill(client)
        client.delete("emberlink:workers", f"emberlink:worker:{worker.name}")
        wait_until(lambda: client.smembers("emberlink:workers") == {worker.name.encode()})
        wait_until(lambda: client.exists(f"emberlink:worker:{worker.name}"))


@pytest.mark.parametrize("spoil", [_fill, _forbid_writing])
def test_a_front_end_with_a_model_answers_alone_while_redis_takes_nothing(
    tmp_path, models, server, spoil
):
    sections = _sections(server.url, fallback=True)
    with (
        running_cloud(tmp_path / "a", models, **sections) as cloud,
        running_worker(tmp_path / "w", models, **sections),
    ):
        wait_until(lambda: not _troubles(cloud))
        spoil(server.client())
        assert cloud.show("/infer", fire_jpeg()).json()["result"]["label"] == "fire"
        assert list(_troubles(cloud)) == ["redis_away"]
        assert cloud.get("/readyz").json()["status"] == "degraded"


def test_jobs_wait_out_a_redis_that_may_not_be_written_to_and_the_log_says_so_once(
    tmp_path, models, server, log, monkeypatch
):
    monkeypatch.setattr("cloud.redis_engine.worker._PAUSE_S", 0.02)
    sections = _sections(server.url)
    with (
        running_cloud(tmp_path / "a", models, **sections) as cloud,
        running_worker(tmp_path / "w", models, **sections) as worker,
    ):
        wait_until(lambda: not _troubles(cloud))
        with _held(worker) as model:
            first = cloud.show("/infer/async", fire_jpeg()).json()["request_id"]
            assert model.is_running.wait(40)
            second = cloud.show("/infer/async", fire_jpeg()).json()["request_id"]
            _forbid_writing(server.client())
        wait_until(lambda: "read only" in _troubles(cloud).get("redis_away", ""))
        tries = []
        monkeypatch.setattr(worker, "_turn", lambda turn=worker._turn: tries.append(1) or turn())
        wait_until(lambda: len(tries) > 5)
        server.client().replicaof("no", "one")
        assert [cloud.settled(job_id).status_code for job_id in (first, second)] == [200, 200]
    assert log.getvalue().count("worker_turn_failed") == 1


def test_who_waits_when_redis_forgets_is_told_and_lost_jobs_are_a_trouble(tmp_path, models, server):
    sections = _sections(server.url)
    with (
        running_cloud(tmp_path / "a", models, **sections) as cloud,
        running_worker(tmp_path / "w", models, **sections) as worker,
        ThreadPoolExecutor(1) as caller,
    ):
        wait_until(lambda: not _troubles(cloud))
        with _held(worker) as model:
            answer = caller.submit(
                cloud.show, "/infer", fire_jpeg(), X_Request_Deadline_Ms="600000"
            )
            assert model.is_running.wait(40)
            job_id = cloud.show("/infer/async", fire_jpeg()).json()["request_id"]
            server.client().flushall()
            told = answer.result(20)  # long before its deadline
        assert (told.status_code, told.json()["err_no"]) == (504, 3002)  # it was running
        assert "lost" in told.json()["detail"]
        assert cloud.get(f"/infer/result/{job_id}").status_code == 404
        wait_until(lambda: "redis_lost" in _troubles(cloud))
        assert cloud.show("/infer", fire_jpeg()).json()["result"]["label"] == "fire"
        with running_cloud(tmp_path / "b", models, **sections) as another:  # may be asked for them
            wait_until(lambda: "redis_lost" in _troubles(another))
            seen = {"kind": "link", "subject": "redis", "code": "redis_lost", "by": "Ada"}
            assert another.post("/troubles/acknowledge", json=seen).status_code == 200
            wait_until(lambda: not _troubles(another))
            wait_until(lambda: not _troubles(cloud))  # what is seen at one is seen at all
            server.client().flushall()
            wait_until(lambda: "redis_lost" in _troubles(cloud))


def test_a_redis_that_keeps_its_data_is_killed_over_pictures_and_all_are_answered(tmp_path, models):
    with redis_server(tmp_path, keeps=True) as server:
        sections = _sections(server.url, claim_s=2.0)
        with (
            running_cloud(tmp_path / "a", models, **sections) as cloud,
            running_worker(tmp_path / "w", models, **sections) as worker,
            ThreadPoolExecutor(1) as caller,
        ):
            wait_until(lambda: not _troubles(cloud))
            with _held(worker) as model:
                answer = caller.submit(_alone, cloud, Idempotency_Key="k1")
                assert model.is_running.wait(40)
                jobs = [cloud.show("/infer/async", fire_jpeg()).json()["request_id"] for _ in "12"]
                server.kill()
                assert answer.result(50).json()["err_no"] == 3002
                server.start()
                wait_until(lambda: not _troubles(cloud))
            told = [cloud.settled(name) for name in ("k1", *jobs)]
            assert [t.json()["result"]["label"] for t in told] == ["fire"] * 3
            link, client = cloud.service.house._link, server.client()
            wait_until(lambda: client.xlen(link.now) == client.xlen(link.later) == 0)
            assert client.get(f"{link.later}:bytes") == b"0"
            assert "redis_lost" not in _troubles(cloud)


def test_a_worker_that_went_without_a_word_is_told_once_in_the_log(tmp_path, models, server, log):
    client, sections = server.client(), _sections(server.url)
    with (
        running_cloud(tmp_path / "a", models, **sections),
        running_cloud(tmp_path / "b", models, **sections),
    ):
        client.sadd(
            "emberlink:workers", "box-7-abc"
        )  # what a killed one leaves, when its word has expired
        wait_until(lambda: not client.smembers("emberlink:workers"))
    assert log.getvalue().count("worker_lost") == 1


def test_a_redis_that_may_throw_jobs_away_is_a_trouble_and_one_that_does_not_say_is_none(
    tmp_path, models, server
):
    sections = _sections(server.url)
    client = server.client()
    with (
        running_cloud(tmp_path / "a", models, **sections) as cloud,
        running_worker(tmp_path / "w", models, **sections),
    ):
        wait_until(lambda: not _troubles(cloud))
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", "100mb")
        wait_until(lambda: "redis_evicts" in _troubles(cloud))
        assert "allkeys-lru" in _troubles(cloud)["redis_evicts"]
        client.execute_command("ACL", "SETUSER", "default", "-info")
        wait_until(lambda: not _troubles(cloud))
        assert cloud.show("/infer", fire_jpeg()).json()["result"]["label"] == "fire"


_JUNK = {
    "a number": b":1\r\n",
    "nothing": b"*-1\r\n",
    "no number": b":abc\r\n",
    "nested without end": b"*1\r\n" * 5000,
    "text": b"$4\r\n\xff\xfe\xfd\xfc\r\n",
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "an array of a billion": b"*1000000000\r\n",
}


@contextmanager
def _junk_redis(junk: bytes) -> Iterator[str]:
    """Answer whatever is asked with the same bytes, often enough for what a connection begins with."""

    def talk(peer: socket.socket) -> None:
        with peer:
            try:
                while peer.recv(65536):
                    peer.sendall(12 * junk)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(peer,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


@pytest.mark.parametrize("junk", _JUNK.values(), ids=_JUNK)
@pytest.mark.parametrize("has_model", [False, True])
def test_something_else_in_the_place_of_redis_is_a_redis_that_is_away(
    tmp_path, models, junk, has_model
):
    pytest.importorskip("redis")
    with _junk_redis(junk) as url:
        sections = _sections(url, fallback=has_model, timeout_s=0.3)
        with running_cloud(tmp_path, models, **sections) as cloud:
            expected = 200 if has_model else 503
            keyed = cloud.show("/infer", fire_jpeg(), Idempotency_Key="k1")
            assert [cloud.show("/infer", fire_jpeg()).status_code, keyed.status_code] == [
                expected
            ] * 2
            assert cloud.get("/infer/result/x").status_code == 503
            assert {cloud.get(path).status_code for path in ("/edges", "/models", "/metrics")} == {
                200
            }
            assert list(_troubles(cloud)) == ["redis_away"]
            assert cloud.get("/readyz").status_code == expected


def test_who_waits_for_a_worker_is_told_before_a_front_end_has_stopped(tmp_path, models, server):
    sections, clock = _sections(server.url), FakeClock()
    stop = {"stop_timeout_s": 200.0}
    with (
        running_cloud(tmp_path / "a", models, clock=clock, server=stop, **sections) as cloud,
        ThreadPoolExecutor(5) as threads,
    ):
        answers = [threads.submit(_alone, cloud) for _ in range(4)]
        wait_until(lambda: server.client().xlen(cloud.service.house._link.now) == 4)
        stopped = threads.submit(cloud.service.stop)
        wait_until(lambda: cloud.service.house.trouble() == "the service is stopping")
        assert not any(answer.done() for answer in answers)
        clock.advance(180.0)
        told = [answer.result(50) for answer in answers]
        stopped.result(50)
    assert [(t.status_code, t.json()["err_no"]) for t in told] == [(503, 503)] * 4
    assert all("Retry-After" in t.headers for t in told)


def test_a_picture_that_runs_when_its_front_end_stops_is_not_called_unrun_and_runs_once(
    tmp_path, models, server
):
    sections, clock = _sections(server.url), FakeClock()
    stop = {"stop_timeout_s": 200.0}
    with (
        running_worker(tmp_path / "w", models, **sections) as worker,
        running_cloud(tmp_path / "a", models, clock=clock, server=stop, **sections) as cloud,
        running_cloud(tmp_path / "b", models, **sections) as another,
        ThreadPoolExecutor(2) as threads,
    ):
        wait_until(lambda: not _troubles(cloud))
        with _held(worker) as model:
            answer = threads.submit(_alone, cloud, Idempotency_Key="k1")
            assert model.is_running.wait(40)
            stopped = threads.submit(cloud.service.stop)
            wait_until(lambda: cloud.service.house.trouble() == "the service is stopping")
            clock.advance(180.0)
            told = answer.result(50)
            stopped.result(50)
        assert (told.status_code, told.json()["err_no"]) == (504, 3002)
        assert another.settled("k1").json()["result"]["label"] == "fire"
        again = another.show("/infer", fire_jpeg(), Idempotency_Key="k1")
        assert again.headers["Idempotency-Replayed"] == "true"
    assert model.batches == [1]


def test_no_more_pictures_run_at_once_than_the_settings_say(tmp_path, models, server):
    sections = {**_sections(server.url), "engine": {"kind": "redis", "max_batch": 1}}
    with (
        running_worker(tmp_path / "w", models, **sections) as worker,
        running_cloud(tmp_path / "a", models, **sections) as cloud,
        ThreadPoolExecutor(5) as callers,
    ):
        wait_until(lambda: not _troubles(cloud))
        with _held(worker) as model:
            jobs = [cloud.show("/infer/async", fire_jpeg()).json()["request_id"]]
            assert model.is_running.wait(40)
            jobs += [cloud.show("/infer/async", fire_jpeg()).json()["request_id"] for _ in "12"]
            answers = [callers.submit(_alone, cloud) for _ in range(5)]
            wait_until(lambda: server.client().xlen(cloud.service.house._link.now) == 5)
        assert [answer.result(50).status_code for answer in answers] == [200] * 5
        assert [cloud.settled(job_id).status_code for job_id in jobs] == [200] * 3
    assert model.batches == [1] * 8


def _alone(cloud: Running, **headers: str) -> Any:
    one = Running(service=cloud.service, port=cloud.port)
    return one.show("/infer", fire_jpeg(), X_Request_Deadline_Ms="600000", **headers)
