"""The day's money: never one call above the limit. Ring: domain; what must survive goes to a store.

A charge is counted in memory first, then written and synced, and only then may the call leave. A crash in between
loses a call, never money twice. Refunds are for calls that certainly did not run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One paid call; `day` is the local calendar day that pays, ISO form."""

    call_id: str
    day: str
    cost_micros: int
    camera: str | None
    tier: str


class ChargeStore(Protocol):
    """Where charges survive; each call returns only once it is on disk, and raises StoreError otherwise."""

    def insert(self, charge: Charge) -> bool:
        """Write a charge; False when an open charge of that id is there already."""
        ...

    def is_open(self, call_id: str) -> bool:
        """Tell whether an open charge of that id is there."""
        ...

    def refund(self, call_id: str) -> Charge | None:
        """Close an open charge and give it back; None when there is none."""
        ...

    def spent_micros(self, day: str) -> int:
        """Sum the open charges of a day."""
        ...

    def last_day(self) -> str:
        """Tell the latest day that has charges; empty when there is none."""
        ...


class BudgetManager:
    """Guards the daily limit; safe for use by many threads.

    Invariants: for every local day, at every instant, open charges ≤ limit, in integers; one charge a call id,
    however often it is tried; a new budget at local midnight, also on days of 23 or 25 hours; a clock that is set
    back never reopens a finished day.
    """

    def __init__(
        self,
        *,
        limit_micros: int,
        zone: ZoneInfo,
        store: ChargeStore,
        now_at: Callable[[], datetime],
    ) -> None:
        """Take up the day where the store left it."""
        self._limit_micros = limit_micros
        self._zone = zone
        self._store = store
        self._now_at = now_at
        self._lock = threading.Lock()
        self._day = max(store.last_day(), self._today())
        self._spent_micros = store.spent_micros(self._day)

    @property
    def limit_micros(self) -> int:
        """Tell the daily limit."""
        return self._limit_micros

    def remaining_micros(self) -> int:
        """Tell what is left today."""
        with self._lock:
            self._turn_day()
            return self._limit_micros - self._spent_micros

    def check_and_deduct(
        self, cost_micros: int, *, call_id: str, camera: str | None = None, tier: str = "routine"
    ) -> bool:
        """Pay for one call, or say that it cannot be paid.

        Args:
            cost_micros: ≥ 0.
            call_id: a call that is tried again keeps its id and pays once.
            camera: for the books.
            tier: for the books.

        Returns:
            True when the charge is on disk, or was already.

        Raises:
            ValueError: a negative cost.
            StoreError: the charge could not be written; nothing is charged.
        """
        if cost_micros < 0:
            raise ValueError(f"cost_micros is {cost_micros}, must not be negative")
        with self._lock:
            self._turn_day()
            day = self._day
            is_affordable = 0 < self._limit_micros >= self._spent_micros + cost_micros
            if is_affordable:
                self._spent_micros += cost_micros
        if not is_affordable:
            return self._store.is_open(call_id)  # the last call of the day may be tried again, too
        is_new = False
        try:
            is_new = self._store.insert(
                Charge(call_id=call_id, day=day, cost_micros=cost_micros, camera=camera, tier=tier)
            )
        finally:
            if not is_new:
                self._credit(day, cost_micros)
        return True

    def refund(self, call_id: str) -> bool:
        """Give back the charge of a call that certainly did not run; it credits the day that paid.

        Returns:
            False when there is no open charge of that id.
        """
        charge = self._store.refund(call_id)
        if charge is None:
            return False
        self._credit(charge.day, charge.cost_micros)
        return True

    def _credit(self, day: str, micros: int) -> None:
        with self._lock:
            if day == self._day:
                self._spent_micros -= micros

    def _turn_day(self) -> None:
        today = self._today()
        if today > self._day:
            self._day, self._spent_micros = today, 0

    def _today(self) -> str:
        return self._now_at().astimezone(self._zone).date().isoformat()
