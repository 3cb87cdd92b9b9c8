"""The short way of a raw JPEG through the edge answers exactly as the long way through Flask does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.pictures import calm_jpeg, fire_jpeg, unsure_jpeg
from tests.helpers.services import Running, running_edge

_SHORT, _LONG = "image/jpeg", "image/jpeg; q=1"  # a parameter is enough for the long way
_OWN = {"req_id", "frame_id", "timing_ms"}


def told(
    edge: Running, body: bytes, content_type: str, **headers: str
) -> tuple[int, Any, set[str]]:
    answer = edge.show("/joint_predict", body, content_type=content_type, **headers)
    return answer.status_code, without_own(answer.json()), set(answer.headers) - {"Date"}


def without_own(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_own(inner) for key, inner in value.items() if key not in _OWN}
    return value


@pytest.fixture(scope="module")
def edge(tmp_path_factory, models):
    state = tmp_path_factory.mktemp("state")
    with running_edge(state, models, policy={"name": "edge_only"}) as running:
        yield running


@pytest.mark.parametrize(
    "body",
    [
        fire_jpeg(),
        calm_jpeg(),
        unsure_jpeg(),
        fire_jpeg()[:600],
        b"not a picture",
        b"\xff\xd8\xff",
        b"",
    ],
    ids=["fire", "calm", "unsure", "cut", "text", "header", "empty"],
)
def test_both_ways_tell_the_same(edge, body):
    assert told(edge, body, _SHORT) == told(edge, body, _LONG)


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Request_Deadline_Ms": "nonsense"},
        {"X_Request_Deadline_Ms": "800"},
        {"X_Request_ID": "mine-1"},
        {"X_Request_ID": "bad id\t"},
        {"Accept": "application/problem+json"},
        {"Accept_Language": "zh-CN"},
        {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
    ],
)
@pytest.mark.parametrize("body", [fire_jpeg(), fire_jpeg()[:600]], ids=["whole", "cut"])
def test_both_ways_heed_the_same_headers(edge, headers, body):
    assert told(edge, body, _SHORT, **headers) == told(edge, body, _LONG, **headers)


def test_a_given_id_is_echoed_on_the_short_way_too(edge):
    for body in (fire_jpeg(), b"not a picture"):
        answer = edge.show("/joint_predict", body, X_Request_ID="mine-1")
        assert (answer.json()["req_id"], answer.headers["X-Request-ID"]) == ("mine-1", "mine-1")


def test_the_short_way_is_closed_where_browsers_may_call(tmp_path, models):
    origin = "https://console.example"
    server = {"cors_origins": [origin]}
    with running_edge(tmp_path, models, policy={"name": "edge_only"}, server=server) as running:
        answer = running.show("/joint_predict", fire_jpeg(), Origin=origin)
    assert answer.headers["Access-Control-Allow-Origin"] == origin
