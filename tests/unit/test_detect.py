from __future__ import annotations

import numpy as np
import pytest

from shared.model.detect import DetectorSettings, Finding, RawOutput, find
from shared.picture.letterbox import Letterbox
from shared.types import Label

_SETTINGS = DetectorSettings(thresholds={"fire": 0.5, "smoke": 0.4}, nms_iou=0.5)
# A 200 × 100 source in the middle of a 100 × 100 canvas: half its size, 25 px of padding above.
_LETTERBOX = Letterbox(
    canvas_width_px=100,
    canvas_height_px=100,
    source_width_px=200,
    source_height_px=100,
    scale=0.5,
    left_px=0,
    top_px=25,
    inner_size_px=(100, 50),
)


def _find(*rows: tuple[float, float, tuple[float, float, float, float]]) -> Finding:
    raw = RawOutput(
        scores=np.array([r[:2] for r in rows], np.float32).reshape(-1, 2),
        boxes=np.array([r[2] for r in rows], np.float32).reshape(-1, 4),
    )
    return find(raw, _LETTERBOX, _SETTINGS)


def test_a_box_comes_back_in_source_pixels():
    (found,) = _find((0.9, 0.0, (10, 30, 50, 70))).detections
    assert found.box.as_list() == [20.0, 10.0, 100.0, 90.0]


def test_a_box_is_clipped_to_the_source():
    (found,) = _find((0.9, 0.0, (-10, 0, 200, 100))).detections
    assert found.box.as_list() == [0.0, 0.0, 200.0, 100.0]


def test_a_box_in_the_padding_alone_is_dropped():
    assert _find((0.9, 0.0, (10, 0, 50, 20))).detections == ()


def test_each_label_has_its_own_threshold():
    found = _find((0.45, 0.0, (0, 30, 20, 50)), (0.0, 0.45, (40, 30, 60, 50)))
    assert [d.label for d in found.detections] == [Label.SMOKE]


def test_fire_names_the_picture_even_below_a_surer_smoke():
    found = _find((0.6, 0.0, (0, 30, 20, 50)), (0.0, 0.95, (40, 30, 60, 50)))
    assert (found.label, found.confidence) == (Label.FIRE, pytest.approx(0.6))


def test_boxes_come_best_first():
    found = _find((0.6, 0.0, (0, 30, 20, 50)), (0.0, 0.95, (40, 30, 60, 50)))
    scores = [d.score for d in found.detections]
    assert scores == sorted(scores, reverse=True)


def test_fire_does_not_suppress_smoke_at_the_same_place():
    assert len(_find((0.9, 0.0, (0, 30, 20, 50)), (0.0, 0.8, (0, 30, 20, 50))).detections) == 2


def test_without_a_box_the_confidence_is_that_nothing_is_there():
    found = _find((0.3, 0.1, (0, 30, 20, 50)))
    assert (found.label, found.confidence) == (Label.NONE, pytest.approx(0.7))


def test_no_candidates_at_all_are_a_sure_none():
    assert _find() == Finding(label=Label.NONE, confidence=1.0, detections=())


def test_an_answer_is_bounded_however_many_boxes_pass():
    rows = [
        (0.9, 0.0, (x % 100, 25 + x // 100, x % 100 + 0.5, 25.5 + x // 100)) for x in range(900)
    ]
    assert len(_find(*rows).detections) == 100
