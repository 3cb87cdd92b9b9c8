from __future__ import annotations

import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.breaker import Breaker, BreakerSettings, BreakerState
from tests.helpers.clock import FakeClock

_SETTINGS = BreakerSettings(
    failures_to_open=3, probe_after_s=5.0, probe_after_max_s=15.0, lease_s=10.0
)


def _open_breaker() -> tuple[Breaker, FakeClock]:
    clock = FakeClock()
    breaker = Breaker(_SETTINGS, clock)
    for number in range(3):
        breaker.admit(f"early-{number}")
        breaker.failed(f"early-{number}")
    return breaker, clock


def test_two_failures_in_a_row_leave_it_closed():
    breaker = Breaker(_SETTINGS, FakeClock())
    breaker.failed("a")
    breaker.failed("b")
    assert breaker.state is BreakerState.CLOSED


def test_the_third_failure_in_a_row_opens_it():
    assert _open_breaker()[0].state is BreakerState.OPEN


def test_a_success_between_failures_starts_the_count_again():
    breaker = Breaker(_SETTINGS, FakeClock())
    for call_id in "abcd":
        breaker.failed(call_id)
        if call_id == "b":
            breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED


def test_an_open_breaker_admits_nobody():
    breaker, clock = _open_breaker()
    clock.advance(4.999)
    assert not breaker.admit("late")


def test_after_the_pause_exactly_one_is_admitted():
    breaker, clock = _open_breaker()
    clock.advance(5.0)
    assert [breaker.admit(call_id) for call_id in "abc"] == [True, False, False]


def test_of_many_threads_exactly_one_gets_the_probe():
    breaker, clock = _open_breaker()
    clock.advance(5.0)
    barrier, admitted = threading.Barrier(16), []

    def ask(call_id: str) -> None:
        barrier.wait()
        if breaker.admit(call_id):
            admitted.append(call_id)

    threads = [threading.Thread(target=ask, args=(str(n),)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 1


def test_a_good_probe_closes_it():
    breaker, clock = _open_breaker()
    clock.advance(5.0)
    breaker.admit("probe")
    breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED


def test_a_bad_probe_opens_it_again():
    breaker, clock = _open_breaker()
    clock.advance(5.0)
    breaker.admit("probe")
    breaker.failed("probe")
    assert breaker.state is BreakerState.OPEN


def test_the_pause_doubles_with_each_bad_probe_up_to_its_limit():
    breaker, clock = _open_breaker()
    pauses_s = []
    for number in range(4):
        waited_s = 0.0
        while not breaker.admit(f"probe-{number}"):
            clock.advance(0.5)
            waited_s += 0.5
        pauses_s.append(waited_s)
        breaker.failed(f"probe-{number}")
    assert pauses_s == [5.0, 10.0, 15.0, 15.0]


def test_a_probe_that_was_never_sent_leaves_its_place_to_the_next():
    breaker, clock = _open_breaker()
    clock.advance(5.0)
    breaker.admit("probe")
    breaker.abandoned("probe")
    assert breaker.admit("next")


def test_a_probe_that_never_reports_is_forgotten_after_its_lease():
    breaker, clock = _open_breaker()
    clock.advance(5.0)
    breaker.admit("lost")
    clock.advance(10.0)
    assert breaker.admit("next")


@pytest.mark.parametrize("report", ["failed", "abandoned"])
def test_a_straggler_from_before_takes_nobody_s_probe_away(report):
    breaker, clock = _open_breaker()
    clock.advance(5.0)
    breaker.admit("probe")
    getattr(breaker, report)("straggler")
    clock.advance(5.0)
    assert not breaker.admit("second")


def test_asking_whether_it_is_open_takes_no_probe():
    breaker, clock = _open_breaker()
    clock.advance(5.0)
    assert not breaker.is_open()
    assert breaker.admit("probe")


class _BreakerMachine(RuleBasedStateMachine):
    """Calls that begin and end in any order; what may never happen is two live probes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.breaker = Breaker(_SETTINGS, self.clock)
        self.running: list[str] = []
        self.probes: dict[str, float] = {}
        self.count = 0

    @rule(seconds=st.sampled_from([0.1, 1.0, 4.0, 5.0, 10.0, 15.0]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def begin(self):
        self.count += 1
        call_id = f"call-{self.count}"
        was_closed = self.breaker.state is BreakerState.CLOSED
        if self.breaker.admit(call_id):
            self.running.append(call_id)
            if not was_closed:
                self.probes[call_id] = self.clock.mono_s()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), how=st.sampled_from(["succeeded", "failed", "abandoned"]))
    def end(self, data, how):
        call_id = data.draw(st.sampled_from(self.running))
        self.running.remove(call_id)
        if how == "succeeded":
            self.breaker.succeeded()
            self.probes.clear()
            assert self.breaker.state is BreakerState.CLOSED
            return
        getattr(self.breaker, how)(call_id)
        self.probes.pop(call_id, None)

    @invariant()
    def at_most_one_probe_holds_a_lease(self):
        now_mono_s = self.clock.mono_s()
        live = [p for p, since in self.probes.items() if now_mono_s - since < _SETTINGS.lease_s]
        assert len(live) <= 1

    @invariant()
    def it_heals_within_the_longest_pause_and_lease(self):
        if self.breaker.state is BreakerState.OPEN:
            self.clock.advance(_SETTINGS.probe_after_max_s)
            assert self.breaker.state is BreakerState.HALF_OPEN


_BreakerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestBreakerUnderAnyOrderOfCalls = _BreakerMachine.TestCase
