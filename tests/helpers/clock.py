"""Clocks that a test moves: one that stands still until then, and one that runs."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class FakeClock:
    """Stands in for `shared.clock.SystemClock`; wall time and monotonic reading move together unless told otherwise."""

    def __init__(self, at: datetime | None = None) -> None:
        """Start at a wall time, midday of a day without a clock change by default."""
        self._at = at or datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
        self._mono_s = 1000.0

    def now_at(self) -> datetime:
        """Tell the wall time."""
        return self._at

    def mono_s(self) -> float:
        """Tell the monotonic reading."""
        return self._mono_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._mono_s += seconds
        self._at += timedelta(seconds=seconds)

    def set_wall(self, at: datetime) -> None:
        """Set the wall time, as an operator or NTP does; the monotonic reading does not notice."""
        self._at = at


class SkippingClock:
    """Stands in for `shared.clock.SystemClock`; it runs, and can be moved on."""

    def __init__(self) -> None:
        """Start as the machine's clocks."""
        self._skipped_s = 0.0

    def now_at(self) -> datetime:
        """Tell the wall time."""
        return datetime.now(UTC) + timedelta(seconds=self._skipped_s)

    def mono_s(self) -> float:
        """Tell the monotonic reading."""
        return time.monotonic() + self._skipped_s

    def skip(self, seconds: float) -> None:
        """Let time pass at once."""
        self._skipped_s += seconds
