from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.boxes import area, iou_matrix, nms, vote

_coordinate = st.integers(-50, 300)
_box = st.tuples(_coordinate, _coordinate, st.integers(0, 100), st.integers(0, 100)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
_boxes = st.lists(_box, min_size=1, max_size=12).map(lambda b: np.array(b, np.float32))


def _scores(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(count).astype(np.float32)


@given(_boxes, _boxes)
def test_overlap_is_symmetric(a, b):
    assert np.array_equal(iou_matrix(a, b), iou_matrix(b, a).T)


@given(_boxes, _boxes)
def test_overlap_stays_between_nothing_and_all(a, b):
    overlap = iou_matrix(a, b)
    assert ((overlap >= 0.0) & (overlap <= 1.0)).all()


@given(_boxes)
def test_a_box_overlaps_itself_wholly_unless_it_is_empty(boxes):
    expected = (area(boxes) > 0).astype(np.float32)
    assert np.array_equal(np.diag(iou_matrix(boxes, boxes)), expected)


def test_a_box_turned_inside_out_is_empty():
    assert area(np.array([[10, 10, 0, 0]], np.float32))[0] == 0.0


def test_half_a_box_overlaps_the_whole_by_a_half():
    whole, half = np.array([[0, 0, 10, 10]], np.float32), np.array([[0, 0, 5, 10]], np.float32)
    assert iou_matrix(whole, half)[0, 0] == 0.5


@given(_boxes, st.integers(0, 99), st.floats(0.0, 0.9))
def test_boxes_that_are_kept_do_not_overlap_by_more_than_the_threshold(boxes, seed, threshold):
    kept = boxes[nms(boxes, _scores(len(boxes), seed), threshold)]
    overlap = iou_matrix(kept, kept)
    np.fill_diagonal(overlap, 0.0)
    assert (overlap <= threshold).all()


@given(_boxes, st.integers(0, 99))
def test_a_box_that_is_dropped_overlaps_a_better_one_that_is_kept(boxes, seed):
    scores = _scores(len(boxes), seed)
    kept = nms(boxes, scores, 0.5)
    for dropped in set(range(len(boxes))) - set(kept.tolist()):
        better = [k for k in kept if scores[k] >= scores[dropped]]
        assert iou_matrix(boxes[[dropped]], boxes[better]).max() > 0.5


def test_boxes_that_do_not_touch_are_all_kept_best_first():
    boxes = np.array([[0, 0, 1, 1], [5, 5, 6, 6], [9, 9, 10, 10]], np.float32)
    scores = np.array([0.2, 0.9, 0.5], np.float32)
    assert nms(boxes, scores, 0.0).tolist() == [1, 2, 0]


def test_of_equal_boxes_with_equal_scores_the_first_is_kept():
    boxes = np.array([[0, 0, 4, 4]] * 3, np.float32)
    assert nms(boxes, np.full(3, 0.5, np.float32), 0.5).tolist() == [0]


def test_no_boxes_give_no_boxes():
    assert nms(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.5).size == 0


@given(_boxes, st.integers(0, 99), st.floats(0.0, 0.9))
def test_a_voted_box_lies_within_the_boxes_that_voted(boxes, seed, threshold):
    scores = _scores(len(boxes), seed)
    kept = boxes[nms(boxes, scores, threshold)]
    voted = vote(kept, boxes, scores, threshold)
    assert voted.shape == kept.shape
    for before, after in zip(kept, voted, strict=True):
        near = boxes[iou_matrix(before[None], boxes)[0] > threshold]
        voters = np.concatenate([before[None], near])
        assert (after >= voters.min(0) - 1e-3).all()
        assert (after <= voters.max(0) + 1e-3).all()


def test_a_vote_weighs_by_score_and_closeness():
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [100, 100, 110, 110]], np.float32)
    scores = np.array([0.9, 0.3, 0.8], np.float32)
    voted = vote(boxes[:1], boxes, scores, 0.5)
    # The neighbour overlaps by two thirds: it weighs 0.3 × 4/9 against 0.9.
    assert voted[0] == pytest.approx(
        [2 * 0.1333 / 1.0333, 0, 10 + 2 * 0.1333 / 1.0333, 10], abs=1e-3
    )


def test_a_box_without_area_that_nobody_overlaps_stays():
    box = np.array([[3, 3, 3, 3]], np.float32)
    assert vote(box, box, np.ones(1, np.float32), 0.5).tolist() == box.tolist()
