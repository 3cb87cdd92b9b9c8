"""Edge and cloud as real services: what one picture becomes on its way through both."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.pictures import calm_jpeg, colour_bgr, fire_jpeg, png, unsure_jpeg
from tests.helpers.services import Running, running_cloud, running_edge
from tests.helpers.stand_in_clouds import answers, stand_in_cloud

_PATIENT = {
    "timeout_s": 8.0
}  # these tests are about answers, not about how soon a shared machine gives them
_DEADLINE_MS = 10_000


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Running]:
    with running_cloud(tmp_path_factory.mktemp("cloud"), models) as running:
        yield running


@pytest.fixture(scope="module")
def edge(
    tmp_path_factory: pytest.TempPathFactory, models: Path, cloud: Running
) -> Iterator[Running]:
    """Run one edge for the tests that neither fill its window nor empty its budget."""
    sections = {
        "policy": {"name": "fixed", "daily_limit": 1000, "deadline_ms": _DEADLINE_MS},
        "limits": {"max_batch": 4},
        "cloud": _PATIENT,
    }
    with running_edge(tmp_path_factory.mktemp("edge"), models, cloud.url, **sections) as running:
        yield running


@pytest.mark.parametrize(("jpeg", "label"), [(fire_jpeg(), "fire"), (calm_jpeg(), "none")])
def test_a_sure_frame_is_answered_by_the_edge(edge, jpeg, label):
    body = edge.show("/joint_predict", jpeg).json()
    assert (body["source"], body["label"], body["cost"]) == ("edge", label, 0)


def test_an_unsure_frame_is_answered_by_the_cloud_and_costs(edge):
    body = edge.show("/joint_predict", unsure_jpeg()).json()
    assert (body["source"], body["cost"]) == ("cloud", 0.02)
    assert body["model"]["name"] == "cloud-detector"


def test_an_answer_of_the_cloud_keeps_the_edge_s_own_confidence_beside_it(edge):
    body = edge.show("/joint_predict", unsure_jpeg()).json()
    assert body["edge_confidence"] < 0.7
    assert body["confidence"] != body["edge_confidence"]


def test_a_call_of_the_cloud_is_charged_and_an_answer_of_the_edge_is_not(edge):
    before = edge.show("/joint_predict", fire_jpeg()).json()["decision"]["budget_remaining"]
    decision = edge.show("/joint_predict", unsure_jpeg()).json()["decision"]
    assert (decision["charged"], decision["budget_remaining"]) == (
        True,
        pytest.approx(before - 0.02),
    )


def test_two_identical_anonymous_posts_get_the_same_decision(edge):
    jpeg = unsure_jpeg()
    first, second = (edge.show("/joint_predict", jpeg).json() for _ in range(2))
    same = ("source", "label", "confidence", "detections", "cost")
    assert {k: first[k] for k in same} == {k: second[k] for k in same}
    assert first["decision"]["reason"] == second["decision"]["reason"]


def test_predict_asks_the_edge_alone_however_unsure_it_is(edge):
    body = edge.show("/predict", unsure_jpeg()).json()
    assert (body["source"], body["model"]["name"]) == ("edge", "edge-classifier")


@pytest.mark.parametrize(
    ("width", "height"),
    [(640, 640), (640, 480), (480, 640), (2000, 1500), (1500, 2000), (1700, 800)],
)
@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_boxes_come_back_in_pixels_of_the_picture_that_was_posted(
    tmp_path, models, cloud, width, height, kind
):
    bgr = colour_bgr(red=240, blue=20, width_px=width, height_px=height)
    encoded = png(bgr) if kind == "png" else fire_jpeg(width_px=width, height_px=height)
    policy = {"name": "always", "deadline_ms": _DEADLINE_MS}
    with running_edge(tmp_path, models, cloud.url, policy=policy, cloud=_PATIENT) as edge:
        (found,) = edge.show("/joint_predict", encoded).json()["detections"]
    expected = [0, 0, width / 2, height / 2]
    assert found["box_xyxy"] == pytest.approx(expected, abs=max(width, height) / 60)


def test_the_deadline_of_the_caller_is_passed_on_as_a_limit(edge):
    body = edge.show("/joint_predict", unsure_jpeg(), X_Request_Deadline_Ms="20").json()
    assert (body["source"], body["decision"]["reason"]) == ("edge_fallback", "fallback_too_late")


def test_without_a_cloud_the_edge_answers_everything_and_is_no_fallback(tmp_path, models):
    with running_edge(tmp_path, models, policy={"name": "always"}) as edge:
        body = edge.show("/joint_predict", unsure_jpeg()).json()
    assert (body["source"], body["decision"]["reason"]) == ("edge", "edge_policy")


def test_a_pretended_cloud_answers_like_a_real_one(tmp_path, models):
    url = "mock:?latency_s=0&label=smoke"
    with running_edge(tmp_path, models, url, policy={"name": "always"}) as edge:
        body = edge.show("/joint_predict", unsure_jpeg()).json()
    assert (body["source"], body["label"], body["model"]["name"]) == ("cloud", "smoke", "mock")


def test_a_pretended_cloud_that_fails_is_not_paid(tmp_path, models):
    url = "mock:?latency_s=0&fail=1"
    with running_edge(tmp_path, models, url, policy={"name": "always"}) as edge:
        body = edge.show("/joint_predict", unsure_jpeg()).json()
    assert (body["source"], body["cost"]) == ("edge_fallback", 0)
    assert body["decision"]["budget_remaining"] == 10.0


def test_a_batch_is_answered_in_its_order(edge):
    pictures = [("images", p) for p in (fire_jpeg(), calm_jpeg(), unsure_jpeg())]
    results = edge.post("/batch_predict", files=pictures).json()["result"]["results"]
    assert [r["index"] for r in results] == [0, 1, 2]
    assert [r["label"] for r in results][:2] == ["fire", "none"]
    assert {r["model"]["name"] for r in results} == {"edge-classifier"}


def test_a_batch_may_come_as_base64(edge):
    images = [base64.b64encode(p).decode() for p in (fire_jpeg(), calm_jpeg())]
    results = edge.post("/batch_predict", json={"images": images}).json()["result"]["results"]
    assert [r["label"] for r in results] == ["fire", "none"]


@pytest.mark.parametrize("query", ["", "?joint=1"])
@pytest.mark.parametrize("poison", [b"not a picture", fire_jpeg()[:-300]])
def test_a_poison_picture_in_a_batch_costs_one_error(edge, query, poison):
    pictures = [("images", p) for p in (fire_jpeg(), poison, calm_jpeg())]
    result = edge.post(f"/batch_predict{query}", files=pictures).json()["result"]
    assert [r["err_no"] == 0 for r in result["results"]] == [True, False, True]
    assert result["failed"] == 1


def test_a_joint_batch_asks_the_cloud_for_what_the_edge_is_unsure_of(edge):
    pictures = [("images", p) for p in (fire_jpeg(), unsure_jpeg(), calm_jpeg())]
    results = edge.post("/batch_predict?joint=1", files=pictures).json()["result"]["results"]
    assert [r["source"] for r in results] == ["edge", "cloud", "edge"]


def test_too_large_a_batch_is_refused_as_a_whole(edge):
    answer = edge.post("/batch_predict", files=[("images", fire_jpeg())] * 5)
    assert (answer.status_code, answer.json()["err_no"]) == (413, 1011)


def test_a_trace_is_continued_to_the_cloud(tmp_path, models):
    trace = "0af7651916cd43dd8448eb211c80319c"
    with (
        stand_in_cloud(answers()) as cloud,
        running_edge(tmp_path, models, cloud.url, policy={"name": "always"}) as edge,
    ):
        parent = f"00-{trace}-b7ad6b7169203331-01"
        edge.show("/joint_predict", fire_jpeg(), traceparent=parent, tracestate="rojo=1,congo=2")
    assert trace in (cloud.calls[0].header("traceparent") or "")
    assert cloud.calls[0].header("tracestate") == "rojo=1,congo=2"


def _window_edge(tmp_path: Path, models: Path):
    return running_edge(
        tmp_path, models, "mock:?latency_s=0&label=none", policy={"daily_limit": 100}
    )


def _adaptive(edge: Running, jpeg: bytes) -> dict[str, object]:
    body = edge.show("/adaptive_predict", jpeg).json()
    return {**body["decision"], "edge_confidence": body["edge_confidence"]}


def test_the_adaptive_threshold_is_exact_over_http(tmp_path, models):
    jpegs = [fire_jpeg(), calm_jpeg(), unsure_jpeg()]
    with _window_edge(tmp_path, models) as edge:
        decisions = [_adaptive(edge, jpegs[n % 3]) for n in range(102)]
    confidences = [float(str(d["edge_confidence"])) for d in decisions]
    expected = [0.7] * 100 + [0.9 * sum(confidences[n - 100 : n]) / 100 for n in (100, 101)]
    assert [d["threshold"] for d in decisions] == pytest.approx(expected, abs=1e-3)
    assert [d["forward"] for d in decisions] == [
        c < t for c, t in zip(confidences, expected, strict=True)
    ]


def test_adaptive_frames_do_not_move_the_configured_policy(tmp_path, models):
    with _window_edge(tmp_path, models) as edge:
        for _ in range(3):
            assert _adaptive(edge, unsure_jpeg())["policy"] == "sliding_window"
        decision = edge.show("/joint_predict", unsure_jpeg()).json()["decision"]
    assert (decision["policy"], decision["threshold"]) == ("price", None)


def test_both_routes_share_one_window_where_it_is_the_configured_policy(tmp_path, models):
    sections = {"policy": {"name": "sliding_window", "daily_limit": 100}}
    with running_edge(tmp_path, models, "mock:?latency_s=0", **sections) as edge:
        for _ in range(50):
            edge.show("/joint_predict", calm_jpeg())
            edge.show("/adaptive_predict", calm_jpeg())
        threshold = edge.show("/joint_predict", calm_jpeg()).json()["decision"]["threshold"]
    assert threshold > 0.7
