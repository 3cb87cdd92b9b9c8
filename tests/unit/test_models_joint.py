"""The pair forwards what it doubts most, and the cloud's word rules there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the extra `train`")

from models.joint import joint_curve


def at(points, forwarded):
    return next(p for p in points if p.forwarded == forwarded)


def test_the_doubtful_half_goes_up_and_the_cloud_puts_it_right() -> None:
    p = np.array([0.45, 0.55, 0.02, 0.99])
    is_fire = np.array([True, False, False, True])
    curve = joint_curve(p, is_fire, cloud_says=is_fire)
    assert at(curve, 0.0).accuracy == 0.5
    assert at(curve, 0.5).accuracy == 1.0
    assert at(curve, 0.5).kept_error == 0.0
    assert np.isnan(at(curve, 1.0).kept_error)


def test_a_cloud_that_is_wrong_rules_all_the_same() -> None:
    is_fire = np.array([True, False])
    curve = joint_curve(np.array([0.9, 0.1]), is_fire, cloud_says=~is_fire)
    assert [at(curve, share).accuracy for share in (0.0, 0.5, 1.0)] == [1.0, 0.5, 0.0]


@given(
    frames=st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.booleans()), min_size=1),
)
def test_the_ends_of_the_curve_are_the_edge_alone_and_the_cloud_alone(frames) -> None:
    p = np.array([f[0] for f in frames])
    is_fire, cloud = (np.array([f[i] for f in frames], bool) for i in (1, 2))
    curve = joint_curve(p, is_fire, cloud)
    assert curve[0].accuracy == pytest.approx(((p >= 0.5) == is_fire).mean())
    assert curve[0].kept_error == pytest.approx(1 - curve[0].accuracy)
    assert curve[-1].accuracy == pytest.approx((cloud == is_fire).mean())


def test_without_a_cloud_there_is_risk_and_no_accuracy() -> None:
    curve = joint_curve(np.array([0.4, 0.9]), np.array([True, True]))
    assert curve[0].kept_error == 0.5
    assert np.isnan(curve[0].accuracy)
