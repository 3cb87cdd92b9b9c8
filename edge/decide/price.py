"""The `price` policy: give every frame a value, the budget a price, and ask when the value meets the price.

Ring: domain; clock readings, randomness and the day's sums are passed in. The value is the expected loss that a look
of the cloud would save (Chow 1970; two-sided, since a missed fire costs more than a false alarm). The price is the
dual variable of the day's budget, updated by mirror descent with its sums folded together (Balseiro, Lu and Mirrokni,
arXiv 2011.10124): λ = λ0 · exp(k · (spent / limit − elapsed share of the day)). Reserves per tier follow Littlewood's
rule: the dearer question must still find money in the evening.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from edge.decide.memory import CameraMemory
from shared.errors import StoreError

_STEEPNESS = 20.0  # k: measured flat over 15–60; smaller overspends early, larger swings
_DELTA = 2.0  # how far above a cleared score a frame must be to be mostly news; flat over 1–3
# A camera that spent more than this times its share loses the free verification.
_VERIFY_SHARE = 1.5
_CONFIRM_WITHIN_S = 15.0  # a cloud "yes" is confirmed once, this soon
_ALARMED_FOR_S = 60.0
_CALL_APART_S = 15.0  # one frame of evidence in this time is enough once the alarm stands
_FIRST_PRICE = 0.1
_DAY_S = 86_400
# Steps of a tenth: finer than a person can see on a chart.
_ASK_GRID = tuple(x / 10.0 for x in range(-120, 121))
_MOST_X = 30.0  # beyond this a logit says nothing more, and exp would overflow
_HIGHEST_PRICE0 = 1.0
_SHARE_HEAD_START = 0.1  # a camera may begin the day with this share of its budget,
_SHARE_FREE_CALLS = 4  # and this many calls, before it pays more than the others


class Tier(StrEnum):
    """Why a frame is sent; decides what it must leave for others."""

    ROUTINE = "routine"
    AUDIT = "audit"
    VERIFY = "verify"
    CONFIRM = "confirm"


class Kept(StrEnum):
    """Why a frame is not asked about."""

    BELOW_PRICE = "below_price"
    ALREADY_ASKED = "already_asked"
    ALREADY_ALARMED = "already_alarmed"
    FAIR_SHARE = "fair_share"
    BATTERY = "battery"
    TOO_LATE = "too_late"
    """It is worth its price, but not by the time an answer would be there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueModel:
    """Calibration of the edge's score into the chance that a question pays, fitted from the int8 file's own scores.

    z = a · x + b + d · max(0, x − slow), chance = 1 / (1 + e^−z). `level_a`, `level_b`: the same without the rise, for
    frames that have no history.
    """

    a: float
    b: float
    d: float
    level_a: float
    level_b: float

    def score(self, x: float, slow_x: float | None) -> float:
        """Calibrate a score; `slow_x` is the camera's resting score, None for a frame without history."""
        if slow_x is None:
            return self.level_a * x + self.level_b
        return self.a * x + self.b + self.d * max(0.0, x - slow_x)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSettings:
    """What an operator may turn; losses in units of one false alarm."""

    c_miss: float = 100.0
    c_false: float = 1.0
    reserve: float = 0.3
    verify_reserve: float = 0.6
    audit: float = 0.02
    price_min: float = 0.0005
    veto_max_s: float = 60.0
    battery_soft: float = 0.3
    battery_hard: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """The day's money as it stands, in integers of one unit; `elapsed` is the share of the local day, 0…1."""

    day: str
    limit: int
    spent: int
    camera_spent: int
    cost: int
    elapsed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What else a decision weighs.

    `weight`: the camera's priority now; `weights`: the sum over all cameras; `cameras`: how many. `battery`: 0…1.
    `deadline_s`: time left for this frame, None when nobody waits; `latency_s`: 90th percentile of recent calls.
    """

    weight: float = 1.0
    weights: float = 1.0
    cameras: int = 1
    battery: float = 1.0
    deadline_s: float | None = None
    latency_s: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraisal:
    """What the policy makes of a frame: a tier to ask in, or why not; value and price in units of one false alarm.

    `keep`: what a call of this tier must leave untouched, in the unit of `Spending`.
    """

    tier: Tier | None
    kept: Kept | None
    value: float
    price: float
    keep: int


class PriceStore(Protocol):
    """Where the day's first price survives a restart."""

    def load(self) -> tuple[str, float] | None:
        """Give (day, first price of that day) as saved last."""
        ...

    def save(self, day: str, first_price: float) -> None:
        """Keep both."""
        ...


class Pricing:
    """The rules of the `price` policy; not thread-safe, its owner locks.

    At most a few arithmetic operations a frame; no input or output except once a day.
    """

    def __init__(
        self,
        model: ValueModel,
        settings: PriceSettings,
        *,
        random: Callable[[], float],
        store: PriceStore,
        spent_on: Callable[[str], int],
    ) -> None:
        """Take up the price where the store left it.

        Args:
            model: calibration.
            settings: what the operator chose.
            random: uniform in 0…1, for audits.
            store: keeps the first price of the day.
            spent_on: sum of a past day, to turn the price over when the box was off at midnight.
        """
        self._model = model
        self._settings = settings
        self._random = random
        self._store = store
        self._spent_on = spent_on
        saved = store.load()
        self._day, self._first_price = saved if saved else ("", _FIRST_PRICE)

    @property
    def model(self) -> ValueModel:
        """Give the calibration."""
        return self._model

    def use(self, model: ValueModel) -> None:
        """Take the calibration of another classifier from now on."""
        self._model = model

    def calibrate(self, x: float, memory: CameraMemory | None) -> float:
        """Calibrate a score into z; a broken one becomes maximal doubt, where both losses weigh alike."""
        if not math.isfinite(x):
            return math.log(self._settings.c_false / self._settings.c_miss)
        bounded = max(-_MOST_X, min(_MOST_X, x))
        return self._model.score(bounded, memory.slow_x if memory else None)

    def price(self, spending: Spending, battery: float) -> float:
        """Tell the price of a look now; rises with spending, falls with the day, rises as the battery falls."""
        self._turn_day(spending)
        settings = self._settings
        strain = _STEEPNESS * (spending.spent / max(1, spending.limit) - spending.elapsed)
        price = max(settings.price_min, self._first_price * math.exp(min(strain, 60.0)))
        if battery >= settings.battery_soft:
            return price
        return price * (1.0 + 9.0 * (1.0 - battery / settings.battery_soft))

    def value(self, z: float, news: float, circumstances: Circumstances) -> float:
        """Tell what a look is worth: the smaller of the two losses it may save, if it is news and comes in time."""
        in_time = 1.0
        if circumstances.deadline_s is not None:
            in_time = min(1.0, circumstances.deadline_s / max(circumstances.latency_s, 1e-3))
        return self._worth_in_time(z, news, circumstances.weight) * in_time

    def _worth_in_time(self, z: float, news: float, weight: float) -> float:
        chance = 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, z))))
        stake = min(self._settings.c_miss * chance, self._settings.c_false * (1.0 - chance))
        return weight * stake * news

    def ask_at(
        self,
        now_s: float,
        memory: CameraMemory | None,
        spending: Spending,
        circumstances: Circumstances,
    ) -> float | None:
        """Tell the probability at which a look is worth its price now; None when no frame is worth it."""
        over = self.share_used(spending, circumstances)
        price = self.price(spending, circumstances.battery) * max(1.0, over) ** 2

        def is_worth_it(x: float) -> bool:
            z = self.calibrate(x, memory)
            news = memory.news(z, now_s, _DELTA) if memory else 1.0
            return self.value(z, news, circumstances) >= price

        worth = next((x for x in _ASK_GRID if is_worth_it(x)), None)
        return None if worth is None else 1.0 / (1.0 + math.exp(-worth))

    def keep(self, tier: Tier, spending: Spending) -> int:
        """Tell what a call of this tier must leave: verify, which skips the price, stops first; confirm may use all."""
        shares: Mapping[Tier, float] = {
            Tier.ROUTINE: self._settings.reserve,
            Tier.AUDIT: self._settings.reserve,
            Tier.VERIFY: self._settings.verify_reserve,
            Tier.CONFIRM: 0.0,
        }
        return math.ceil(shares[tier] * spending.limit * (1.0 - spending.elapsed))

    def appraise(
        self,
        x: float,
        now_s: float,
        memory: CameraMemory | None,
        spending: Spending,
        circumstances: Circumstances,
    ) -> Appraisal:
        """Judge one frame.

        Args:
            x: its score, a logit; may be broken.
            now_s: the camera's clock reading.
            memory: of its camera; None for a frame without history, which has no news, veto, verify or confirm.
            spending: the day's money.
            circumstances: priority, battery, time.
        """
        z = self.calibrate(x, memory)
        news = memory.news(z, now_s, _DELTA) if memory else 1.0
        price = self.price(spending, circumstances.battery)
        value = self.value(z, news, circumstances)
        if memory is None:
            outcome: Tier | Kept = Tier.ROUTINE if value >= price else Kept.BELOW_PRICE
            if circumstances.battery < self._settings.battery_hard:
                outcome = Kept.BATTERY
        else:
            seen = _Seen(x=x, z=z, now_s=now_s, news=news, value=value, price=price)
            outcome = self._rank(seen, memory, spending, circumstances)
        if (
            outcome is Kept.BELOW_PRICE
            and self._worth_in_time(z, news, circumstances.weight) >= price
        ):
            outcome = Kept.TOO_LATE
        if isinstance(outcome, Kept):
            return Appraisal(tier=None, kept=outcome, value=value, price=price, keep=0)
        keep = self.keep(outcome, spending)
        return Appraisal(tier=outcome, kept=None, value=value, price=price, keep=keep)

    def _rank(
        self, seen: _Seen, memory: CameraMemory, spending: Spending, circumstances: Circumstances
    ) -> Tier | Kept:
        """Choose the tier to ask in, or why not to ask."""
        outcome = self._tier(seen, memory, spending, circumstances)
        is_alarmed = seen.now_s - memory.last_alarm_s < _ALARMED_FOR_S
        is_fresh = seen.now_s - memory.last_call_s < _CALL_APART_S
        if outcome in (Tier.ROUTINE, Tier.VERIFY, Tier.CONFIRM) and is_alarmed and is_fresh:
            return Kept.ALREADY_ALARMED
        return outcome

    def _tier(
        self, seen: _Seen, memory: CameraMemory, spending: Spending, circumstances: Circumstances
    ) -> Tier | Kept:
        over = self.share_used(spending, circumstances)
        left = spending.limit - spending.spent - spending.cost
        since_yes_s = seen.now_s - memory.last_yes_s
        if since_yes_s <= _CONFIRM_WITHIN_S < seen.now_s - memory.last_alarm_s:
            return Tier.CONFIRM
        if (
            over <= _VERIFY_SHARE
            and left >= self.keep(Tier.VERIFY, spending)
            and memory.is_imminent(seen.x, seen.z, seen.now_s)
        ):
            return Tier.VERIFY
        if circumstances.battery < self._settings.battery_hard:
            return Kept.BATTERY
        if seen.value >= seen.price * max(1.0, over) ** 2:
            return Tier.ROUTINE
        if self._random() < self._audit_chance(memory.step_s(seen.now_s), spending, circumstances):
            return Tier.AUDIT
        if seen.value >= seen.price:
            return Kept.FAIR_SHARE
        if seen.news < 1.0 and seen.value / max(seen.news, 1e-9) >= seen.price:
            return Kept.ALREADY_ASKED
        return Kept.BELOW_PRICE

    def share_used(self, spending: Spending, circumstances: Circumstances) -> float:
        """Tell how much of its share a camera has used so far; above 1 it pays more than the others."""
        share = spending.limit * circumstances.weight / circumstances.weights
        allowed = share * (spending.elapsed + _SHARE_HEAD_START) + _SHARE_FREE_CALLS * spending.cost
        return spending.camera_spent / allowed if allowed > 0 else 0.0

    def _audit_chance(
        self, step_s: float, spending: Spending, circumstances: Circumstances
    ) -> float:
        """Spread the audits' share of the budget evenly over all cameras and seconds of a day."""
        calls = self._settings.audit * spending.limit / max(1, spending.cost)
        return calls * step_s / (_DAY_S * circumstances.cameras)

    def _turn_day(self, spending: Spending) -> None:
        """At midnight the price carries over, the money does not.

        A store that cannot be used costs the step of the price, never a frame; it is a trouble of its own.
        """
        if spending.day == self._day:
            return
        before, self._day = self._day, spending.day
        with contextlib.suppress(StoreError):
            if before:
                strain = _STEEPNESS * (self._spent_on(before) / max(1, spending.limit) - 1.0)
                price = self._first_price * math.exp(strain)
                self._first_price = min(_HIGHEST_PRICE0, max(self._settings.price_min, price))
            self._store.save(self._day, self._first_price)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One frame as the rules see it."""

    x: float
    z: float
    now_s: float
    news: float
    value: float
    price: float
