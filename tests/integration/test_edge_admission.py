"""A flood of posted pictures is refused early; cameras' own frames are not, and go first."""

from __future__ import annotations

import concurrent.futures
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Event

import pytest
import requests

from edge.classify.classifier import Ran
from shared.types import Picture
from tests.helpers.pictures import calm_jpeg, fire_jpeg
from tests.helpers.services import Running, running_edge
from tests.helpers.waiting import wait_until

_EDGE_ONLY = {"policy": {"name": "edge_only"}}


def _taken(edge: Running) -> AbstractContextManager[None]:
    """Take one of a running edge's places; with `server.places = 1` it is full."""
    place: AbstractContextManager[None] = edge.service._line.admission.place()
    return place


def _refused(edge: Running, reason: str) -> float:
    found = re.search(
        rf'fire_edge_refused_total{{reason="{reason}"}} (\S+)', edge.get("/metrics").text
    )
    assert found
    return float(found.group(1))


class _Gate:
    """Stands before the classifier's model; `pictures` are those that were run, in order."""

    def __init__(self, run: Callable[..., Ran], delay_s: float | None) -> None:
        self._run = run
        self._delay_s = delay_s
        self.go_on = Event()
        self.pictures: list[bytes] = []

    def __call__(self, picture: Picture, *given: object) -> Ran:
        self.pictures.append(picture.encoded)
        assert self.go_on.wait(self._delay_s or 40) or self._delay_s
        return self._run(picture, *given)


def _stages_ms(answer: requests.Response) -> dict[str, float]:
    found = re.findall(r"(\w+);dur=([\d.]+)", answer.headers["Server-Timing"])
    return {name: float(ms) for name, ms in found}


@contextmanager
def _held_model(edge: Running, delay_s: float | None = None) -> Iterator[_Gate]:
    """Hold the classifier's model until `go_on` is set or the block ends, or each run for `delay_s`."""
    model = edge.service._models.classifier._model
    gate = _Gate(model.run, delay_s)
    model.run = gate
    try:
        yield gate
    finally:
        gate.go_on.set()
        del model.run


@pytest.fixture
def full(tmp_path, models):
    cameras = {"yard": {"source": "push:"}}
    with (
        running_edge(tmp_path, models, server={"places": 1}, cameras=cameras, **_EDGE_ONLY) as edge,
        _taken(edge),
    ):
        yield edge


@pytest.mark.parametrize("path", ["/joint_predict", "/adaptive_predict", "/predict"])
@pytest.mark.parametrize("content_type", ["image/jpeg", "image/jpeg; q=1"])
def test_the_next_picture_is_refused_with_the_time_to_come_back(full, path, content_type):
    answer = full.show(path, calm_jpeg(), content_type=content_type)
    assert (answer.status_code, answer.json()["err_no"]) == (503, 2005)
    assert int(answer.headers["Retry-After"]) >= 1
    assert _refused(full, "full") == 1
    assert 'outcome="failed"} 1.0' not in full.get("/metrics").text


def test_what_is_refused_is_refused_before_its_body_is_parsed(tmp_path, models):
    with (
        running_edge(tmp_path, models, server={"places": 1}, **_EDGE_ONLY) as edge,
        _taken(edge),
    ):
        answer = edge.post(
            "/predict", data=b"{no json", headers={"Content-Type": "application/json"}
        )
    assert (answer.status_code, answer.json()["err_no"]) == (503, 2005)


@pytest.mark.parametrize(
    "ask",
    [
        lambda edge: edge.show("/joint_predict?camera=yard", calm_jpeg()),
        lambda edge: edge.post(
            "/joint_predict", files={"image": calm_jpeg()}, data={"camera": "yard"}
        ),
    ],
    ids=["query", "form"],
)
def test_a_camera_whose_frames_are_posted_is_never_refused(full, ask):
    assert ask(full).json()["source"] == "edge"


def test_a_name_that_is_no_such_camera_opens_no_door(full):
    assert full.show("/joint_predict?camera=gate", calm_jpeg()).status_code == 503


def test_pages_and_health_answer_in_a_full_house(full):
    assert {full.get(path).status_code for path in ("/healthz", "/cameras", "/")} == {200}


def test_pictures_of_a_batch_that_find_no_place_say_so_one_by_one(tmp_path, models):
    with running_edge(tmp_path, models, **_EDGE_ONLY) as edge, _held_model(edge, 0.6):
        files = [("images", calm_jpeg())] * 8
        answer = edge.post(
            "/batch_predict", files=files, headers={"X-Request-Deadline-Ms": "2000"}
        ).json()
    numbers = [item["err_no"] for item in answer["result"]["results"]]
    assert numbers[:2] == [0, 0]
    assert numbers[-1] == 3005


def test_a_flood_is_answered_in_time_or_refused(tmp_path, models):
    headers = {"Content-Type": "image/jpeg", "X-Request-Deadline-Ms": "1000"}

    def call(_number: int) -> list[requests.Response]:
        with requests.Session() as session:
            url = f"{edge.url}/joint_predict"
            return [session.post(url, data=calm_jpeg(), headers=headers) for _ in range(3)]

    server = {"threads": 32, "places": 16}
    with (
        running_edge(tmp_path, models, server=server, **_EDGE_ONLY) as edge,
        _held_model(edge, 0.1) as held,
        concurrent.futures.ThreadPoolExecutor(32) as callers,
    ):
        told = [answer for answers in callers.map(call, range(32)) for answer in answers]
    answered = [answer for answer in told if answer.status_code == 200]
    refused = [answer for answer in told if answer.status_code in (503, 504)]
    assert answered
    assert refused
    assert len(answered) + len(refused) == len(told)
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    # By the service's own watch: how late a client hears of it says more about this machine.
    assert max(sum(_stages_ms(answer).values()) for answer in answered) < 1500
    assert len(held.pictures) < len(answered) + len(refused) / 2  # what nobody waits for is not run


def test_the_deadline_counts_from_when_the_whole_request_was_there(tmp_path, models):
    def ask(_number: int) -> int:
        headers = {"Content-Type": "image/jpeg", "X-Request-Deadline-Ms": "500"}
        return requests.post(url, data=calm_jpeg(), headers=headers, timeout=20).status_code

    with (
        running_edge(tmp_path, models, server={"threads": 2}, **_EDGE_ONLY) as edge,
        _held_model(edge, 0.3) as held,
        concurrent.futures.ThreadPoolExecutor(8) as callers,
    ):
        url = f"{edge.url}/predict"
        statuses = sorted(callers.map(ask, range(8)))
    assert statuses[-3:] == [504] * 3  # they waited for a thread longer than they had
    assert len(held.pictures) < 5


def test_a_cameras_own_frame_goes_before_posted_ones(tmp_path, models):
    cameras = {"yard": {"source": "push:"}}
    with (
        running_edge(tmp_path, models, cameras=cameras, **_EDGE_ONLY) as edge,
        _held_model(edge) as held,
        concurrent.futures.ThreadPoolExecutor(8) as callers,
    ):
        classifier = edge.service._models.classifier
        posted = [callers.submit(edge.show, "/predict", calm_jpeg()) for _ in range(4)]
        wait_until(lambda: len(classifier._posted) == 3)
        own = callers.submit(edge.show, "/joint_predict?camera=yard", fire_jpeg())
        wait_until(lambda: classifier._own)
        held.go_on.set()
        assert own.result().json()["label"] == "fire"
        assert all(one.result().ok for one in posted)
    assert [picture == fire_jpeg() for picture in held.pictures] == [False, True, *[False] * 3]


@pytest.mark.parametrize("content_type", ["image/jpeg", "image/jpeg; q=1"])
def test_every_answer_with_a_model_tells_where_the_time_went(tmp_path, models, content_type):
    with running_edge(tmp_path, models, **_EDGE_ONLY) as edge:
        for path in ("/joint_predict", "/predict"):
            answer = edge.show(path, calm_jpeg(), content_type=content_type)
            assert {"queue", "decode", "infer"} <= _stages_ms(answer).keys()
            assert answer.json()["model"]["name"] == "edge-classifier"
