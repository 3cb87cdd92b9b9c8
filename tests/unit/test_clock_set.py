"""A time from before the clock was set, reckoned by the clock as it was set later."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.record.clock_set import ClockSet, clock_set_body, clock_set_of, reckoned
from edge.record.keep_clock import KeepClock
from tests.helpers.clock import FakeClock
from tests.helpers.evidence import AT, event_record, fire_event

_DAY = timedelta(days=1)
_FORWARD = ClockSet(was_at=AT, set_at=AT + 100 * _DAY)
_BACK = ClockSet(was_at=AT, set_at=AT - 100 * _DAY)


@pytest.mark.parametrize("days", [-20_000, -1, 1, 20_000])
def test_a_clock_that_was_set_is_told_with_where_it_would_have_stood_until_that_is_noted(days):
    clock = FakeClock(AT)
    kept = KeepClock(clock, None)
    clock.advance(60)
    clock.set_wall(AT + days * _DAY)
    clock.advance(5)
    found = kept.wall_set()
    assert found == ClockSet(was_at=AT + timedelta(seconds=65), set_at=clock.now_at())
    kept.note_wall_set(found)
    clock.advance(3600)
    assert kept.wall_set() is None


@pytest.mark.parametrize(("seconds", "is_told"), [(-10, True), (-9, False), (9, False), (10, True)])
def test_what_a_machine_that_stood_still_for_a_moment_loses_is_no_setting(seconds, is_told):
    clock = FakeClock(AT)
    kept = KeepClock(clock, None)
    clock.set_wall(AT + timedelta(seconds=seconds))
    assert (kept.wall_set() is not None) == is_told


def test_a_clock_that_crawls_away_in_small_steps_is_told_once_it_is_far_off():
    clock = FakeClock(AT)
    kept = KeepClock(clock, None)
    clock.set_wall(AT + timedelta(seconds=6))
    assert kept.wall_set() is None
    clock.set_wall(AT + timedelta(seconds=12))
    found = kept.wall_set()
    assert found is not None
    assert found.offset == timedelta(seconds=12)


@pytest.mark.parametrize("found", [_FORWARD, _BACK])
def test_what_was_recorded_before_moves_by_the_offset_and_what_came_after_stays(found):
    assert reckoned(AT - _DAY, 3, {5: found}) == AT - _DAY + found.offset
    assert reckoned(found.set_at + _DAY, 7, {5: found}) is None


def test_a_picture_from_before_that_is_recorded_after_the_clock_was_set_forward_moves_too():
    assert (
        reckoned(AT - timedelta(seconds=40), 7, {5: _FORWARD})
        == AT - timedelta(seconds=40) + 100 * _DAY
    )


def test_a_clock_that_was_never_set_moves_nothing():
    assert reckoned(AT, 3, {}) is None


@given(st.lists(st.integers(-40_000, 40_000), max_size=5), st.integers(0, 5))
def test_however_often_the_clock_is_set_the_reckoned_time_is_the_last_clock_s(days, moved):
    clock, seq, sets = FakeClock(AT), 0, {}
    kept = KeepClock(clock, None)
    began_at, began_seq, passed = AT, 0, timedelta(0)
    for number, day in enumerate(days):
        clock.advance(3600)
        passed += timedelta(hours=1)
        if number == moved:
            began_at, began_seq, passed = clock.now_at(), seq, timedelta(0)
        # Never before: a clock that is set back leaves open which of two times a picture bears.
        clock.set_wall(AT + day * _DAY)
        if found := kept.wall_set():
            seq += 1
            sets[seq] = found
            kept.note_wall_set(found)
    told_at = {n: s for n, s in sets.items() if n > began_seq}
    assert (reckoned(began_at, began_seq, told_at) or began_at) == clock.now_at() - passed


@given(st.integers(-40_000, 40_000), st.integers(0, 600), st.integers(0, 600), st.booleans())
def test_how_long_an_event_lasted_does_not_hold_the_setting(days, before_s, after_s, ends_after):
    moved = days * _DAY
    record = event_record(fire_event(), reckoned_at=AT + moved if days else None)
    lasted = timedelta(seconds=before_s + ends_after * after_s)
    assert record.lasted_until(AT + lasted + ends_after * moved) == lasted


def test_it_reads_back_as_it_was_written():
    assert clock_set_of(clock_set_body(_BACK)) == _BACK
