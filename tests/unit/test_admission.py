from __future__ import annotations

import contextlib
import threading

import pytest

from shared.access.admission import Admission
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import FireError
from tests.helpers.clock import FakeClock


def test_a_full_house_refuses_the_next():
    admission = Admission(2, FakeClock(), full=ErrorCode.CLOUD_OVERLOADED)
    with admission.place(), admission.place(), pytest.raises(FireError) as caught:
        admission.place().__enter__()
    assert caught.value.code is ErrorCode.CLOUD_OVERLOADED


def test_whoever_leaves_makes_room():
    admission = Admission(1, FakeClock(), full=ErrorCode.CLOUD_OVERLOADED)
    with admission.place():
        pass
    with admission.place():
        assert admission.taken == 1


def test_a_place_is_given_back_when_the_work_fails():
    admission = Admission(1, FakeClock(), full=ErrorCode.CLOUD_OVERLOADED)
    with pytest.raises(ZeroDivisionError), admission.place():
        _ = 1 / 0
    assert admission.taken == 0


def test_of_many_threads_exactly_as_many_as_there_are_places_come_in():
    admission, barrier, release = (
        Admission(4, FakeClock(), full=ErrorCode.CLOUD_OVERLOADED),
        threading.Barrier(16),
        threading.Event(),
    )
    inside, refused = [], []

    def visit() -> None:
        barrier.wait()
        try:
            with admission.place():
                inside.append(1)
                release.wait(10)
        except FireError:
            refused.append(1)
            if len(refused) == 12:
                release.set()

    threads = [threading.Thread(target=visit) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(inside), len(refused)) == (4, 12)


def _retry_after_s(gap_s: float, places: int = 10) -> float:
    clock = FakeClock()
    admission = Admission(places, clock, full=ErrorCode.CLOUD_OVERLOADED)
    held = [admission.place() for _ in range(places)]
    for place in held:
        place.__enter__()
    for _ in range(100):  # the house stays busy while one after the other leaves
        clock.advance(gap_s)
        held.pop(0).__exit__(None, None, None)
        held.append(admission.place())
        held[-1].__enter__()
    with pytest.raises(FireError) as caught:
        admission.place().__enter__()
    for place in held:
        place.__exit__(None, None, None)
    assert caught.value.retry_after_s is not None
    return caught.value.retry_after_s


def test_a_slow_first_picture_refuses_nobody_who_can_be_answered_in_time():
    clock = FakeClock()
    admission = Admission(16, clock, full=ErrorCode.EDGE_OVERLOADED)
    for gap_s in (3.0, 0.02):
        with admission.place(deadline=Deadline.after(5.0, clock)):
            clock.advance(gap_s)
        held = [admission.place(deadline=Deadline.after(2.5, clock)) for _ in range(8)]
        for place in held:
            place.__enter__()
        for place in held:
            clock.advance(0.02)
            place.__exit__(None, None, None)


def test_a_slower_house_asks_for_a_longer_wait():
    assert _retry_after_s(0.5) == pytest.approx(5, abs=1)


@pytest.mark.parametrize(("gap_s", "expected_s"), [(0.001, 1.0), (60.0, 30.0)])
def test_the_wait_that_is_asked_for_stays_within_reason(gap_s, expected_s):
    assert _retry_after_s(gap_s) == expected_s


def test_a_burst_is_not_refused_for_a_guess_once_the_first_was_quick():
    clock = FakeClock()
    admission = Admission(64, clock, full=ErrorCode.EDGE_OVERLOADED)
    with admission.place("a"):
        clock.advance(0.005)
    deadline = Deadline.after(0.6, clock)
    with contextlib.ExitStack() as held:
        for _ in range(24):
            held.enter_context(admission.place("a", deadline=deadline))
        assert admission.taken == 24
