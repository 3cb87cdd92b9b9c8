from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.decide.policies import SlidingWindowPolicy
from edge.decide.threshold import SlidingWindowThreshold, WindowSettings
from shared.types import Classification


def _published(confidences: list[float]) -> list[bool]:
    """The rule as it was published, word for word: window 100, start 0.7, mean × 0.9, decision before update."""
    threshold, history, forwarded = 0.7, [], []
    for confidence in confidences:
        forwarded.append(confidence < threshold)
        history.append(confidence)
        if len(history) > 100:
            history.pop(0)
        if len(history) == 100:
            threshold = sum(history) / len(history) * 0.9
    return forwarded


def _seen(confidence: float) -> Classification:
    return Classification(fire=confidence, smoke=0.0)


def test_the_threshold_starts_at_seven_tenths():
    assert SlidingWindowThreshold().value == 0.7


def test_the_threshold_stays_while_the_window_fills():
    threshold = SlidingWindowThreshold()
    for _ in range(99):
        threshold.update(0.99)
    assert threshold.value == 0.7


def test_a_full_window_sets_the_threshold_to_nine_tenths_of_its_mean():
    threshold = SlidingWindowThreshold()
    for _ in range(100):
        threshold.update(0.8)
    assert threshold.value == pytest.approx(0.72)


def test_the_window_forgets_what_is_older_than_a_hundred_frames():
    threshold = SlidingWindowThreshold()
    for confidence in [0.5] * 100 + [0.9] * 100:
        threshold.update(confidence)
    assert threshold.value == pytest.approx(0.81)


@given(st.lists(st.floats(0.5, 1.0), min_size=90, max_size=260))
def test_the_policy_decides_exactly_as_the_published_rule(confidences):
    policy = SlidingWindowPolicy()
    decided = [policy.wish(None, _seen(c)).forward for c in confidences]
    assert decided == _published(confidences)


def test_a_frame_is_judged_before_it_moves_the_threshold():
    policy = SlidingWindowPolicy(SlidingWindowThreshold(WindowSettings(window=1, initial=0.7)))
    assert policy.wish(None, _seen(0.6)).threshold == 0.7


def test_floor_and_ceiling_hold_the_threshold():
    threshold = SlidingWindowThreshold(WindowSettings(window=1, floor=0.6, ceiling=0.8))
    threshold.update(0.5)
    low = threshold.value
    threshold.update(1.0)
    assert (low, threshold.value) == (0.6, 0.8)
