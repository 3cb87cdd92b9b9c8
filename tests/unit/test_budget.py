from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge.decide.budget import BudgetManager
from shared.errors import StoreError
from tests.helpers.charges import MemoryCharges
from tests.helpers.clock import FakeClock

_BERLIN = ZoneInfo("Europe/Berlin")
_SPRING = date(2026, 3, 29)  # 23 hours long in Berlin
_AUTUMN = date(2026, 10, 25)  # 25 hours long


def _budget(
    limit: int = 10, *, clock: FakeClock | None = None, store: MemoryCharges | None = None
) -> BudgetManager:
    return BudgetManager(
        limit_micros=limit,
        zone=_BERLIN,
        store=store or MemoryCharges(),
        now_at=(clock or FakeClock()).now_at,
    )


def _local_midnight(day: date) -> datetime:
    return datetime.combine(day, time(), _BERLIN).astimezone(UTC)


def test_calls_are_paid_until_the_limit_and_not_one_further():
    budget = _budget(10)
    assert [budget.check_and_deduct(3, call_id=str(n)) for n in range(5)] == [True] * 3 + [
        False
    ] * 2


def test_the_last_unit_can_be_spent():
    budget = _budget(10)
    assert budget.check_and_deduct(10, call_id="a")
    assert budget.remaining_micros() == 0


def test_a_call_leaves_untouched_what_is_kept_for_others():
    budget = _budget(10)
    assert not budget.check_and_deduct(4, call_id="routine", keep_micros=7)
    assert budget.check_and_deduct(3, call_id="smaller", keep_micros=7)
    assert budget.check_and_deduct(7, call_id="urgent")


def test_a_call_that_is_tried_again_pays_once():
    budget = _budget(10)
    for _ in range(5):
        assert budget.check_and_deduct(4, call_id="same")
    assert budget.remaining_micros() == 6


def test_the_last_call_of_the_day_may_be_tried_again():
    budget = _budget(10)
    budget.check_and_deduct(10, call_id="last")
    assert budget.check_and_deduct(10, call_id="last")


def test_a_refund_gives_the_money_back():
    budget = _budget(10)
    budget.check_and_deduct(10, call_id="a")
    budget.refund("a")
    assert budget.check_and_deduct(10, call_id="b")


def test_a_second_refund_gives_nothing():
    budget = _budget(10)
    budget.check_and_deduct(4, call_id="a")
    assert [budget.refund("a"), budget.refund("a"), budget.remaining_micros()] == [True, False, 10]


def test_a_refund_of_a_call_that_never_paid_gives_nothing():
    budget = _budget(10)
    assert (budget.refund("stranger"), budget.remaining_micros()) == (False, 10)


def test_a_call_that_was_refunded_pays_again():
    budget = _budget(10)
    budget.check_and_deduct(4, call_id="a")
    budget.refund("a")
    budget.check_and_deduct(4, call_id="a")
    assert budget.remaining_micros() == 6


def test_a_limit_of_nothing_pays_for_nothing():
    assert not _budget(0).check_and_deduct(0, call_id="a")


def test_a_call_that_costs_nothing_is_paid_from_an_empty_budget():
    budget = _budget(10)
    budget.check_and_deduct(10, call_id="a")
    assert budget.check_and_deduct(0, call_id="free")


def test_a_negative_cost_is_our_own_mistake():
    with pytest.raises(ValueError, match="negative"):
        _budget().check_and_deduct(-1, call_id="a")


def test_a_charge_that_cannot_be_written_is_not_made():
    store = MemoryCharges()
    budget = _budget(10, store=store)
    store.is_broken = True
    with pytest.raises(StoreError):
        budget.check_and_deduct(4, call_id="a")
    assert budget.remaining_micros() == 10


def test_a_restart_changes_nothing_of_what_was_spent():
    store, clock = MemoryCharges(), FakeClock()
    _budget(10, store=store, clock=clock).check_and_deduct(7, call_id="a")
    assert _budget(10, store=store, clock=clock).remaining_micros() == 3


def test_a_lower_limit_after_a_restart_pays_for_nothing_more():
    store, clock = MemoryCharges(), FakeClock()
    _budget(10, store=store, clock=clock).check_and_deduct(7, call_id="a")
    assert not _budget(5, store=store, clock=clock).check_and_deduct(1, call_id="b")


@pytest.mark.parametrize("day", [_SPRING, _AUTUMN, date(2026, 6, 1)])
def test_a_new_budget_begins_at_local_midnight(day):
    clock = FakeClock(_local_midnight(day + timedelta(days=1)) - timedelta(seconds=1))
    budget = _budget(10, clock=clock)
    budget.check_and_deduct(10, call_id="a")
    before = budget.check_and_deduct(1, call_id="b")
    clock.advance(1)
    assert (before, budget.check_and_deduct(1, call_id="c")) == (False, True)


@pytest.mark.parametrize(("day", "hours"), [(_SPRING, 23), (_AUTUMN, 25)])
def test_a_day_has_one_budget_however_long_it_is(day, hours):
    clock = FakeClock(_local_midnight(day))
    budget = _budget(10, clock=clock)
    paid = 0
    for number in range(hours):
        paid += budget.check_and_deduct(1, call_id=str(number))
        clock.advance(3600)
    assert (paid, budget.remaining_micros()) == (10, 10)


def test_a_clock_that_is_set_back_reopens_no_finished_day():
    clock = FakeClock(_local_midnight(date(2026, 6, 2)))
    budget = _budget(10, clock=clock)
    budget.check_and_deduct(10, call_id="a")
    clock.set_wall(_local_midnight(date(2026, 6, 1)))
    assert not budget.check_and_deduct(1, call_id="b")


def test_a_clock_that_is_set_back_before_a_restart_reopens_no_finished_day():
    clock, store = FakeClock(_local_midnight(date(2026, 6, 2))), MemoryCharges()
    _budget(10, clock=clock, store=store).check_and_deduct(10, call_id="a")
    clock.set_wall(_local_midnight(date(2026, 6, 1)))
    assert not _budget(10, clock=clock, store=store).check_and_deduct(1, call_id="b")


def _back_from_the_future() -> tuple[BudgetManager, FakeClock, MemoryCharges]:
    """Give a budget of 10 of which 4 are spent today and 3 in fifty years, by a clock that is right again."""
    now_at = _local_midnight(date(2027, 6, 1)) + timedelta(hours=9)
    clock, store = FakeClock(now_at), MemoryCharges()
    budget = _budget(10, clock=clock, store=store)
    budget.check_and_deduct(4, call_id="today")
    clock.set_wall(now_at + timedelta(days=50 * 365))
    budget.check_and_deduct(3, call_id="future", camera="gate")
    clock.set_wall(now_at)
    return budget, clock, store


def test_a_day_in_the_future_that_never_was_is_given_up_and_what_it_paid_counts_today():
    budget, clock, store = _back_from_the_future()
    assert budget.frozen_until() == budget.take_back(clock.now_at())
    assert (budget.frozen_until(), budget.remaining_micros()) == (None, 3)
    assert budget.today("gate").camera_micros == 3
    assert _budget(10, clock=clock, store=store).remaining_micros() == 3
    clock.advance(86_400)
    assert budget.remaining_micros() == 10


@pytest.mark.parametrize("days", [-300, 300])
def test_a_day_is_not_given_up_while_the_clock_and_the_box_s_own_count_disagree(days):
    budget, clock, _ = _back_from_the_future()
    assert budget.take_back(clock.now_at() + timedelta(days=days)) is None
    assert budget.remaining_micros() == 7


def test_a_clock_that_was_never_set_gives_no_day_up():
    budget, clock, _ = _back_from_the_future()
    clock.set_wall(datetime(1970, 1, 1, 12, tzinfo=UTC))
    assert budget.take_back(clock.now_at()) is None


def test_tomorrow_is_not_given_up():
    clock = FakeClock(_local_midnight(date(2027, 6, 2)))
    budget = _budget(10, clock=clock)
    budget.check_and_deduct(10, call_id="a")
    clock.advance(-60)
    assert budget.take_back(clock.now_at()) is None


def test_a_disk_that_takes_nothing_leaves_the_day_as_it_was():
    budget, clock, store = _back_from_the_future()
    store.is_broken = True
    with pytest.raises(StoreError):
        budget.take_back(clock.now_at())
    assert budget.remaining_micros() == 7


def test_a_refund_after_midnight_credits_the_day_that_paid():
    clock = FakeClock(_local_midnight(date(2026, 6, 2)) - timedelta(seconds=1))
    budget = _budget(10, clock=clock)
    budget.check_and_deduct(10, call_id="a")
    clock.advance(2)
    budget.check_and_deduct(4, call_id="b")
    budget.refund("a")
    assert budget.remaining_micros() == 6


@given(st.lists(st.integers(0, 400), max_size=40), st.integers(0, 1000))
def test_remaining_and_spent_add_up_to_the_limit(costs, limit):
    store = MemoryCharges()
    budget = _budget(limit, store=store)
    for number, cost in enumerate(costs):
        budget.check_and_deduct(cost, call_id=str(number))
    assert budget.remaining_micros() + sum(c.cost_micros for c in store.open.values()) == limit


class _BudgetMachine(RuleBasedStateMachine):
    """Any order of charges, retries, refunds, restarts and clock changes."""

    limit = 10

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock(_local_midnight(_SPRING) - timedelta(hours=3))
        self.store = MemoryCharges()
        self.count = 0
        self.ids: list[str] = []
        self.latest_day = ""
        self.restart()

    def _day(self) -> str:
        today = self.clock.now_at().astimezone(_BERLIN).date().isoformat()
        self.latest_day = max(self.latest_day, today)
        return self.latest_day

    @rule()
    def restart(self):
        self.budget = BudgetManager(
            limit_micros=self.limit, zone=_BERLIN, store=self.store, now_at=self.clock.now_at
        )
        # What was never charged leaves no trace, so a restarted process knows only of days with charges.
        today = self.clock.now_at().astimezone(_BERLIN).date().isoformat()
        self.latest_day = max(self.store.last_day(), today)

    @rule(hours=st.sampled_from([1, 5, 12, 23, 24, 25, 40]))
    def wait(self, hours):
        self.clock.advance(3600 * hours)

    @rule(hours=st.sampled_from([1, 13, 25, 50]))
    def set_clock_back(self, hours):
        self.budget.remaining_micros()  # the process has seen the day it now leaves
        self._day()
        self.clock.set_wall(self.clock.now_at() - timedelta(hours=hours))

    @rule(cost=st.integers(0, 6))
    def charge(self, cost):
        self.count += 1
        day = self._day()
        fits = self.store.spent_micros(day) + cost <= self.limit
        assert self.budget.check_and_deduct(cost, call_id=str(self.count)) == fits
        self.ids.append(str(self.count))

    @precondition(lambda self: self.store.open)
    @rule(data=st.data())
    def retry(self, data):
        call_id = data.draw(st.sampled_from(sorted(self.store.open)))
        before = dict(self.store.open)
        self._day()
        assert self.budget.check_and_deduct(before[call_id].cost_micros, call_id=call_id)
        assert self.store.open == before

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def refund(self, data):
        call_id = data.draw(st.sampled_from(self.ids))
        was_open = call_id in self.store.open
        assert self.budget.refund(call_id) == was_open

    @invariant()
    def no_day_is_above_its_limit(self):
        for day in {c.day for c in self.store.open.values()}:
            assert self.store.spent_micros(day) <= self.limit

    @invariant()
    def memory_and_store_agree(self):
        day = self._day()
        assert self.budget.remaining_micros() == self.limit - self.store.spent_micros(day)


_BudgetMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestBudgetUnderAnyOrderOfEvents = _BudgetMachine.TestCase


def test_a_monthly_cap_holds_over_days_and_a_restart_and_ends_with_the_month():
    clock, store = FakeClock(datetime(2026, 3, 30, 12, tzinfo=UTC)), MemoryCharges()

    def manager() -> BudgetManager:
        return BudgetManager(
            limit_micros=10,
            monthly_limit_micros=12,
            zone=ZoneInfo("UTC"),
            store=store,
            now_at=clock.now_at,
        )

    budget = manager()
    assert [budget.check_and_deduct(1, call_id=f"a{n}") for n in range(11)].count(True) == 10
    clock.advance(86_400)
    assert [budget.check_and_deduct(1, call_id=f"b{n}") for n in range(5)].count(True) == 2
    assert not manager().check_and_deduct(1, call_id="c")
    assert budget.refund("a0")
    assert budget.remaining_micros() == 1
    clock.advance(86_400)
    assert budget.remaining_micros() == 10


def settled(limit: int, told: int, *, spent: int = 0) -> tuple[int, int]:
    """Charge one unit, settle it at `told`; gives what stands in the books and what is left."""
    store = MemoryCharges()
    budget = BudgetManager(
        limit_micros=limit, zone=ZoneInfo("UTC"), store=store, now_at=FakeClock().now_at
    )
    assert all(budget.check_and_deduct(1, call_id=f"x{n}") for n in range(spent + 1))
    return budget.settle("x0", told), budget.remaining_micros()


@given(st.integers(1, 50), st.integers(0, 100), st.integers(0, 40))
def test_a_dearer_call_never_breaks_the_limit(limit, told, spent):
    booked, left = settled(limit, told, spent=min(spent, limit - 1))
    assert left >= 0
    assert booked <= max(told, 1)


def test_a_call_is_booked_at_what_the_cloud_says():
    assert settled(10, 3) == (3, 7)
    assert settled(10, 0) == (0, 10)


def test_a_cost_that_cannot_be_written_leaves_the_charge_as_it_was():
    store = MemoryCharges()
    budget = BudgetManager(
        limit_micros=10, zone=ZoneInfo("UTC"), store=store, now_at=FakeClock().now_at
    )
    budget.check_and_deduct(1, call_id="x")
    store.is_broken = True
    with pytest.raises(StoreError):
        budget.settle("x", 5)
    assert budget.remaining_micros() == 9


def test_a_call_without_a_charge_has_nothing_to_settle():
    store = MemoryCharges()
    budget = BudgetManager(
        limit_micros=10, zone=ZoneInfo("UTC"), store=store, now_at=FakeClock().now_at
    )
    assert budget.settle("nobody", 5) == 0
