"""A charge store in memory, for tests of the budget's arithmetic."""

from __future__ import annotations

from dataclasses import replace

from edge.decide.budget import Charge
from shared.error_code import ErrorCode
from shared.errors import StoreError


class MemoryCharges:
    """Stands in for `edge.decide.ledger.Ledger`; `is_broken` makes every write fail as a full disk does."""

    def __init__(self) -> None:
        """Start empty."""
        self.open: dict[str, Charge] = {}
        self.is_broken = False
        self._days: set[str] = set()

    def insert(self, charge: Charge, *, within_s: float) -> bool:
        """Write a charge."""
        if self.is_broken:
            raise StoreError(ErrorCode.STORE_UNAVAILABLE, "disk is full")
        if charge.call_id in self.open:
            return False
        self.open[charge.call_id] = charge
        self._days.add(charge.day)
        return True

    def is_open(self, call_id: str, *, within_s: float) -> bool:
        """Tell whether a charge is open."""
        return call_id in self.open

    def refund(self, call_id: str) -> Charge | None:
        """Close a charge."""
        return self.open.pop(call_id, None)

    def find(self, call_id: str) -> Charge | None:
        """Give an open charge."""
        return self.open.get(call_id)

    def set_cost(self, call_id: str, cost_micros: int) -> None:
        """Change what a charge costs."""
        if self.is_broken:
            raise StoreError(ErrorCode.STORE_UNAVAILABLE, "disk is full")
        self.open[call_id] = replace(self.open[call_id], cost_micros=cost_micros)

    def spent_micros(self, day: str) -> int:
        """Sum a day."""
        return sum(c.cost_micros for c in self.open.values() if c.day == day)

    def spent_micros_of_month(self, month: str) -> int:
        """Sum a month."""
        return sum(c.cost_micros for c in self.open.values() if c.day.startswith(month))

    def spent_by_camera(self, day: str) -> dict[str | None, int]:
        """Sum a day by camera."""
        sums: dict[str | None, int] = {}
        for charge in self.open.values():
            if charge.day == day:
                sums[charge.camera] = sums.get(charge.camera, 0) + charge.cost_micros
        return sums

    def spent_micros_since(self, day: str) -> int:
        """Sum a day and those after it."""
        return sum(c.cost_micros for c in self.open.values() if c.day >= day)

    def move(self, *, after: str) -> None:
        """Bring later charges to a day."""
        if self.is_broken:
            raise StoreError(ErrorCode.STORE_UNAVAILABLE, "disk is full")
        self.open = {i: replace(c, day=min(c.day, after)) for i, c in self.open.items()}
        self._days = {min(day, after) for day in self._days}

    def last_day(self) -> str:
        """Tell the latest day."""
        return max(self._days, default="")
