"""A site's labels move the calibration as far as they are worth, and never past what they show."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.model.recalibrate import (
    LEAST_LABELS,
    Calibration,
    LabelledLogit,
    TooFewLabelsError,
    expected_calibration_error,
    fit,
    refit,
)

SHIPPED = Calibration(scale=1.0, bias=0.0)


def site(count: int, truth: Calibration, seed: int = 0) -> list[LabelledLogit]:
    """Labels of a site whose probabilities follow `truth`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, count)
    present = rng.random(count) < truth.probabilities(logits)
    return [
        LabelledLogit(logit=float(x), is_present=bool(y))
        for x, y in zip(logits, present, strict=True)
    ]


def test_calibration_error_of_a_known_case() -> None:
    labels = np.array([1.0] * 5 + [0.0] * 5)
    assert expected_calibration_error(np.full(10, 0.8), labels) == pytest.approx(0.3)


def test_many_labels_find_what_made_them() -> None:
    truth = Calibration(scale=0.6, bias=-1.5)
    found = refit(site(20_000, truth), SHIPPED).calibration
    assert found.scale == pytest.approx(truth.scale, abs=0.05)
    assert found.bias == pytest.approx(truth.bias, abs=0.08)


@pytest.mark.parametrize("seed", range(5))
def test_fifty_labels_of_a_site_that_differs_make_the_probabilities_truer(seed: int) -> None:
    truth = Calibration(scale=0.7, bias=-2.5)
    outcome = refit(site(50, truth, seed), SHIPPED)
    logits = np.random.default_rng(99).normal(0, 3, 4000)
    wanted = truth.probabilities(logits)
    before = np.abs(SHIPPED.probabilities(logits) - wanted).mean()
    after = np.abs(outcome.calibration.probabilities(logits) - wanted).mean()
    assert after < 0.6 * before
    assert outcome.helps
    assert outcome.labels == 50


def test_ten_labels_of_a_site_like_the_others_hardly_move_it() -> None:
    found = refit(site(10, SHIPPED, seed=3), SHIPPED).calibration
    assert abs(found.scale - SHIPPED.scale) < 0.5
    assert abs(found.bias - SHIPPED.bias) < 1.5


def test_the_error_after_is_of_labels_the_fit_did_not_see() -> None:
    outcome = refit(site(60, SHIPPED, seed=1), SHIPPED)
    items = site(60, SHIPPED, seed=1)
    logits = np.array([i.logit for i in items])
    labels = np.array([float(i.is_present) for i in items])
    on_what_it_saw = expected_calibration_error(outcome.calibration.probabilities(logits), labels)
    assert outcome.ece_after != pytest.approx(on_what_it_saw)


def test_classes_that_are_separated_perfectly_keep_a_finite_scale() -> None:
    found = fit(np.array([-5.0, -4.0, 4.0, 5.0]), np.array([0.0, 0.0, 1.0, 1.0]), towards=SHIPPED)
    assert 0 < found.scale < 10


@given(
    labelled=st.lists(
        st.tuples(st.floats(-30, 30), st.booleans()), min_size=LEAST_LABELS, max_size=40
    ),
    scale=st.floats(0.05, 5),
    bias=st.floats(-10, 10),
)
def test_whatever_the_labels_probabilities_stay_ordered_and_finite(
    labelled: list[tuple[float, bool]], scale: float, bias: float
) -> None:
    items = [LabelledLogit(logit=x, is_present=y) for x, y in labelled]
    shipped = Calibration(scale=scale, bias=bias)
    if len({y for _, y in labelled}) < 2:
        with pytest.raises(TooFewLabelsError, match="same"):
            refit(items, shipped)
        return
    outcome = refit(items, shipped)
    p = outcome.calibration.probabilities(np.linspace(-30, 30, 61))
    assert np.isfinite(p).all()
    assert (np.diff(p) >= 0).all()
    assert 0 <= outcome.ece_before <= 1
    assert 0 <= outcome.ece_after <= 1


def test_too_few_labels_are_refused_with_their_number() -> None:
    with pytest.raises(TooFewLabelsError, match="3 labels, at least 10"):
        refit(site(3, SHIPPED), SHIPPED)


def test_a_logit_that_is_no_number_is_refused() -> None:
    items = [*site(20, SHIPPED), LabelledLogit(logit=float("nan"), is_present=True)]
    with pytest.raises(ValueError, match="not finite"):
        refit(items, SHIPPED)
