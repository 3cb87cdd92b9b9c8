from __future__ import annotations

import pytest

from edge.event.thinning import Thinning
from tests.helpers.clock import FakeClock


@pytest.mark.parametrize(
    ("after_s", "for_s", "kept"), [(0, 60, 120), (60, 540, 108), (600, 3_600, 120)]
)
def test_of_two_frames_a_second_all_are_kept_for_a_minute_then_one_in_five_then_in_thirty_seconds(
    after_s, for_s, kept
):
    clock, found = FakeClock(), 0
    thinning = Thinning(clock)
    for half_seconds in range(2 * (after_s + for_s)):
        is_wanted = thinning.is_wanted("event")
        found += is_wanted and half_seconds >= 2 * after_s
        clock.advance(0.5)
    assert abs(found - kept) <= 1


def test_an_event_that_was_closed_begins_anew():
    clock = FakeClock()
    thinning = Thinning(clock)
    thinning.is_wanted("event")
    clock.advance(600)
    assert [thinning.is_wanted("event") for _ in range(2)] == [True, False]
    thinning.forget("event")
    assert [thinning.is_wanted("event") for _ in range(2)] == [True, True]
