from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.decide.audit import Audit, report, upper_bound


def audits(count: int, misses: int = 0, presence: float = 0.001) -> list[Audit]:
    return [
        Audit(day="2026-01-02", camera="gate", presence=presence, is_miss=n < misses)
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("misses", "checked", "bound"),
    [(0, 59, 0.0495), (0, 300, 0.00994), (1, 100, 0.04656), (5, 50, 0.19883)],
)
def test_the_bound_is_clopper_and_pearsons(misses, checked, bound):
    assert upper_bound(misses, checked) == pytest.approx(bound, rel=2e-3)


@given(st.integers(1, 500))
def test_without_a_miss_the_bound_is_about_three_in_n(checked):
    assert upper_bound(0, checked) <= 3.0 / checked


@given(st.integers(0, 60), st.integers(1, 60))
def test_the_bound_is_never_below_what_was_seen(misses, checked):
    assert upper_bound(min(misses, checked), checked) >= min(misses, checked) / checked


def test_without_audits_nothing_is_known():
    assert upper_bound(0, 0) == 1.0
    assert report("2026-01-02", [], []).total.upper_bound == 1.0


def test_audits_are_told_by_band():
    told = report("2026-01-02", audits(10) + audits(5, misses=2, presence=0.3), [])
    by_name = {band.name: (band.audits, band.misses) for band in told.bands}
    assert (by_name["0–0.01"], by_name["0.2–0.5"]) == ((10, 0), (5, 2))
    assert sum(band.audits for band in told.bands) == told.total.audits == 15


def test_a_rise_of_misses_is_a_drift():
    assert report("2026-01-02", audits(20, misses=6), audits(140, misses=2)).has_drifted


def test_the_usual_misses_are_no_drift():
    assert not report("2026-01-02", audits(20, misses=1), audits(140, misses=5)).has_drifted
    assert not report("2026-01-02", audits(20, misses=6), []).has_drifted
