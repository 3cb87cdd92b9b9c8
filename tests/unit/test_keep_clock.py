"""The clock by which evidence ages."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from edge.record.keep_clock import KeepClock
from tests.helpers.clock import FakeClock
from tests.helpers.evidence import AT

_HOUR = 3600.0


def test_it_follows_time_as_it_passes():
    clock = FakeClock(AT)
    kept = KeepClock(clock, None)
    clock.advance(40 * 24 * _HOUR)
    assert kept.now_at() == AT + timedelta(days=40)


def test_a_clock_that_is_set_forward_ages_nothing():
    clock = FakeClock(AT)
    kept = KeepClock(clock, None)
    clock.set_wall(AT + timedelta(days=40))
    assert kept.now_at() == AT
    assert kept.wall_is_ahead() == timedelta(days=40)


def test_a_clock_that_is_set_back_does_not_take_it_back():
    clock = FakeClock(AT)
    kept = KeepClock(clock, None)
    clock.set_wall(AT - timedelta(days=40))
    clock.advance(_HOUR)
    assert kept.now_at() == AT + timedelta(hours=1)


def test_a_night_off_counts():
    kept = KeepClock(FakeClock(AT), AT - timedelta(hours=12))
    assert kept.now_at() == AT


def test_a_restart_into_the_past_goes_on_where_it_was():
    kept = KeepClock(FakeClock(AT), AT + timedelta(days=40))
    assert kept.now_at() == AT + timedelta(days=40)


def test_a_restart_weeks_later_is_believed_only_when_somebody_vouches_for_it():
    clock = FakeClock(AT)
    kept = KeepClock(clock, AT - timedelta(days=40))
    assert kept.now_at() == AT - timedelta(days=40)
    clock.advance(_HOUR)
    kept.trust_start()
    assert kept.now_at() == AT + timedelta(hours=1)


def test_a_start_is_not_vouched_for_when_the_clock_was_set_since():
    clock = FakeClock(AT)
    kept = KeepClock(clock, AT - timedelta(days=40))
    clock.set_wall(AT - timedelta(days=39))
    kept.trust_start()
    assert kept.now_at() == AT - timedelta(days=40)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(-90, 90)), max_size=12))
def test_it_never_goes_back_and_never_outruns_what_passed(steps):
    clock = FakeClock(AT)
    kept, passed = KeepClock(clock, None), timedelta(0)
    for seconds, days in steps:
        before = kept.now_at()
        clock.advance(seconds)
        clock.set_wall(AT + timedelta(days=days))
        passed += timedelta(seconds=seconds)
        assert before <= kept.now_at() <= AT + passed + timedelta(milliseconds=1)
