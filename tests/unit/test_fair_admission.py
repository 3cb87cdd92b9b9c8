from __future__ import annotations

from contextlib import ExitStack

import pytest

from shared.access.admission import Admission
from shared.access.rate_limit import RateLimit
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import FireError
from tests.helpers.clock import FakeClock


def _code(call) -> ErrorCode | None:
    try:
        call()
    except FireError as err:
        return err.code
    return None


def _fill(admission: Admission, held: ExitStack, caller: str, most: int = 100) -> int:
    """Let a caller take what it can get; returns how many places that were."""
    for got in range(most):
        try:
            held.enter_context(admission.place(caller))
        except FireError:
            return got
    return most


def test_a_caller_that_is_alone_may_have_every_place():
    with ExitStack() as held:
        assert (
            _fill(Admission(16, FakeClock(), full=ErrorCode.CLOUD_OVERLOADED), held, "flood") == 16
        )


def test_one_that_floods_leaves_places_for_the_others_that_were_seen_lately():
    admission = Admission(16, FakeClock(), full=ErrorCode.CLOUD_OVERLOADED)
    others = ("a", "b", "c")
    for other in others:
        with admission.place(other):
            pass
    with ExitStack() as held:
        assert _fill(admission, held, "flood") == 10  # 2 are kept for each of the others
        assert [_fill(admission, held, other, most=2) for other in others] == [2, 2, 2]
        assert _fill(admission, held, "a") == 0
        assert admission.taken == 16


def test_two_that_flood_do_not_starve_a_third():
    admission = Admission(16, FakeClock(), full=ErrorCode.CLOUD_OVERLOADED)
    with admission.place("a"):
        pass
    with ExitStack() as held:
        _fill(admission, held, "flood-1")
        _fill(admission, held, "flood-2")
        assert _fill(admission, held, "a") >= 2


def test_a_caller_that_was_refused_finds_a_place_when_it_comes_back():
    admission = Admission(8, FakeClock(), full=ErrorCode.CLOUD_OVERLOADED)
    with ExitStack() as held:
        places = [admission.place("flood") for _ in range(8)]
        for place in places:
            place.__enter__()
        assert _fill(admission, held, "new") == 0
        for place in places[:2]:
            place.__exit__(None, None, None)
        assert _fill(admission, held, "flood") == 0
        assert _fill(admission, held, "new", most=2) == 2
        for place in places[2:]:
            place.__exit__(None, None, None)


def test_places_are_not_kept_for_callers_that_are_gone():
    clock = FakeClock()
    admission = Admission(8, clock, full=ErrorCode.CLOUD_OVERLOADED)
    with admission.place("a"):
        pass
    clock.advance(11)
    with ExitStack() as held:
        assert _fill(admission, held, "flood") == 8


def test_a_batch_takes_all_its_places_or_none():
    admission = Admission(4, FakeClock(), full=ErrorCode.CLOUD_OVERLOADED)
    with admission.place(count=3):
        assert _code(admission.place(count=2).__enter__) is ErrorCode.CLOUD_OVERLOADED
        assert admission.taken == 3
    assert admission.taken == 0


def _measured(gap_s: float) -> tuple[Admission, FakeClock]:
    clock = FakeClock()
    admission = Admission(8, clock, full=ErrorCode.CLOUD_OVERLOADED)
    for _ in range(100):
        with admission.place():
            clock.advance(gap_s)
    return admission, clock


def test_a_deadline_that_cannot_be_met_is_refused_at_once():
    admission, clock = _measured(0.5)
    with ExitStack() as held:
        _fill(admission, held, "", most=4)
        late = admission.place(deadline=Deadline.after(1.5, clock))
        assert _code(late.__enter__) is ErrorCode.DEADLINE_MISSED
        held.enter_context(admission.place(deadline=Deadline.after(2.5, clock)))


def test_an_empty_house_lets_everybody_try_however_slow_it_was():
    admission, clock = _measured(100.0)
    with admission.place(deadline=Deadline.after(0.1, clock)):
        assert admission.taken == 1


def test_nothing_is_refused_for_its_deadline_before_anything_was_measured():
    clock = FakeClock()
    admission = Admission(8, clock, full=ErrorCode.CLOUD_OVERLOADED)
    with ExitStack() as held:
        _fill(admission, held, "", most=7)
        held.enter_context(admission.place(deadline=Deadline.after(0.01, clock)))
        assert admission.taken == 8


def test_idle_time_does_not_count_as_service_time():
    admission, clock = _measured(0.01)
    clock.advance(3600)
    with ExitStack() as held:
        _fill(admission, held, "", most=2)
        clock.advance(0.01)
    with ExitStack() as held:
        _fill(admission, held, "", most=8)
        with pytest.raises(FireError) as caught:
            admission.place().__enter__()
    assert caught.value.retry_after_s == 1.0


def test_a_caller_may_send_its_burst_and_then_its_rate():
    clock = FakeClock()
    rate = RateLimit(clock, per_s=2.0, burst=4)
    assert [_code(lambda: rate.take("a")) for _ in range(5)] == [
        *[None] * 4,
        ErrorCode.HTTP_RATE_LIMITED,
    ]
    clock.advance(0.5)
    assert _code(lambda: rate.take("a")) is None
    assert _code(lambda: rate.take("a")) is ErrorCode.HTTP_RATE_LIMITED


def test_the_rate_of_one_caller_is_not_that_of_another():
    rate = RateLimit(FakeClock(), per_s=1.0, burst=1)
    rate.take("a")
    assert _code(lambda: rate.take("b")) is None


def test_a_limited_caller_is_told_when_to_come_back():
    rate = RateLimit(FakeClock(), per_s=0.1, burst=1)
    rate.take("a")
    with pytest.raises(FireError) as caught:
        rate.take("a")
    assert caught.value.retry_after_s == pytest.approx(10.0)


def test_a_batch_larger_than_the_bucket_is_let_through_once_and_paid_back():
    clock = FakeClock()
    rate = RateLimit(clock, per_s=1.0, burst=4)
    rate.take("a", 16)
    clock.advance(12)
    assert _code(lambda: rate.take("a")) is ErrorCode.HTTP_RATE_LIMITED
    clock.advance(1)
    assert _code(lambda: rate.take("a")) is None


def test_a_rate_of_zero_limits_nobody():
    rate = RateLimit(FakeClock(), per_s=0.0, burst=1)
    assert [_code(lambda: rate.take("a")) for _ in range(100)] == [None] * 100


def test_a_caller_that_found_the_house_full_at_the_door_has_places_kept_for_it():
    admission = Admission(8, FakeClock(), full=ErrorCode.CLOUD_OVERLOADED)
    with ExitStack() as held:
        places = [admission.place("flood") for _ in range(8)]
        for place in places:
            place.__enter__()
        assert _code(lambda: admission.refuse_if_full("new")) is ErrorCode.CLOUD_OVERLOADED
        places[0].__exit__(None, None, None)
        assert _fill(admission, held, "flood") == 0
        assert _fill(admission, held, "new", most=1) == 1
        for place in places[1:]:
            place.__exit__(None, None, None)
