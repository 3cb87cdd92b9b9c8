"""The day's money: never one call above the limit. Ring: domain; what must survive goes to a store.

A charge is counted in memory first, then written and synced, and only then may the call leave. A crash in between
loses a call, never money twice. Refunds are for calls that certainly did not run.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from shared.errors import StoreError

DISK_WITHIN_S = 1.0
"""How long a frame waits for the ledger: a card that tidies up answers by then, and most of a deadline is left."""
_MADE = "2026-11-01"  # before this day there was no such box: a clock that says so was never set


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One paid call; `day` is the local calendar day that pays, ISO form."""

    call_id: str
    day: str
    cost_micros: int
    camera: str | None
    tier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """The local day as it stands; `elapsed` is its share that has passed, 0…1."""

    day: str
    limit_micros: int
    spent_micros: int
    camera_micros: int
    elapsed: float


class ChargeStore(Protocol):
    """Where charges survive; each call returns only once it is on disk, and raises StoreError otherwise.

    What a StoreError was raised for stays undone, also where the disk takes it up later.
    """

    def insert(self, charge: Charge, *, within_s: float) -> bool:
        """Write a charge; False when an open charge of that id is there already."""
        ...

    def is_open(self, call_id: str, *, within_s: float) -> bool:
        """Tell whether an open charge of that id is there."""
        ...

    def refund(self, call_id: str) -> Charge | None:
        """Close an open charge and give it back; None when there is none."""
        ...

    def find(self, call_id: str) -> Charge | None:
        """Give an open charge; None when there is none."""
        ...

    def set_cost(self, call_id: str, cost_micros: int) -> None:
        """Change what an open charge costs."""
        ...

    def spent_micros(self, day: str) -> int:
        """Sum the open charges of a day."""
        ...

    def spent_micros_of_month(self, month: str) -> int:
        """Sum the open charges of a month, `YYYY-MM`."""
        ...

    def spent_by_camera(self, day: str) -> dict[str | None, int]:
        """Sum the open charges of a day by camera."""
        ...

    def spent_micros_since(self, day: str) -> int:
        """Sum the open charges of a day and of all days after it."""
        ...

    def move(self, *, after: str) -> None:
        """Let what the days after a day paid count for that day."""
        ...

    def last_day(self) -> str:
        """Tell the latest day that has charges; empty when there is none."""
        ...


class BudgetManager:
    """Guards the daily limit; safe for use by many threads.

    Invariants: for every local day and month, at every instant, open charges ≤ limit, in integers; one charge a call
    id, however often it is tried; a new budget at local midnight, also on days of 23 or 25 hours; a clock that is set
    back never reopens a finished day, unless it stood in the future, and then all counts that was spent since.
    """

    def __init__(
        self,
        *,
        limit_micros: int,
        monthly_limit_micros: int | None = None,
        zone: ZoneInfo,
        store: ChargeStore,
        now_at: Callable[[], datetime],
    ) -> None:
        """Take up the day where the store left it."""
        self._limit_micros = limit_micros
        self._monthly_limit_micros = monthly_limit_micros
        self._zone = zone
        self._store = store
        self._now_at = now_at
        self._lock = threading.Lock()
        self._day = max(store.last_day(), self._today())
        self._spent_micros = store.spent_micros(self._day)
        self._by_camera: dict[str | None, int] = store.spent_by_camera(self._day)
        self._month_micros = store.spent_micros_of_month(self._day[:7])

    @property
    def limit_micros(self) -> int:
        """Tell the daily limit."""
        return self._limit_micros

    def remaining_micros(self) -> int:
        """Tell what is left today."""
        with self._lock:
            self._turn_day()
            return self._open_micros()

    def month_left_micros(self) -> int | None:
        """Tell what is left of the monthly limit; None where there is none."""
        with self._lock:
            self._turn_day()
            if self._monthly_limit_micros is None:
                return None
            return self._monthly_limit_micros - self._month_micros

    def frozen_until(self) -> str | None:
        """Tell the day whose budget holds although the clock is before it; None when clock and books agree.

        A clock that stood in the future, even once, leaves its day in the books: nothing is granted twice, so that
        day's budget holds until it is over, or until `take_back` is sure.
        """
        with self._lock:
            return self._day if self._today() < self._day else None

    def take_back(self, counted_at: datetime) -> str | None:
        """Give up a day in the future, where the wall clock and the box's own count say that it was none.

        What that day and all others after today paid counts for today.

        Args:
            counted_at: the time that the box has counted, which no clock that is set moves, see
                `edge.record.keep_clock`.

        Returns:
            the day that was given up; None when there is none, or nobody can say which clock is wrong.

        Raises:
            StoreError: nothing is changed.
        """
        with self._lock:
            today, day = self._today(), self._day
        counted = counted_at.astimezone(self._zone).date().isoformat()
        is_known = today >= _MADE and _days_between(today, counted) <= 1
        if not is_known or day < today or _days_between(today, day) <= 1:
            return None
        others_micros = self._store.spent_micros_since(today) - self._store.spent_micros(day)
        self._store.move(after=today)
        by_camera = self._store.spent_by_camera(today)
        month_micros = self._store.spent_micros_of_month(today[:7])
        with self._lock:
            # By what memory knows of that day: a charge may be on its way to the disk.
            self._day, self._spent_micros = today, self._spent_micros + max(0, others_micros)
            self._by_camera = by_camera
            self._month_micros = max(month_micros, self._spent_micros)
        return day

    def today(self, camera: str | None) -> Today:
        """Tell the day as it stands, for one camera."""
        with self._lock:
            self._turn_day()
            return Today(
                day=self._day,
                limit_micros=self._limit_micros,
                spent_micros=self._spent_micros,
                camera_micros=self._by_camera.get(camera, 0),
                elapsed=self._elapsed(),
            )

    def check_and_deduct(
        self,
        cost_micros: int,
        *,
        call_id: str,
        camera: str | None = None,
        tier: str = "routine",
        keep_micros: int = 0,
        within_s: float = DISK_WITHIN_S,
    ) -> bool:
        """Pay for one call, or say that it cannot be paid.

        Args:
            cost_micros: ≥ 0.
            call_id: a call that is tried again keeps its id and pays once.
            camera: for the books.
            tier: for the books.
            keep_micros: what this call must leave untouched.
            within_s: how long the caller waits for the disk.

        Returns:
            True when the charge is on disk, or was already.

        Raises:
            ValueError: a negative cost.
            StoreError: the charge could not be written, or not in time; nothing is charged.
        """
        if cost_micros < 0:
            raise ValueError(f"cost_micros is {cost_micros}, must not be negative")
        with self._lock:
            self._turn_day()
            day = self._day
            is_affordable = (
                self._limit_micros > 0 and cost_micros <= self._open_micros() - keep_micros
            )
            if is_affordable:
                self._book(camera, cost_micros)
        if not is_affordable:
            # The last call of the day may be tried again, too.
            return self._store.is_open(call_id, within_s=within_s)
        is_new = False
        charge = Charge(call_id=call_id, day=day, cost_micros=cost_micros, camera=camera, tier=tier)
        try:
            is_new = self._store.insert(charge, within_s=within_s)
        finally:
            if not is_new:
                self._credit(day, camera, cost_micros)
        return True

    def refund(self, call_id: str) -> bool:
        """Give back the charge of a call that certainly did not run; it credits the day that paid.

        Returns:
            False when there is no open charge of that id.
        """
        charge = self._store.refund(call_id)
        if charge is None:
            return False
        self._credit(charge.day, charge.camera, charge.cost_micros)
        return True

    def settle(self, call_id: str, cost_micros: int) -> int:
        """Book what a call really cost, once the cloud has said so.

        Returns:
            what stands in the books: the told cost, or as much of an excess as the limit still holds; 0 without a
            charge.

        Raises:
            StoreError: the books could not be changed; the charge stands as it was.
        """
        charge = self._store.find(call_id)
        if charge is None:
            return 0
        with self._lock:
            self._turn_day()
            is_today = charge.day == self._day
            room = max(0, self._open_micros()) if is_today else 0
            change = min(cost_micros - charge.cost_micros, room)
            if is_today and change > 0:
                self._book(charge.camera, change)
        try:
            self._store.set_cost(call_id, charge.cost_micros + change)
        except StoreError:
            if change > 0:
                self._credit(charge.day, charge.camera, change)
            raise
        if change < 0:
            self._credit(charge.day, charge.camera, -change)
        return charge.cost_micros + change

    def _open_micros(self) -> int:
        """What may still be spent now: the smaller of the day's and the month's rest."""
        today = self._limit_micros - self._spent_micros
        if self._monthly_limit_micros is None:
            return today
        return min(today, self._monthly_limit_micros - self._month_micros)

    def _book(self, camera: str | None, micros: int) -> None:
        self._spent_micros += micros
        self._month_micros += micros
        self._by_camera[camera] = self._by_camera.get(camera, 0) + micros

    def _credit(self, day: str, camera: str | None, micros: int) -> None:
        with self._lock:
            if day == self._day:
                self._book(camera, -micros)
            elif day[:7] == self._day[:7]:
                self._month_micros -= micros

    def _turn_day(self) -> None:
        today = self._today()
        if today > self._day:
            if today[:7] != self._day[:7]:
                self._month_micros = 0
            self._day, self._spent_micros, self._by_camera = today, 0, {}

    def _today(self) -> str:
        return self._now_at().astimezone(self._zone).date().isoformat()

    def _elapsed(self) -> float:
        """Share of the local day that has passed; 0 when the clock was set back into a finished day."""
        now_at = self._now_at().astimezone(self._zone)
        if now_at.date().isoformat() < self._day:
            return 0.0
        began_s, ends_s = _day_bounds_s(now_at.date(), self._zone)
        return min(1.0, max(0.0, (now_at.timestamp() - began_s) / (ends_s - began_s)))


def _days_between(day: str, other: str) -> int:
    return abs((date.fromisoformat(other) - date.fromisoformat(day)).days)


@functools.lru_cache(maxsize=4)
def _day_bounds_s(day: date, zone: ZoneInfo) -> tuple[float, float]:
    """Give the epoch seconds of a local day's two midnights; 23 or 25 hours apart on some days."""
    began_at = datetime.combine(day, time(), zone)
    ends_at = datetime.combine(day + timedelta(days=1), time(), zone)
    return began_at.timestamp(), ends_at.timestamp()
