"""What both engines promise, on a real service each; the Redis one with a real server and a worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from cloud.fleet.keys import add_key
from cloud.jobs.answer import Answer
from cloud.redis_engine.books import RedisAnswers
from cloud.redis_engine.link import RedisLink
from shared.clock import SystemClock
from shared.errors import FireError
from shared.picture.imaging import encode_jpeg
from tests.helpers.clock import SkippingClock
from tests.helpers.held_model import HeldModel
from tests.helpers.pictures import calm_jpeg, fire_jpeg, noise_bgr
from tests.helpers.redis_server import RedisServer, redis_server
from tests.helpers.services import Running, running_cloud, running_edge
from tests.helpers.signing import SignedBy
from tests.helpers.stand_in_clouds import stand_in_cloud
from tests.helpers.waiting import wait_until
from tests.helpers.workers import running_worker

_TTL_S = 600.0


class World:
    """A cloud of one kind; `slot` is where its model is, `clock` its clock, `redis` a connection where it has one."""

    def __init__(
        self, cloud: Running, slot: Any, clock: SkippingClock | None = None, redis: Any = None
    ) -> None:
        self.cloud = cloud
        self.slot = slot
        self._clock = clock
        self._redis = redis

    def skip(self, seconds: float) -> None:
        """Let time pass, also for what Redis keeps."""
        self._clock.skip(seconds)
        for key in self._redis.scan_iter() if self._redis else ():
            if (left_ms := self._redis.pttl(key)) >= 0:
                self._redis.pexpire(key, left_ms - round(1000 * seconds))

    @contextmanager
    def held_model(self) -> Iterator[HeldModel]:
        detector = self.slot.current
        held = HeldModel(detector.run_batch)
        detector.run_batch = held
        try:
            yield held
        finally:
            held.go_on.set()
            del detector.run_batch


@pytest.fixture(params=["local", "redis"])
def world(request: pytest.FixtureRequest, tmp_path: Path, models: Path) -> Iterator[World]:
    sections: dict[str, Any] = {
        "jobs": {"ttl_s": _TTL_S, "max_waiting": 6, "runners": 1, "max_waiting_bytes": 1_000_000},
        "engine": {"places": 4, "kind": request.param},
    }
    clock, redis = SkippingClock(), None
    with ExitStack() as stack:
        if request.param == "redis":
            server = stack.enter_context(redis_server(tmp_path))
            redis = server.client()
            sections["redis"] = {"url": server.url, "timeout_s": 10.0}
            worker = stack.enter_context(running_worker(tmp_path, models, **sections))
        cloud = stack.enter_context(running_cloud(tmp_path, models, clock=clock, **sections))
        slot = worker._slot if redis else cloud.service.house.slot
        made = World(cloud, slot, clock, redis)
        wait_until(lambda: cloud.get("/readyz").status_code == 200)
        yield made


def test_a_picture_is_answered_with_boxes_model_and_times(world):
    answer = world.cloud.show("/infer", fire_jpeg())
    result = answer.json()["result"]
    assert (result["label"], result["model"]["name"]) == ("fire", "cloud-detector")
    assert result["detections"][0]["label"] == "fire"
    assert (result["width"], result["height"]) == (320, 160)
    assert answer.json()["cost"] == result["cost"] == 0.02
    assert "infer;dur=" in answer.headers["Server-Timing"]
    assert "stage_ms" not in result


def test_a_damaged_picture_is_the_callers_error(world):
    answer = world.cloud.show("/infer", fire_jpeg()[:-200])
    assert (answer.status_code, answer.json()["err_no"]) == (400, 1007)


def test_a_job_is_accepted_and_its_result_fetched(world):
    accepted = world.cloud.show("/infer/async", fire_jpeg())
    assert accepted.status_code == 202
    done = world.cloud.settled(accepted.json()["request_id"])
    assert (done.status_code, done.json()["result"]["label"]) == (200, "fire")
    assert done.json()["cost"] == 0.02


def test_a_job_that_cannot_be_done_has_failed(world):
    job_id = world.cloud.show("/infer/async", fire_jpeg()[:-200]).json()["request_id"]
    failed = world.cloud.settled(job_id)
    assert (failed.status_code, failed.json()["err_no"]) == (500, 1007)


def test_a_result_expires_and_is_then_forgotten(world):
    job_id = world.cloud.show("/infer/async", fire_jpeg()).json()["request_id"]
    told = [world.cloud.settled(job_id).status_code]
    for _ in range(2):
        world.skip(_TTL_S)
        told.append(world.cloud.get(f"/infer/result/{job_id}").status_code)
    assert told == [200, 410, 404]


def test_an_answer_by_its_key_expires_is_then_forgotten_and_the_key_is_free_again(world):
    assert world.cloud.show("/infer", fire_jpeg(), Idempotency_Key="k9").status_code == 200
    world.skip(_TTL_S)
    assert world.cloud.get("/infer/result/k9").status_code == 410
    assert world.cloud.get("/infer/result/k9/was").status_code == 404
    world.skip(_TTL_S)
    assert world.cloud.get("/infer/result/k9").status_code == 404
    again = world.cloud.show("/infer", calm_jpeg(), Idempotency_Key="k9")
    assert (again.status_code, "Idempotency-Replayed" in again.headers) == (200, False)


def test_waiting_jobs_know_their_place_and_can_be_cancelled(world):
    with world.held_model() as model:
        ids = [world.cloud.show("/infer/async", fire_jpeg()).json()["request_id"]]
        assert model.is_running.wait(40)
        ids += [world.cloud.show("/infer/async", fire_jpeg()).json()["request_id"] for _ in "123"]
        told = [world.cloud.get(f"/infer/result/{i}").json() for i in ids]
        assert [t["status"] for t in told] == ["running", "queued", "queued", "queued"]
        assert [t["result"]["position"] for t in told[1:]] == [0, 1, 2]
        cancelled = world.cloud.call("DELETE", f"/infer/result/{ids[1]}")
        assert cancelled.json()["result"]["was"] == "queued"
        assert world.cloud.get(f"/infer/result/{ids[1]}").status_code == 404
        assert world.cloud.get(f"/infer/result/{ids[2]}").json()["result"]["position"] == 0
        model.go_on.set()
        for job_id in (ids[0], *ids[2:]):
            assert world.cloud.settled(job_id).status_code == 200
        assert sum(model.batches) == 3


def test_the_queue_of_jobs_is_bounded(world):
    with world.held_model():
        answers = [world.cloud.show("/infer/async", fire_jpeg()) for _ in range(9)]
    refused = [a for a in answers if a.status_code == 503]
    assert len(refused) in (2, 3)
    assert all(int(a.headers["Retry-After"]) >= 1 for a in refused)


def test_the_bytes_of_waiting_jobs_are_bounded_and_given_back(world):
    jpeg = encode_jpeg(noise_bgr(640, 480), quality=95)
    most = 1_000_000 // len(jpeg)
    assert 2 <= most < 5  # fewer than max_waiting: it is the bytes that bound
    for _ in range(2):
        with world.held_model() as model:
            taken = [world.cloud.show("/infer/async", jpeg) for _ in range(most + 3)]
            accepted = [a.json()["request_id"] for a in taken if a.status_code == 202]
            refused = [a for a in taken if a.status_code == 503]
            assert most <= len(accepted) <= most + 1  # one engine does not count what runs
            assert {a.json()["err_no"] for a in refused} == {3004}
            assert "Retry-After" in refused[0].headers
            cancelled = accepted.pop()
            assert world.cloud.call("DELETE", f"/infer/result/{cancelled}").status_code == 200
            accepted.append(world.cloud.show("/infer/async", jpeg).json()["request_id"])
            model.go_on.set()
            assert {world.cloud.settled(job_id).status_code for job_id in accepted} == {200}


def test_a_keyed_request_runs_once(world):
    with world.held_model() as model:
        model.go_on.set()
        answers = [world.cloud.show("/infer", fire_jpeg(), Idempotency_Key="k1") for _ in range(2)]
        other = world.cloud.show("/infer", calm_jpeg(), Idempotency_Key="k1")
    assert sum(model.batches) == 1
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert answers[0].json()["result"] == answers[1].json()["result"]
    assert (other.status_code, other.json()["err_no"]) == (422, 1015)


def test_a_late_answer_is_fetched_by_its_key(world):
    with world.held_model() as model:
        _ask_too_impatiently(world.cloud, "k1")
        assert world.cloud.show("/infer", fire_jpeg(), Idempotency_Key="k1").status_code == 409
        model.go_on.set()
        fetched = world.cloud.settled("k1")
    assert fetched.json()["result"]["label"] == "fire"
    assert sum(model.batches) == 1


def test_a_second_try_that_prefers_to_wait_gets_the_answer_of_the_first(world):
    with world.held_model() as model:
        _ask_too_impatiently(world.cloud, "k3")
        threading.Timer(0.3, model.go_on.set).start()
        again = world.cloud.show(
            "/infer",
            fire_jpeg(),
            Idempotency_Key="k3",
            Prefer="respond-async, wait=40",
            X_Request_Deadline_Ms="40000",
        )
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert sum(model.batches) == 1


def test_a_second_try_waits_no_longer_than_its_deadline(world):
    with world.held_model():
        _ask_too_impatiently(world.cloud, "k4")
        answer = world.cloud.show(  # which raises after a minute
            "/infer",
            fire_jpeg(),
            Idempotency_Key="k4",
            Prefer="wait=999",
            X_Request_Deadline_Ms="500",
        )
        assert (answer.status_code, answer.json()["err_no"]) == (409, 1016)


def test_what_waited_past_its_deadline_is_not_run_and_frees_its_key(world):
    with world.held_model() as model:
        busy = threading.Thread(target=lambda: _post(world.cloud))
        busy.start()
        assert model.is_running.wait(40)
        late = world.cloud.show(
            "/infer", fire_jpeg(), Idempotency_Key="k2", X_Request_Deadline_Ms="200"
        )
        assert (late.status_code, late.json()["err_no"]) == (504, 3005)
        model.go_on.set()
        busy.join()
        again = world.cloud.show("/infer", fire_jpeg(), Idempotency_Key="k2")
        assert (again.status_code, again.headers.get("Idempotency-Replayed")) == (200, None)
    assert sum(model.batches) == 2


def test_a_batch_answers_for_every_picture(world):
    pictures = [fire_jpeg(), fire_jpeg()[:-200], calm_jpeg()]
    answer = world.cloud.post("/infer/batch", files=[("images", p) for p in pictures])
    results = answer.json()["result"]["results"]
    assert [r["err_no"] for r in results] == [0, 1007, 0]
    assert [r.get("label") for r in results] == ["fire", None, "none"]


def test_places_are_bounded(world):
    with world.held_model() as model:
        threads = [threading.Thread(target=lambda: _post(world.cloud)) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: world.cloud.service.house.admission.taken == 4)
        refused = world.cloud.show("/infer", fire_jpeg())
        assert (refused.status_code, refused.json()["err_no"]) == (503, 3004)
        model.go_on.set()
        for thread in threads:
            thread.join()


def test_the_models_are_named(world):
    (model,) = world.cloud.get("/models").json()["result"]["models"]
    assert (model["name"], model["providers"]) == ("cloud-detector", ["CPUExecutionProvider"])
    assert world.cloud.get("/version").json()["model"]["version"] == "0.1.0"


def _ask_too_impatiently(cloud: Running, key: str) -> None:
    """Ask while the model is held, with a deadline that passes after it has begun; one that passed before is free."""

    def err_no() -> int:
        late = cloud.show("/infer", fire_jpeg(), Idempotency_Key=key, X_Request_Deadline_Ms="300")
        assert late.status_code == 504
        return int(late.json()["err_no"])

    wait_until(lambda: err_no() == 3002)


def _post(cloud: Running) -> requests.Response:
    return requests.post(
        cloud.url + "/infer",
        data=fire_jpeg(),
        headers={"Content-Type": "image/jpeg"},
        timeout=20,
    )


# Redis alone


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


def _sections(server: RedisServer, **more: Any) -> dict[str, Any]:
    redis = {"url": server.url, "timeout_s": 10.0, **more.pop("redis", {})}
    engine = {"kind": "redis", **more.pop("engine", {})}
    return {"engine": engine, "redis": redis, **more}


def test_the_bound_holds_over_all_front_ends(tmp_path, models, server):
    sections = _sections(server, engine={"places": 5})
    with (
        running_cloud(tmp_path / "a", models, **sections) as one,
        running_cloud(tmp_path / "b", models, **sections) as two,
        running_worker(tmp_path, models, **sections) as worker,
    ):
        gate = World(one, worker._slot)
        with gate.held_model() as model:
            wait_until(lambda: all(c.get("/readyz").status_code == 200 for c in (one, two)))
            answers: list[int] = []
            threads = [
                threading.Thread(target=lambda c=cloud: answers.append(_post(c).status_code))
                for cloud in (one, two) * 5
            ]
            for thread in threads:
                thread.start()
            wait_until(lambda: answers.count(503) == 5)
            model.go_on.set()
            for thread in threads:
                thread.join()
        assert sorted(answers) == [200] * 5 + [503] * 5


def test_a_job_submitted_at_one_front_end_is_fetched_at_another_and_keys_agree(
    tmp_path, models, server
):
    sections = _sections(server)
    with (
        running_cloud(tmp_path / "a", models, **sections) as one,
        running_cloud(tmp_path / "b", models, **sections) as two,
        running_worker(tmp_path, models, **sections),
    ):
        job_id = one.show("/infer/async", fire_jpeg()).json()["request_id"]
        assert two.settled(job_id).json()["result"]["label"] == "fire"
        one.show("/infer", fire_jpeg(), Idempotency_Key="k1")
        again = two.show("/infer", fire_jpeg(), Idempotency_Key="k1")
        assert again.headers["Idempotency-Replayed"] == "true"


def test_what_waits_is_not_lost_when_no_worker_is_there_yet(tmp_path, models, server):
    sections = _sections(server)
    with running_cloud(tmp_path / "a", models, **sections) as cloud:
        assert cloud.get("/readyz").status_code == 503
        job_id = cloud.show("/infer/async", fire_jpeg()).json()["request_id"]
        assert cloud.get(f"/infer/result/{job_id}").json()["status"] == "queued"
        with running_worker(tmp_path, models, **sections):
            assert cloud.settled(job_id).status_code == 200


def test_a_front_end_without_a_model_says_503_while_redis_is_away_and_works_again_after(
    tmp_path, models, server
):
    sections = _sections(server)
    with (
        running_cloud(tmp_path / "a", models, **sections) as cloud,
        running_worker(tmp_path, models, **sections),
    ):
        assert cloud.show("/infer", fire_jpeg()).status_code == 200
        server.kill()
        started_s = time.monotonic()
        for path in ("/infer", "/infer/async"):
            away = cloud.show(path, fire_jpeg())
            assert (away.status_code, away.json()["err_no"]) == (503, 3007)
        assert cloud.get("/infer/result/x").status_code == 503
        assert cloud.get("/readyz").status_code == 503
        assert cloud.get("/healthz").status_code == 200
        assert time.monotonic() - started_s < 10.0
        server.start()
        wait_until(lambda: cloud.show("/infer", fire_jpeg()).status_code == 200)


def test_a_front_end_with_a_model_answers_alone_while_redis_is_away(tmp_path, models, server):
    key = add_key(tmp_path / "a" / "keys.json", "gate")
    sections = _sections(server, redis={"fallback": True})
    with running_cloud(tmp_path / "a", models, **sections) as cloud:
        server.kill()
        cloud.session.auth = SignedBy("gate", key)
        answer = cloud.show("/infer", fire_jpeg())
        assert (answer.status_code, answer.json()["result"]["label"]) == (200, "fire")
        keyed = [cloud.show("/infer", fire_jpeg(), Idempotency_Key="k1") for _ in range(2)]
        assert [a.status_code for a in keyed] == [200, 200]
        assert keyed[1].headers["Idempotency-Replayed"] == "true"
        job_id = cloud.show("/infer/async", fire_jpeg()).json()["request_id"]
        done = cloud.settled(job_id)
        assert done.json()["result"]["label"] == "fire"
        assert cloud.get("/readyz").status_code == 200


def test_a_request_seen_before_redis_went_away_is_not_taken_again(tmp_path, models, server):
    key = add_key(tmp_path / "a" / "keys.json", "gate")
    sections = _sections(server, redis={"fallback": True})
    with running_cloud(tmp_path / "a", models, **sections) as cloud:
        asked = requests.Request("GET", cloud.url + "/infer/result/x")
        signed = cloud.session.prepare_request(asked)
        SignedBy("gate", key)(signed)
        assert cloud.session.send(signed, timeout=20).status_code == 404
        server.kill()
        again = cloud.session.send(signed, timeout=20)
        assert (again.status_code, again.json()["err_no"]) == (401, 1023)


def test_a_front_end_that_died_over_a_key_keeps_it_no_longer_than_its_request_could_take(server):
    link = RedisLink(server.url, "test", SystemClock(), timeout_s=10.0)
    answers = RedisAnswers(link, ttl_s=600.0)
    link.client.expire = None  # dead before it could ask for anything more
    name = answers.name("gate", "k1")
    assert answers.begin("gate", "k1", "asked", within_s=30.0) is None
    with pytest.raises(FireError):
        answers.begin("gate", "k1", "asked", within_s=30.0)
    assert 0 < link.client.ttl(name) <= 30
    link.client.pexpire(name, 1)  # the time that the request could take is over
    wait_until(lambda: not link.client.exists(name))
    assert answers.look("gate", "k1") is None  # nothing was kept, so that nothing has expired
    assert answers.begin("gate", "k1", "asked", within_s=30.0) is None
    answers.keep("gate", "k1", Answer.of("done"))
    assert link.client.ttl(name) > 30
    assert answers.begin("gate", "k1", "asked", within_s=30.0) == Answer.of("done")
    link.close()


def test_workers_that_were_killed_are_forgotten(tmp_path, models, server):
    sections = _sections(server)
    with (
        running_cloud(tmp_path / "a", models, **sections) as cloud,
        running_worker(tmp_path, models, **sections) as worker,
    ):
        link = cloud.service.house._link
        link.client.sadd(link.key("workers"), "killed-1", "killed-2")
        wait_until(lambda: cloud.get("/readyz").status_code == 200)
        assert link.client.smembers(link.key("workers")) == {worker.name.encode()}


def test_whoever_waits_longer_than_redis_may_take_to_answer_waits_on(tmp_path, models, server):
    sections = _sections(server, redis={"timeout_s": 0.5})
    with (
        running_cloud(tmp_path / "a", models, **sections) as cloud,
        running_worker(tmp_path, models, **sections) as worker,
    ):
        wait_until(lambda: cloud.get("/readyz").status_code == 200)
        with World(cloud, worker._slot).held_model() as model:
            threading.Timer(1.5, model.go_on.set).start()
            assert _post(cloud).status_code == 200


def test_a_worker_calls_no_address_that_is_not_on_its_own_list(tmp_path, models, server):
    """Whoever can write to Redis could else let every worker's network be asked."""
    with stand_in_cloud(lambda exchange: exchange.reply(200)) as inside:
        url = f"{inside.url}/hooks"
        allowed = {"allowed": [url], "key": "a callback secret of enough length"}
        front, sections = _sections(server, callbacks=allowed), _sections(server)
        with (
            running_cloud(tmp_path / "a", models, **front) as cloud,
            running_worker(tmp_path, models, **sections) as worker,
        ):
            wait_until(lambda: cloud.get("/readyz").status_code == 200)
            answer = cloud.show(f"/infer/async?callback_url={url}", fire_jpeg())
            assert cloud.settled(answer.json()["request_id"]).status_code == 200
            counted = worker._metrics.registry.get_sample_value
            wait_until(lambda: counted("fire_cloud_callbacks_total", {"outcome": "refused"}) == 1)
        assert not inside.calls


def test_a_waiting_caller_is_told_at_once_when_redis_dies(tmp_path, models, server):
    sections = _sections(server)
    with running_cloud(tmp_path / "a", models, **sections) as cloud:
        answers: list[requests.Response] = []
        thread = threading.Thread(target=lambda: answers.append(_post(cloud)))
        thread.start()
        link = cloud.service.house._link
        wait_until(lambda: link.client.xlen(link.now) == 1)  # there is no worker: the caller waits
        server.kill()
        thread.join(15)  # well inside the time that a caller is given
        assert (answers[0].status_code, answers[0].json()["err_no"]) == (504, 3002)
        assert "Redis does not answer" in answers[0].json()["detail"]


def test_an_edge_gets_the_answer_that_its_first_try_was_too_impatient_for(world, tmp_path, models):
    link = {"url": world.cloud.url, "timeout_s": 2.0, "tries": 10}
    policy = {"name": "always"}
    with (
        world.held_model() as model,
        running_edge(tmp_path / "edge", models, cloud=link, policy=policy) as edge,
    ):
        threading.Timer(2.5, model.go_on.set).start()
        answer = edge.show("/joint_predict", fire_jpeg(), X_Request_Deadline_Ms="40000").json()
        assert answer["source"] == "cloud"
    assert sum(model.batches) == 1
