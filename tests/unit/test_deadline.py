from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.clock import Stopwatch
from shared.deadline import Deadline
from tests.helpers.clock import FakeClock


@given(st.floats(-10, 1000), st.lists(st.floats(0, 500), max_size=5))
def test_what_remains_never_grows_and_never_falls_below_nothing(seconds, steps):
    clock = FakeClock()
    deadline = Deadline.after(seconds, clock)
    before_s = deadline.remaining_s()
    for step_s in steps:
        clock.advance(step_s)
        assert 0.0 <= deadline.remaining_s() <= before_s
        before_s = deadline.remaining_s()


def test_a_deadline_has_passed_at_its_moment():
    clock = FakeClock()
    deadline = Deadline.after(2.0, clock)
    clock.advance(2.0)
    assert deadline.has_passed()


def test_a_deadline_has_not_passed_just_before():
    clock = FakeClock()
    deadline = Deadline.after(2.0, clock)
    clock.advance(1.999)
    assert not deadline.has_passed()


def test_setting_the_wall_clock_moves_no_deadline():
    clock = FakeClock()
    deadline = Deadline.after(2.0, clock)
    clock.set_wall(clock.now_at().replace(year=2040))
    assert deadline.remaining_s() == 2.0


def test_a_stopwatch_books_each_second_on_one_stage():
    clock = FakeClock()
    watch = Stopwatch(clock)
    for stage, seconds in (("classify", 1.0), ("decide", 2.0), ("classify", 4.0)):
        clock.advance(seconds)
        watch.lap(stage)
    assert watch.stages_s == {"classify": 5.0, "decide": 2.0}


def test_what_was_measured_inside_a_lap_is_taken_out_of_it():
    clock = FakeClock()
    watch = Stopwatch(clock)
    clock.advance(3.0)
    watch.book("decode", 1.0)
    watch.lap("classify")
    clock.advance(0.5)
    watch.lap("decide")
    assert watch.stages_s == {"decode": 1.0, "classify": 2.0, "decide": 0.5}
