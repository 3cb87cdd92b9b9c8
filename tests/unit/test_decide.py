from __future__ import annotations

import pytest

from edge.decide.decider import Decider
from edge.decide.policies import AlwaysPolicy, EdgeOnlyPolicy, FixedPolicy
from edge.decide.reasons import Reason
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import StoreError
from shared.types import Classification
from tests.helpers.clock import FakeClock
from tests.helpers.frames import frame

_UNSURE = Classification(fire=0.5, smoke=0.0)
_SURE = Classification(fire=0.99, smoke=0.0)


class _Budget:
    def __init__(self, log: list[str], *, pays: bool = True, is_broken: bool = False) -> None:
        self._log, self._pays, self._is_broken = log, pays, is_broken

    def check_and_deduct(self, cost_micros, *, call_id, camera, tier, keep_micros, within_s):
        self._log.append(f"pay {call_id}")
        self.within_s = within_s
        if self._is_broken:
            raise StoreError(ErrorCode.STORE_UNAVAILABLE, "disk is full")
        return self._pays

    def remaining_micros(self):
        return 42


class _Link:
    def __init__(self, log: list[str], refusal: Reason | None = None) -> None:
        self._log, self._refusal, self.places, self.seconds = log, refusal, 1, 0.0

    def enter(self, call_id, keep_places):
        self._log.append(f"enter {call_id}")
        if self._refusal is None:
            self.places -= 1
        return self._refusal

    def expected_s(self):
        return self.seconds

    def leave(self, call_id):
        self._log.append(f"leave {call_id}")
        self.places += 1


def _decide(policy=None, *, seen=_UNSURE, budget=None, link=None, seconds=2.5, log=None):
    log = [] if log is None else log
    decider = Decider(
        policy or AlwaysPolicy(),
        budget=budget or _Budget(log),
        link=link,
        cost_micros=20,
    )
    return decider.decide(frame("f1"), seen, Deadline.after(seconds, FakeClock()))


def test_the_link_is_asked_before_the_money():
    log: list[str] = []
    _decide(log=log, link=_Link(log))
    assert log == ["enter f1", "pay f1"]


def test_a_decision_that_forwards_holds_a_place_and_a_charge():
    link = _Link([])
    decision = _decide(link=link)
    assert (decision.forward, decision.charged_micros, link.places) == (True, 20, 0)


def test_a_frame_the_policy_keeps_asks_nobody():
    log: list[str] = []
    decision = _decide(FixedPolicy(0.7), seen=_SURE, link=_Link(log), log=log)
    assert (log, decision.reason) == ([], Reason.EDGE_CONFIDENT)


def test_a_frame_without_time_left_asks_nobody():
    log: list[str] = []
    decision = _decide(link=_Link(log), log=log, seconds=0.04)
    assert (log, decision.reason) == ([], Reason.FALLBACK_TOO_LATE)


@pytest.mark.parametrize("refusal", [Reason.FALLBACK_CLOUD_DOWN, Reason.FALLBACK_UPLINK_BUSY])
def test_a_link_that_refuses_costs_nothing(refusal):
    log: list[str] = []
    decision = _decide(link=_Link(log, refusal), log=log)
    assert (decision.reason, decision.charged_micros, log) == (refusal, 0, ["enter f1"])


def test_a_refused_payment_leaks_no_place():
    link, log = _Link([]), []
    decision = _decide(link=link, budget=_Budget(log, pays=False))
    assert (link.places, decision.reason) == (1, Reason.FALLBACK_BUDGET_EMPTY)


def test_a_broken_ledger_leaks_no_place_and_is_not_called_an_empty_budget():
    link, log = _Link([]), []
    decision = _decide(link=link, budget=_Budget(log, is_broken=True))
    assert (link.places, decision.forward) == (1, False)
    assert decision.reason is Reason.FALLBACK_LEDGER_DOWN


@pytest.mark.parametrize(("seconds", "within_s"), [(0.4, 0.2), (60.0, 1.0)])
def test_a_disk_may_take_half_of_the_time_that_is_left_and_at_most_a_second(seconds, within_s):
    budget = _Budget([])
    _decide(link=_Link([]), budget=budget, seconds=seconds)
    assert budget.within_s == pytest.approx(within_s, abs=0.01)


def test_a_refused_frame_is_not_forwarded_and_not_charged():
    decision = _decide(link=_Link([]), budget=_Budget([], pays=False))
    assert (decision.forward, decision.charged_micros) == (False, 0)


def test_without_a_link_the_edge_is_not_a_fallback():
    decision = _decide(link=None)
    assert (decision.forward, decision.reason) == (False, Reason.EDGE_POLICY)


def test_edge_only_keeps_everything_although_the_link_is_free():
    assert _decide(EdgeOnlyPolicy(), link=_Link([])).reason is Reason.EDGE_POLICY


def test_the_charge_bears_the_frame_s_own_id():
    log: list[str] = []
    assert _decide(log=log, link=_Link(log)).call_id == "f1"


def test_every_decision_tells_what_is_left():
    assert _decide(link=None).budget_remaining_micros == 42


def test_a_frame_that_cannot_make_its_deadline_is_not_sent():
    link = _Link([])
    link.seconds = 0.8
    assert _decide(link=link, seconds=0.7).reason is Reason.FALLBACK_TOO_LATE
    assert _decide(link=link, seconds=0.9).forward
