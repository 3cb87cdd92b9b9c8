"""Asking now and fetching later, on a real service with a tiny model."""

from __future__ import annotations

import base64
import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import requests
from standardwebhooks.webhooks import Webhook

from cloud.jobs.callback_receiver import CallbackSettings, sign_callback
from cloud.jobs.callbacks import Callbacks
from shared.clock import SystemClock
from shared.error_code import ErrorCode
from shared.errors import ModelError
from shared.picture.imaging import encode_jpeg
from tests.helpers.held_model import held_model
from tests.helpers.pictures import calm_jpeg, fire_jpeg
from tests.helpers.services import Running, running_cloud
from tests.helpers.stand_in_clouds import Exchange, hangs, stand_in_cloud
from tests.helpers.waiting import wait_until

_KEY = "a callback secret of enough length"


@pytest.fixture
def cloud(tmp_path: Path, models: Path) -> Iterator[Running]:
    with running_cloud(tmp_path, models, jobs={"ttl_s": 60.0, "max_waiting": 4}) as running:
        yield running


def _submit(cloud: Running, picture: bytes | None = None, **headers: str) -> str:
    answer = cloud.show("/infer/async", picture or fire_jpeg(), **headers)
    assert answer.status_code == 202, answer.text
    return answer.json()["request_id"]


def test_a_job_is_accepted_at_once_and_its_result_is_that_of_infer(cloud):
    accepted = cloud.show("/infer/async", fire_jpeg())
    body = accepted.json()
    assert (accepted.status_code, body["status"], body["err_no"]) == (202, "submitted", 0)
    assert accepted.headers["Location"] == f"/infer/result/{body['request_id']}"
    fetched = cloud.settled(body["request_id"]).json()
    asked = cloud.show("/infer", fire_jpeg()).json()
    assert (fetched["status"], fetched["request_id"]) == ("done", body["request_id"])
    del fetched["result"]["latency_ms"], asked["result"]["latency_ms"]
    assert fetched["result"] == asked["result"]
    assert fetched["cost"] == asked["cost"]


def test_all_three_bodies_can_be_sent(cloud):
    encoded = base64.b64encode(fire_jpeg()).decode()
    as_json = cloud.post("/infer/async", json={"image": encoded})
    as_form = cloud.post("/infer/async", files={"image": fire_jpeg()})
    for answer in (as_json, as_form):
        assert answer.status_code == 202
        done = cloud.settled(answer.json()["request_id"])
        assert done.json()["result"]["label"] == "fire"


def test_a_job_that_waits_tells_its_place_in_the_queue(cloud):
    with held_model(cloud) as model:
        ids = [_submit(cloud) for _ in range(5)]
        assert model.is_running.wait(40)
        wait_until(lambda: cloud.get(f"/infer/result/{ids[1]}").json()["status"] == "running")
        answers = [cloud.get(f"/infer/result/{job_id}") for job_id in ids]
        assert {a.status_code for a in answers} == {202}
        assert [a.json()["result"]["state"] for a in answers] == ["running"] * 2 + ["queued"] * 3
        assert [a.json()["result"]["position"] for a in answers[2:]] == [0, 1, 2]
        assert all(int(a.headers["Retry-After"]) >= 1 for a in answers)


def test_a_full_queue_refuses_the_next_with_a_time_to_come_back(cloud):
    with held_model(cloud):
        answers = [cloud.show("/infer/async", fire_jpeg()) for _ in range(8)]
        refused = [a for a in answers if a.status_code == 503]
        assert len(refused) in (2, 3, 4)  # 2 run, 4 wait
        assert refused[-1].json()["err_no"] == 3004
        assert int(refused[-1].headers["Retry-After"]) >= 1


def test_a_picture_that_cannot_be_decoded_fails_its_own_job_only(cloud):
    whole = fire_jpeg()
    cut, good = _submit(cloud, whole[:-200]), _submit(cloud)
    failed = cloud.settled(cut)
    assert (failed.status_code, failed.json()["err_no"]) == (500, 1007)
    assert cloud.settled(good).json()["result"]["label"] == "fire"


def test_what_is_no_picture_is_refused_before_it_becomes_a_job(cloud):
    answer = cloud.show("/infer/async", b"not a picture")
    assert (answer.status_code, answer.json()["err_no"]) == (400, 1006)


def test_an_unknown_id_is_not_found(cloud):
    answer = cloud.get("/infer/result/nobody-made-this")
    assert (answer.status_code, answer.json()["err_no"]) == (404, 1017)


def test_an_old_result_is_gone_and_says_so(tmp_path, models):
    with running_cloud(tmp_path, models, jobs={"ttl_s": 2.0}) as cloud:
        job_id = _submit(cloud)
        cloud.settled(job_id)
        wait_until(lambda: cloud.get(f"/infer/result/{job_id}").json()["err_no"] == 1018)
        assert cloud.get(f"/infer/result/{job_id}").status_code == 410
        wait_until(lambda: cloud.get(f"/infer/result/{job_id}").status_code == 404)


def test_a_cancelled_job_never_runs_and_its_id_is_forgotten(cloud):
    with held_model(cloud) as model:
        first = [_submit(cloud) for _ in range(2)]
        assert model.is_running.wait(40)
        wait_until(lambda: cloud.get(f"/infer/result/{first[1]}").json()["status"] == "running")
        waiting = _submit(cloud)
        cancelled = cloud.call("DELETE", f"/infer/result/{waiting}")
        assert cancelled.json()["result"] == {"request_id": waiting, "was": "queued"}
        assert cloud.get(f"/infer/result/{waiting}").status_code == 404
        model.go_on.set()
        for job_id in first:
            cloud.settled(job_id)
    assert sum(model.batches) == 2
    assert cloud.call("DELETE", f"/infer/result/{waiting}").status_code == 404


def test_a_job_that_waited_past_its_deadline_is_not_run(cloud):
    with held_model(cloud) as model:
        busy = [_submit(cloud) for _ in range(2)]
        assert model.is_running.wait(40)
        late = _submit(cloud, X_Request_Deadline_Ms="50")
        time.sleep(0.1)
        model.go_on.set()
        for job_id in busy:
            assert cloud.settled(job_id).status_code == 200
        answer = cloud.settled(late)
        assert (answer.status_code, answer.json()["err_no"]) == (500, 3005)


def test_jobs_do_not_hold_up_a_caller_who_waits(tmp_path, models):
    with running_cloud(tmp_path, models, jobs={"max_waiting": 100}) as cloud:
        with held_model(cloud) as model:
            for _ in range(50):
                _submit(cloud)
            model.go_on.set()
        started_s = time.monotonic()
        assert cloud.show("/infer", fire_jpeg()).status_code == 200
        assert time.monotonic() - started_s < 10.0


# Idempotency-Key


def test_the_same_request_with_the_same_key_runs_once(cloud):
    with held_model(cloud) as model:
        model.go_on.set()
        answers = [cloud.show("/infer", fire_jpeg(), Idempotency_Key="k1") for _ in range(3)]
    assert sum(model.batches) == 1
    assert [a.headers.get("Idempotency-Replayed") for a in answers] == [None, "true", "true"]
    assert len({json.dumps(a.json()["result"]) for a in answers}) == 1
    assert len({a.json()["req_id"] for a in answers}) == 3


def test_a_key_that_comes_with_another_picture_is_refused(cloud):
    cloud.show("/infer", fire_jpeg(), Idempotency_Key="k1")
    answer = cloud.show("/infer", calm_jpeg(), Idempotency_Key="k1")
    assert (answer.status_code, answer.json()["err_no"]) == (422, 1015)


def test_a_key_whose_request_still_runs_sends_the_second_away(cloud):
    with held_model(cloud) as model:
        answers: queue.Queue[requests.Response] = queue.Queue()

        def first() -> None:
            with requests.Session() as session:
                answers.put(
                    session.post(
                        cloud.url + "/infer",
                        data=fire_jpeg(),
                        headers={"Content-Type": "image/jpeg", "Idempotency-Key": "k1"},
                        timeout=20,
                    )
                )

        thread = threading.Thread(target=first)
        thread.start()
        assert model.is_running.wait(40)
        second = cloud.show("/infer", fire_jpeg(), Idempotency_Key="k1")
        assert (second.status_code, second.json()["err_no"]) == (409, 1016)
        assert int(second.headers["Retry-After"]) >= 1
        assert cloud.get("/infer/result/k1").status_code == 202
        model.go_on.set()
        thread.join()
    assert answers.get_nowait().status_code == 200


def test_a_late_answer_is_fetched_by_its_key_and_costs_no_second_run(cloud):
    with held_model(cloud) as model:
        late = cloud.show("/infer", fire_jpeg(), Idempotency_Key="k1", X_Request_Deadline_Ms="2000")
        assert (late.status_code, late.json()["err_no"]) == (504, 3002)
        model.go_on.set()
        fetched = cloud.settled("k1")
        again = cloud.show("/infer", fire_jpeg(), Idempotency_Key="k1")
    assert fetched.json()["result"]["label"] == "fire"
    assert again.headers["Idempotency-Replayed"] == "true"
    assert sum(model.batches) == 1


def test_a_job_submitted_twice_with_one_key_is_one_job(cloud):
    first, second = (
        cloud.show("/infer/async", fire_jpeg(), Idempotency_Key="k1") for _ in range(2)
    )
    assert first.json()["request_id"] == second.json()["request_id"]
    assert (second.status_code, second.headers["Idempotency-Replayed"]) == (202, "true")
    by_id = cloud.settled(first.json()["request_id"])
    assert cloud.get("/infer/result/k1").json()["result"] == by_id.json()["result"]


def test_a_damaged_picture_with_a_key_gets_the_same_error_without_being_decoded_again(cloud):
    cut = fire_jpeg()[:-200]
    first, second = (cloud.show("/infer", cut, Idempotency_Key="k1") for _ in range(2))
    assert first.json()["err_no"] == second.json()["err_no"] == 1007
    assert (first.status_code, second.status_code) == (400, 400)


# A batch


def test_a_batch_answers_for_every_picture_and_a_broken_one_costs_one_error(cloud):
    pictures = [fire_jpeg(), fire_jpeg()[:-200], b"no picture", *[calm_jpeg()] * 5]
    answer = cloud.post("/infer/batch", files=[("images", p) for p in pictures])
    results = answer.json()["result"]["results"]
    assert answer.status_code == 200
    assert [r["index"] for r in results] == list(range(8))
    assert [r["err_no"] for r in results] == [0, 1007, 1006, 0, 0, 0, 0, 0]
    assert [r.get("label") for r in results] == ["fire", None, None, *["none"] * 5]
    assert answer.json()["result"]["failed"] == 2


def test_a_poison_picture_in_a_batch_of_eight_costs_one_error(cloud):
    detector = cloud.service.house.slot.current
    real = detector.run_batch

    def poisoned(tensors: Any) -> Any:
        if any(float(t.mean()) < 0.2 for t in tensors):
            raise ModelError(ErrorCode.MODEL_FAILED, "poison")
        return real(tensors)

    black = encode_jpeg(np.zeros((160, 160, 3), np.uint8))
    detector.run_batch = poisoned
    pictures = [*[fire_jpeg()] * 4, black, *[fire_jpeg()] * 3]
    answer = cloud.post("/infer/batch", files=[("images", p) for p in pictures])
    assert [r["err_no"] for r in answer.json()["result"]["results"]] == [0] * 4 + [2002] + [0] * 3


def test_a_batch_above_the_limit_is_refused_as_a_whole(cloud):
    answer = cloud.post("/infer/batch", files=[("images", fire_jpeg())] * 17)
    assert (answer.status_code, answer.json()["err_no"]) == (413, 1011)


def test_a_batch_needs_as_many_places_as_it_has_pictures(tmp_path, models):
    with running_cloud(tmp_path, models, engine={"places": 4}) as cloud:
        assert cloud.post("/infer/batch", files=[("images", fire_jpeg())] * 4).status_code == 200
        with held_model(cloud) as model:
            thread = threading.Thread(
                target=lambda: requests.post(
                    cloud.url + "/infer",
                    data=fire_jpeg(),
                    headers={"Content-Type": "image/jpeg"},
                    timeout=20,
                )
            )
            thread.start()
            assert model.is_running.wait(40)
            answer = cloud.post("/infer/batch", files=[("images", fire_jpeg())] * 4)
            model.go_on.set()
            thread.join()
        assert (answer.status_code, answer.json()["err_no"]) == (503, 3004)


# Callbacks


@contextmanager
def _receiver(statuses: list[int]) -> Iterator[tuple[str, queue.Queue[tuple[dict, bytes]]]]:
    """Take callbacks; answer each with the next status, the last one for all that follow."""
    received: queue.Queue[tuple[dict, bytes]] = queue.Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.put(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hooks/", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_finished_job_is_told_to_the_callers_server_signed(tmp_path, models):
    with (
        _receiver([200]) as (url, received),
        running_cloud(tmp_path, models, callbacks={"allowed": [url], "key": _KEY}) as cloud,
    ):
        answer = cloud.show(f"/infer/async?callback_url={url}mine", fire_jpeg())
        headers, body = received.get(timeout=40)
        message = json.loads(body)
        assert message["request_id"] == answer.json()["request_id"] == headers["webhook-id"]
        assert (message["status"], message["result"]["label"]) == ("done", "fire")
        expected = sign_callback(
            _KEY.encode(), headers["webhook-id"], int(headers["webhook-timestamp"]), body
        )
        assert headers["webhook-signature"] == expected


@pytest.mark.parametrize(
    ("picture", "status"), [(fire_jpeg(), "done"), (fire_jpeg()[:-200], "failed")]
)
def test_a_callback_is_verified_by_the_library_of_its_standard_and_is_as_the_document_says(
    tmp_path, models, picture, status
):
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    with (
        _receiver([200]) as (url, received),
        running_cloud(tmp_path, models, callbacks={"allowed": [url], "key": secret}) as cloud,
    ):
        answer = cloud.show(f"/infer/async?callback_url={url}mine", picture)
        document = cloud.get("/openapi.json").json()
        headers, body = received.get(timeout=40)
    message = Webhook(secret).verify(body, headers)
    called = document["paths"]["/infer/async"]["post"]["callbacks"]["finished"]
    post = called["{$request.query.callback_url}"]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate(message, {**schema, "components": document["components"]})
    assert (message["request_id"], message["status"]) == (answer.json()["request_id"], status)
    assert {parameter["name"] for parameter in post["parameters"]} <= headers.keys()


def test_a_callback_that_fails_is_tried_again_under_the_same_id(tmp_path, models, monkeypatch):
    monkeypatch.setattr("cloud.jobs.callback_receiver._FIRST_PAUSE_S", 0.05)
    with (
        _receiver([500, 302, 204]) as (url, received),
        running_cloud(tmp_path, models, callbacks={"allowed": [url], "key": _KEY}) as cloud,
    ):
        cloud.show(f"/infer/async?callback_url={url}mine", fire_jpeg()[:-200])
        tries = [received.get(timeout=40) for _ in range(3)]
        assert len({headers["webhook-id"] for headers, _ in tries}) == 1
        assert json.loads(tries[0][1])["err_no"] == 1007
        wait_until(lambda: 'callbacks_total{outcome="delivered"} 1.0' in cloud.get("/metrics").text)
        assert received.empty()


def test_a_callback_is_given_up_after_its_tries(tmp_path, models, monkeypatch):
    monkeypatch.setattr("cloud.jobs.callback_receiver._FIRST_PAUSE_S", 0.02)
    callbacks = {"key": _KEY, "tries": 3}
    with (
        _receiver([500]) as (url, received),
        running_cloud(tmp_path, models, callbacks={**callbacks, "allowed": [url]}) as cloud,
    ):
        cloud.show(f"/infer/async?callback_url={url}mine", fire_jpeg())
        wait_until(lambda: 'callbacks_total{outcome="failed"} 1.0' in cloud.get("/metrics").text)
        assert received.qsize() == 3


def test_a_callback_goes_to_no_other_place_than_the_one_that_is_allowed(tmp_path, models):
    with stand_in_cloud(lambda call: call.reply(200)) as inside:

        def redirects(call: Exchange) -> None:
            call.reply(307, Location=f"{inside.url}/admin")

        with stand_in_cloud(redirects) as receiver:
            callbacks = {"allowed": [f"{receiver.url}/"], "key": _KEY, "tries": 1}
            with running_cloud(tmp_path, models, callbacks=callbacks) as cloud:
                cloud.show(f"/infer/async?callback_url={receiver.url}/mine", fire_jpeg())
                wait_until(
                    lambda: 'callbacks_total{outcome="failed"} 1.0' in cloud.get("/metrics").text
                )
        assert (len(receiver.calls), inside.calls) == (1, [])


def test_a_receiver_that_hangs_delays_nobody_elses_callbacks():
    settings = CallbackSettings(key=_KEY.encode(), tries=2, timeout_s=20.0)
    with stand_in_cloud(hangs) as dead, _receiver([200]) as (url, received):
        callbacks = Callbacks(SystemClock(), settings, [f"{dead.url}/hooks", url])
        for number in range(3):
            callbacks.send(f"late-{number}", f"{dead.url}/hooks", b"{}")
        wait_until(lambda: dead.calls)
        callbacks.send("mine", url, b"{}")
        headers, _ = received.get(timeout=15)  # less than one try at the receiver that hangs
        assert headers["webhook-id"] == "mine"
        callbacks.stop(0.0)


def test_an_address_that_is_not_on_the_list_is_refused_and_nothing_is_submitted(cloud):
    answer = cloud.show("/infer/async?callback_url=http://127.0.0.1:1/x", fire_jpeg())
    assert (answer.status_code, answer.json()["err_no"]) == (403, 1019)
    assert "fire_cloud_jobs_total{" not in cloud.get("/metrics").text


# Stopping


def test_a_stopping_service_finishes_the_jobs_it_accepted_and_tells_their_creators(
    tmp_path, models
):
    with _receiver([200]) as (url, received):
        with (
            running_cloud(tmp_path, models, callbacks={"allowed": [url], "key": _KEY}) as cloud,
            held_model(cloud) as model,
        ):
            for _ in range(6):
                cloud.show(f"/infer/async?callback_url={url}mine", fire_jpeg())
            assert model.is_running.wait(40)
            threading.Timer(0.3, model.go_on.set).start()
            cloud.service.stop()
        states = [json.loads(received.get(timeout=40)[1])["status"] for _ in range(6)]
    assert states == ["done"] * 6
