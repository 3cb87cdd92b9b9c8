"""The client of the cloud against answers of `responses`, and against stand-ins where sockets matter."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
import responses

from edge.decide.latency import Latency
from edge.decide.reasons import Reason
from edge.decide.uplink import Uplink, UploadForm
from edge.forward.cloud_client import CloudAnswer
from edge.forward.forwarder import Forwarder
from edge.forward.http_client import CLASSIC_RETRY, DEFAULT_RETRY, HttpCloudClient, RetrySettings
from shared.breaker import Breaker, BreakerSettings, BreakerState
from shared.clock import SystemClock
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import LinkError
from shared.types import Label
from tests.helpers.clock import FakeClock
from tests.helpers.frames import decision, frame, picture
from tests.helpers.stand_in_clouds import (
    HOSTILE,
    answers,
    dead_url,
    drips,
    drips_headers,
    good_answer,
    hangs,
    stand_in_cloud,
)

_URL = "http://cloud.test:5001"
_QUICK = RetrySettings(tries=3, timeout_s=0.3, first_pause_s=0.01, longest_pause_s=0.05)
_ONE_TRY = RetrySettings(tries=1, timeout_s=0.3, first_pause_s=0.01, longest_pause_s=0.05)
_CLOCK = SystemClock()


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def client() -> Iterator[Callable[..., HttpCloudClient]]:
    made: list[HttpCloudClient] = []

    def make(url: str = _URL, retry: RetrySettings = _QUICK) -> HttpCloudClient:
        made.append(HttpCloudClient(url, retry, pool_size=2))
        return made[-1]

    yield make
    for each in made:
        each.close()


def _ask(client: HttpCloudClient, seconds: float = 5.0) -> CloudAnswer:
    deadline = Deadline.after(seconds, _CLOCK)
    return client.infer(picture(), call_id="call-1", deadline=deadline, trace=None)


def _failure(client: HttpCloudClient, seconds: float = 5.0) -> LinkError:
    with pytest.raises(LinkError) as caught:
        _ask(client, seconds)
    return caught.value


def _say(wire: responses.RequestsMock, status: int = 200, body: Any = None, **more: Any) -> None:
    wire.post(f"{_URL}/infer", json=good_answer() if body is None else body, status=status, **more)


def test_a_good_answer_is_taken(wire, client):
    _say(wire, body=good_answer("smoke", 0.8, ((1.0, 2.0, 3.0, 4.0),)))
    answer = _ask(client())
    assert (answer.label, answer.confidence) == (Label.SMOKE, 0.8)
    assert answer.detections[0].box.as_list() == [1.0, 2.0, 3.0, 4.0]


def test_what_a_newer_cloud_adds_is_left_aside(wire, client):
    body = good_answer()
    body["result"]["surprise"] = {"a": 1}
    _say(wire, body={**body, "more": 1})
    assert _ask(client()).label is Label.FIRE


@pytest.mark.parametrize(("told", "micros"), [(0.05, 50_000), (0, 0), (None, None)])
def test_what_a_call_cost_is_read_as_the_cloud_tells_it(wire, client, told, micros):
    body = good_answer()
    body["result"]["cost"] = told
    _say(wire, body=body)
    assert _ask(client()).cost_micros == micros


def test_a_call_carries_the_picture_as_it_is(wire, client):
    _say(wire)
    _ask(client())
    request = wire.calls[0].request
    assert (request.body, request.headers["Content-Type"]) == (b"jpeg", "image/jpeg")


def test_a_call_carries_what_is_left_of_the_time(wire, client):
    _say(wire)
    _ask(client(), seconds=0.2)
    assert 100 <= int(wire.calls[0].request.headers["X-Request-Deadline-Ms"]) <= 200


def test_the_idempotency_key_is_the_same_on_every_try(wire, client):
    _say(wire, 500, {})
    _say(wire, 500, {})
    _say(wire)
    _ask(client())
    assert [c.request.headers["Idempotency-Key"] for c in wire.calls] == ["call-1"] * 3


@pytest.mark.parametrize("status", [500, 502, 503, 429, 504])
def test_a_passing_failure_is_tried_again(wire, client, status):
    _say(wire, status, {})
    _say(wire)
    assert _ask(client()).label is Label.FIRE


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415, 422, 302])
def test_a_refusal_is_not_tried_again(wire, client, status):
    _say(wire, status, {})
    _failure(client())
    assert len(wire.calls) == 1


def test_it_gives_up_after_its_tries(wire, client):
    _say(wire, 500, {})
    _failure(client())
    assert len(wire.calls) == 3


@pytest.mark.parametrize(
    ("status", "code", "is_refundable"),
    [
        (503, ErrorCode.CLOUD_OVERLOADED, True),
        (429, ErrorCode.CLOUD_OVERLOADED, True),
        (400, ErrorCode.CLOUD_REFUSED, True),
        (413, ErrorCode.CLOUD_REFUSED, True),
        (415, ErrorCode.CLOUD_REFUSED, True),
        (422, ErrorCode.CLOUD_REFUSED, True),
        (401, ErrorCode.CLOUD_BAD_ANSWER, True),
        (404, ErrorCode.CLOUD_BAD_ANSWER, True),
        (500, ErrorCode.CLOUD_UNREACHABLE, False),
        (502, ErrorCode.CLOUD_UNREACHABLE, False),
        (504, ErrorCode.CLOUD_TIMEOUT, False),
        (302, ErrorCode.CLOUD_BAD_ANSWER, False),
    ],
)
def test_a_status_tells_whether_the_call_certainly_did_not_run(
    wire, client, status, code, is_refundable
):
    _say(wire, status, {})
    error = _failure(client(retry=_ONE_TRY))
    assert (error.code, error.certainly_not_run) == (code, is_refundable)


@pytest.mark.parametrize(("err_no", "is_refundable"), [(3005, True), (3002, False)])
def test_a_cloud_that_was_too_late_says_whether_it_ran(wire, client, err_no, is_refundable):
    _say(wire, 504, {"err_no": err_no})
    assert _failure(client(retry=_ONE_TRY)).certainly_not_run == is_refundable


def test_one_try_that_may_have_run_decides_for_the_whole_call(wire, client):
    _say(wire, 500, {})
    _say(wire, 503, {})
    _say(wire, 503, {})
    assert not _failure(client()).certainly_not_run


def test_refusals_alone_certainly_did_not_run(wire, client):
    _say(wire, 503, {})
    assert _failure(client()).certainly_not_run


def test_a_wait_that_the_cloud_asks_for_is_honoured(wire, client):
    _say(wire, 503, {}, headers={"Retry-After": "1"})
    _say(wire)
    started_s = time.monotonic()
    _ask(client())
    assert time.monotonic() - started_s >= 1.0


def test_a_wait_beyond_the_deadline_is_not_begun(wire, client):
    _say(wire, 503, {}, headers={"Retry-After": "30"})
    started_s = time.monotonic()
    _failure(client(), seconds=10.0)
    assert time.monotonic() - started_s < 8.0
    assert len(wire.calls) == 1


@pytest.mark.parametrize("value", ["soon", "-1", "1e9", "Wed, 21 Oct 2015 07:28:00 GMT", "9" * 40])
def test_an_odd_wait_is_left_aside(wire, client, value):
    _say(wire, 503, {}, headers={"Retry-After": value})
    _say(wire)
    assert _ask(client()).label is Label.FIRE


@pytest.mark.parametrize(
    "error", [requests.ConnectTimeout("x"), requests.ReadTimeout("x"), requests.ConnectionError()]
)
def test_a_broken_link_is_tried_again(wire, client, error):
    wire.post(f"{_URL}/infer", body=error)
    _say(wire)
    assert _ask(client()).label is Label.FIRE


def test_the_default_profile_is_two_tries_of_a_second():
    assert (DEFAULT_RETRY.tries, DEFAULT_RETRY.timeout_s, DEFAULT_RETRY.first_pause_s) == (
        2,
        1.0,
        0.1,
    )


def test_the_classic_profile_is_three_tries_of_one_and_a_half_seconds():
    assert (
        RetrySettings(tries=3, timeout_s=1.5, first_pause_s=1.0, longest_pause_s=10.0)
        == CLASSIC_RETRY
    )


def test_a_password_of_a_proxy_in_the_environment_is_not_used(monkeypatch, client):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with stand_in_cloud(answers()) as cloud:
        assert _ask(client(cloud.url, replace(_ONE_TRY, timeout_s=30.0))).label is Label.FIRE


def test_a_call_whose_deadline_has_passed_is_not_sent_and_certainly_did_not_run(wire, client):
    error = _failure(client(), seconds=0.0)
    assert (error.code, error.certainly_not_run) == (ErrorCode.DEADLINE_MISSED, True)
    assert len(wire.calls) == 0


def test_a_dead_port_certainly_did_not_run(client):
    with dead_url() as url:
        error = _failure(client(url))
    assert (error.code, error.certainly_not_run) == (ErrorCode.CLOUD_UNREACHABLE, True)


@pytest.mark.parametrize("answer", [hangs, drips, drips_headers])
def test_a_peer_without_end_is_ended_at_the_timeout_of_a_try(client, answer):
    with stand_in_cloud(answer) as cloud:
        started_s = time.monotonic()
        error = _failure(client(cloud.url, _ONE_TRY), seconds=30.0)
        took_s = time.monotonic() - started_s
    assert (error.code, error.certainly_not_run) == (ErrorCode.CLOUD_TIMEOUT, False)
    assert took_s < 15.0  # of the 30 s that the call may take


def test_the_tries_together_stay_inside_the_deadline(client):
    with stand_in_cloud(hangs) as cloud:
        started_s = time.monotonic()
        _failure(client(cloud.url, replace(DEFAULT_RETRY, timeout_s=15.0)), seconds=0.7)
    assert time.monotonic() - started_s < 15.0  # the two tries by themselves take 30 s


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_a_failed_call_and_nothing_else(client, name):
    with stand_in_cloud(HOSTILE[name]) as cloud:
        error = _failure(client(cloud.url, _ONE_TRY))
    assert error.code in (
        ErrorCode.CLOUD_BAD_ANSWER,
        ErrorCode.CLOUD_UNREACHABLE,
        ErrorCode.CLOUD_TIMEOUT,
    )
    assert len(error.detail) < 1000


def test_a_connection_is_used_again(client):
    ports = set()

    def answer(exchange):
        body = json.dumps(good_answer()).encode()
        ports.add(exchange.sock.getpeername()[1])
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        exchange.sock.recv(1)  # until the second call is there, or the connection was given up

    # A stand-in carries one call a connection, so a second call on it would get no answer.
    with stand_in_cloud(answer) as cloud:
        asking = client(cloud.url, replace(_ONE_TRY, timeout_s=30.0))
        _ask(asking)
        with pytest.raises(LinkError):
            _ask(asking)
    assert len(ports) == 1


def test_a_call_whose_turn_came_too_late_is_not_sent_not_paid_and_not_held_against_the_cloud(
    wire, client
):
    """A box under full load gives its forwarder threads their turn late; that must not shut the cloud out."""
    clock = FakeClock()
    books = _Books()
    forwarder = Forwarder(
        client(),
        breaker=Breaker(BreakerSettings(), clock),
        books=books,
        latency=Latency(clock),
        max_in_flight=1,
        uplink=Uplink(
            best=UploadForm(long_side_px=1280, quality=75),
            bytes_per_s=0,
            burst_bytes=100_000,
            clock=clock,
        ),
    )
    for _ in range(4):
        assert forwarder.enter("frame") is None
        outcome = forwarder.send(frame(), decision(), Deadline.after(0.0, clock)).result(40)
        assert (outcome.reason, outcome.charged_micros) == (Reason.FALLBACK_TOO_LATE, 0)
    forwarder.stop(5.0)
    assert books.refunded == ["frame"] * 4
    assert forwarder.breaker.state is BreakerState.CLOSED
    assert len(wire.calls) == 0


class _Books:
    def __init__(self) -> None:
        self.refunded: list[str] = []

    def refund(self, call_id: str) -> bool:
        self.refunded.append(call_id)
        return True

    def settle(self, call_id: str, cost_micros: int) -> int:
        raise AssertionError("nothing was answered")
