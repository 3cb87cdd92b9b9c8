from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.decide.memory import CameraMemory, Told
from edge.decide.price import (
    Circumstances,
    Kept,
    PriceSettings,
    Pricing,
    Spending,
    Tier,
    ValueModel,
)
from shared.error_code import ErrorCode
from shared.errors import StoreError

_MODEL = ValueModel(a=0.4, b=-8.2, d=0.76, level_a=0.586, level_b=-6.308)
_RANK = {None: 0, Tier.AUDIT: 1, Tier.ROUTINE: 2, Tier.VERIFY: 3, Tier.CONFIRM: 4}
_share = st.floats(0.0, 1.0)
_score = st.floats(-20.0, 20.0)


class _Store:
    def __init__(self) -> None:
        self.saved: tuple[str, float] | None = None

    def load(self) -> tuple[str, float] | None:
        return self.saved

    def save(self, day: str, first_price: float) -> None:
        self.saved = (day, first_price)


def pricing(
    *, store: _Store | None = None, spent_yesterday: int = 0, audit: float = 0.0
) -> Pricing:
    return Pricing(
        _MODEL,
        PriceSettings(audit=audit),
        random=lambda: 0.5,
        store=store or _Store(),
        spent_on=lambda day: spent_yesterday,
    )


def spending(*, spent: int = 0, elapsed: float = 0.5, camera_spent: int = 0, limit: int = 500):
    return Spending(
        day="2026-01-01",
        limit=limit,
        spent=spent,
        camera_spent=camera_spent,
        cost=1,
        elapsed=elapsed,
    )


def _away(*_given: object) -> int:
    raise StoreError(ErrorCode.STORE_UNAVAILABLE, "the disk is gone")


def test_a_midnight_without_a_disk_costs_no_frame():
    store = _Store()
    store.saved = ("2025-12-31", 0.2)
    rules = Pricing(_MODEL, PriceSettings(), random=lambda: 0.5, store=store, spent_on=_away)
    store.save = _away  # type: ignore[method-assign] # goes away while the box runs
    prices = [rules.price(spending(elapsed=0.0), 1.0) for _ in range(2)]
    assert prices == [pytest.approx(0.2)] * 2


@given(st.integers(0, 500), st.integers(0, 500), _share)
def test_the_price_never_falls_with_spending(one, other, elapsed):
    rules, (less, more) = pricing(), sorted((one, other))
    prices = [rules.price(spending(spent=s, elapsed=elapsed), 1.0) for s in (less, more)]
    assert prices[0] <= prices[1]


@given(st.integers(0, 500), _share, _share)
def test_the_price_never_rises_as_the_day_passes(spent, one, other):
    rules, (earlier, later) = pricing(), sorted((one, other))
    prices = [rules.price(spending(spent=spent, elapsed=e), 1.0) for e in (earlier, later)]
    assert prices[0] >= prices[1] >= PriceSettings().price_min


@given(_share, _share)
def test_the_price_never_falls_as_the_battery_empties(one, other):
    rules, (empty, full) = pricing(), sorted((one, other))
    assert rules.price(spending(), empty) >= rules.price(spending(), full)


@given(_score, _score, st.floats(0, 1000), st.integers(0, 8))
def test_below_the_peak_a_higher_score_is_worth_no_less(one, other, since_no_s, noes):
    low, high = sorted((one, other))
    rules, memory = pricing(), CameraMemory(noes=noes, last_no_s=-since_no_s, cleared_z=-5.0)
    looks = []
    for x in (low, high):
        z = _MODEL.score(x, memory.slow_x)
        if 1 / (1 + math.exp(-z)) > 1 / 101:
            return
        look = rules.appraise(x, 0.0, replace(memory), spending(), Circumstances())
        looks.append((look.value, memory.news(z, 0.0), _RANK[look.tier]))
    assert looks[0] <= looks[1] or all(a <= b + 1e-12 for a, b in zip(*looks, strict=True))


@given(_share)
def test_the_reserves_stop_verify_first_and_confirm_last(elapsed):
    rules, money = pricing(), spending(elapsed=elapsed)
    keeps = [rules.keep(tier, money) for tier in (Tier.VERIFY, Tier.ROUTINE, Tier.CONFIRM)]
    assert keeps == sorted(keeps, reverse=True)
    assert rules.keep(Tier.AUDIT, money) == rules.keep(Tier.ROUTINE, money)


@given(_score, st.floats(0.1, 5.0), st.floats(0.1, 5.0), st.integers(0, 200))
def test_a_higher_priority_never_hurts_a_camera(x, one, other, camera_spent):
    low, high = sorted((one, other))
    rules, money = pricing(), spending(spent=camera_spent, camera_spent=camera_spent)
    ranks = [
        _RANK[
            rules.appraise(
                x, 0.0, CameraMemory(), money, Circumstances(weight=w, weights=w + 7.0, cameras=8)
            ).tier
        ]
        for w in (low, high)
    ]
    assert ranks[0] <= ranks[1]


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_broken_score_is_maximal_doubt(broken):
    look = pricing().appraise(broken, 0.0, CameraMemory(), spending(), Circumstances())
    assert (look.tier, look.value) == (Tier.ROUTINE, pytest.approx(0.5, abs=0.5))


def test_a_quiet_frame_is_below_the_price_when_the_day_is_on_plan():
    look = pricing().appraise(-8.0, 0.0, CameraMemory(), spending(spent=250), Circumstances())
    assert (look.tier, look.kept) == (None, Kept.BELOW_PRICE)


def test_a_doubtful_frame_is_asked_about_when_the_day_is_on_plan():
    look = pricing().appraise(0.5, 0.0, CameraMemory(), spending(spent=250), Circumstances())
    assert look.tier is Tier.ROUTINE


def test_the_same_doubt_is_not_asked_about_twice():
    memory = CameraMemory()
    memory.note_sent(_MODEL.score(0.5, memory.slow_x), 0.0)
    memory.note_answer(Told.NO, 0.0)
    look = pricing().appraise(0.5, 0.1, memory, spending(spent=250), Circumstances())
    assert (look.tier, look.kept) == (None, Kept.ALREADY_ASKED)


def test_after_a_cloud_yes_the_next_frame_is_confirmed():
    memory = CameraMemory()
    memory.note_answer(Told.YES, 0.0)
    look = pricing().appraise(-9.0, 1.0, memory, spending(spent=499), Circumstances())
    assert (look.tier, look.keep) == (Tier.CONFIRM, 0)


def test_a_frame_that_would_alarm_is_verified_without_paying_the_price():
    memory = CameraMemory(evidence=1.8, last_seen_s=9.0, slow_x=2.0)
    look = pricing().appraise(2.0, 10.0, memory, spending(spent=0), Circumstances(weight=1e-6))
    assert look.tier is Tier.VERIFY


def test_a_camera_over_its_share_pays_more():
    over = spending(spent=250, camera_spent=200)
    look = pricing().appraise(
        -2.0, 0.0, CameraMemory(), over, Circumstances(weight=1.0, weights=8.0, cameras=8)
    )
    assert (look.tier, look.kept) == (None, Kept.FAIR_SHARE)


def test_a_checked_alarm_is_not_asked_about_again_at_once():
    memory = CameraMemory(last_alarm_s=0.0, last_call_s=0.0)
    look = pricing().appraise(0.5, 5.0, memory, spending(spent=250), Circumstances())
    assert look.kept is Kept.ALREADY_ALARMED


def test_an_empty_battery_stops_routine_questions():
    look = pricing().appraise(0.5, 0.0, CameraMemory(), spending(), Circumstances(battery=0.05))
    assert look.kept is Kept.BATTERY


def test_a_frame_without_history_is_judged_by_its_level_alone():
    looks = [pricing().appraise(0.0, t, None, spending(), Circumstances()) for t in (0.0, 9.0)]
    assert looks[0] == looks[1]
    assert looks[0].tier is Tier.ROUTINE


def test_a_late_cloud_is_worth_less():
    rules = pricing()
    in_time, late = (
        rules.value(-4.0, 1.0, Circumstances(deadline_s=1.0, latency_s=latency_s))
        for latency_s in (0.5, 4.0)
    )
    assert late == pytest.approx(in_time / 4)


@pytest.mark.parametrize("memory", [None, CameraMemory()])
def test_what_only_the_deadline_keeps_here_says_so(memory):
    around = Circumstances(deadline_s=0.0, latency_s=0.3)
    look = pricing().appraise(0.5, 0.0, memory, spending(spent=250), around)
    assert (look.tier, look.kept) == (None, Kept.TOO_LATE)


def test_a_quiet_frame_is_below_the_price_whatever_its_deadline():
    around = Circumstances(deadline_s=0.0, latency_s=0.3)
    look = pricing().appraise(-8.0, 0.0, CameraMemory(), spending(spent=250), around)
    assert (look.tier, look.kept) == (None, Kept.BELOW_PRICE)


def test_an_overspent_day_makes_the_next_one_dearer_and_it_survives_a_restart():
    store = _Store()
    store.saved = ("2025-12-31", 0.1)
    dear = pricing(store=store, spent_yesterday=520).price(spending(elapsed=0.0), 1.0)
    assert dear == pytest.approx(0.1 * math.exp(20 * 0.04))
    assert pricing(store=store).price(spending(elapsed=0.0), 1.0) == pytest.approx(dear)


def test_audits_spend_their_share_of_the_budget():
    rules, asked = pricing(audit=0.02), 0
    draws = iter([n / 86_400 for n in range(86_400)])
    rules._random = lambda: next(draws)
    memory = CameraMemory(last_seen_s=-1.0)
    for _ in range(86_400):
        look = rules.appraise(-9.0, 0.0, memory, spending(spent=400), Circumstances())
        asked += look.tier is Tier.AUDIT
    assert asked == pytest.approx(0.02 * 500, abs=1)


def test_ask_at_is_where_value_meets_price():
    rules, money = pricing(), spending(spent=250)
    at = rules.ask_at(0.0, CameraMemory(), money, Circumstances())
    assert at is not None
    x = math.log(at / (1 - at))
    looks = [
        rules.appraise(v, 0.0, CameraMemory(), money, Circumstances()).tier for v in (x - 0.2, x)
    ]
    assert looks == [None, Tier.ROUTINE]


def test_nothing_is_worth_a_price_above_every_value():
    assert pricing().ask_at(0.0, None, spending(spent=500, elapsed=0.0), Circumstances()) is None
