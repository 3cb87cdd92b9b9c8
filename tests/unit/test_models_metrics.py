"""Measures against cases worked out by hand, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from models.calibrate import fit_platt, held_out_probabilities
from models.metrics import (
    PictureBoxes,
    auc,
    average_precision,
    box_average_precision,
)


def boxes(found: list[list[float]], scores: list[float], truth: list[list[float]]) -> PictureBoxes:
    return PictureBoxes(
        boxes_xyxy=np.asarray(found, np.float32).reshape(-1, 4),
        scores=np.asarray(scores, np.float32),
        truth_xyxy=np.asarray(truth, np.float32).reshape(-1, 4),
    )


ONE = [0.0, 0.0, 10.0, 10.0]
FAR = [50.0, 50.0, 60.0, 60.0]


def test_auc_counts_ties_half() -> None:
    assert auc(np.array([0.5, 0.5]), np.array([0, 1])) == 0.5
    assert auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])) == 0.75


def test_auc_and_ap_agree_with_scikit_learn() -> None:
    reference = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    scores = rng.normal(labels * 0.8, 1.0)
    assert auc(scores, labels) == pytest.approx(reference.roc_auc_score(labels, scores))
    assert average_precision(scores, labels) == pytest.approx(
        reference.average_precision_score(labels, scores)
    )


def test_a_perfect_detector_has_an_ap_of_one() -> None:
    assert box_average_precision([boxes([ONE], [0.9], [ONE])], 0.5) == pytest.approx(1.0)


def test_a_second_box_on_the_same_fire_is_false() -> None:
    pictures = [boxes([ONE, ONE], [0.9, 0.8], [ONE, FAR])]
    assert box_average_precision(pictures, 0.5) == pytest.approx(51 / 101)


def test_false_boxes_on_a_picture_without_fire_count() -> None:
    pictures = [boxes([ONE], [0.5], [ONE]), boxes([ONE], [0.9], [])]
    assert box_average_precision(pictures, 0.5) == pytest.approx(0.5)


def test_nothing_found_is_zero_and_nothing_to_find_is_not_a_number() -> None:
    assert box_average_precision([boxes([], [], [ONE])], 0.5) == 0.0
    assert np.isnan(box_average_precision([boxes([ONE], [0.5], [])], 0.5))


def test_platt_finds_the_scale_and_bias_that_made_the_labels() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, 20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-(0.7 * logits - 0.5)))).astype(float)
    platt = fit_platt(logits, labels)
    assert platt.scale == pytest.approx(0.7, abs=0.05)
    assert platt.bias == pytest.approx(-0.5, abs=0.05)


def test_platt_stays_finite_on_separated_classes() -> None:
    platt = fit_platt(np.array([-5.0, -4.0, 4.0, 5.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert 0 < platt.scale < 10


def test_left_out_probabilities_leave_unknown_labels_out() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, (60, 2)).astype(np.float32)
    truth[5, 1] = np.nan
    logits = (truth * 2 - 1 + rng.normal(0, 1, truth.shape)).astype(np.float32)
    sources = np.array([f"s{i % 6}" for i in range(60)])
    probabilities = held_out_probabilities(np.nan_to_num(logits), truth, sources)
    assert np.isnan(probabilities[5, 1])
    assert np.isfinite(np.delete(probabilities[:, 1], 5)).all()
