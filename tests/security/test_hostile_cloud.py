from __future__ import annotations

import os

import psutil
import pytest

from tests.helpers.pictures import fire_jpeg
from tests.helpers.services import running_edge
from tests.helpers.stand_in_clouds import HOSTILE, answers, good_answer, stand_in_cloud

_SECTIONS = {
    "policy": {"name": "always", "daily_limit": 100, "deadline_ms": 20_000},
    "cloud": {"tries": 1, "timeout_s": 20.0},  # what is bad is told by what it is, not by its time
    "breaker": {"failures_to_open": 100},
}


def _ask(tmp_path, models, answer):
    with (
        stand_in_cloud(answer) as cloud,
        running_edge(tmp_path, models, cloud.url, **_SECTIONS) as edge,
    ):
        return edge.show("/joint_predict", fire_jpeg()).json()


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_cloud_says_the_edge_answers(tmp_path, models, name):
    body = _ask(tmp_path, models, HOSTILE[name])
    assert (body["err_no"], body["source"], body["label"]) == (0, "edge_fallback", "fire")
    assert body["decision"]["reason"] == "fallback_bad_answer"


@pytest.mark.parametrize(
    "box", [(-1e6, -1e6, 1e6, 1e6), (300, 150, 10, 10), (1e6, 1e6, 1e6, 1e6), (0, 0, 0, 0)]
)
def test_a_box_outside_the_picture_is_brought_inside(tmp_path, models, box):
    body = _ask(tmp_path, models, answers(good_answer(boxes=(box,))))
    (found,) = body["detections"]
    x1, y1, x2, y2 = found["box_xyxy"]
    assert 0 <= x1 <= x2 <= 320
    assert 0 <= y1 <= y2 <= 160


def test_a_cookie_of_the_cloud_harms_nobody(tmp_path, models):
    body = _ask(tmp_path, models, answers(Set_Cookie="a=" + "b" * 4000))
    assert body["source"] == "cloud"


def test_an_endless_answer_costs_no_memory(tmp_path, models):
    process = psutil.Process(os.getpid())
    before = process.memory_info().rss
    for number in range(3):
        _ask(tmp_path / str(number), models, HOSTILE["endless_body"])
    assert process.memory_info().rss - before < 60_000_000
