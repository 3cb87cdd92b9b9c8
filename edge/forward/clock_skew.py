"""How far this box's clock is from the cloud's, from the `Date` of its answers. Ring: domain."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.clock import Clock

_RESOLUTION = timedelta(seconds=1)  # `Date` is cut to whole seconds


class ClockSkew:
    """Keeps the least difference that the last answer proves; safe for use by many threads."""

    def __init__(self, clock: Clock) -> None:
        """Know nothing yet."""
        self._clock = clock
        self._skew_s: float | None = None

    def now_at(self) -> datetime:
        """Tell the wall time that is compared."""
        return self._clock.now_at()

    def note(self, sent_at: datetime, told_at: datetime) -> None:
        """Weigh an answer that has just come: the cloud wrote `told_at` at some moment since `sent_at`."""
        ahead_s = (sent_at - told_at - _RESOLUTION).total_seconds()
        behind_s = (told_at - self._clock.now_at()).total_seconds()
        self._skew_s = max(0.0, ahead_s) - max(0.0, behind_s)

    def seconds(self) -> float | None:
        """Tell the difference, positive when ours is ahead, 0 when nothing is proven; None before any answer."""
        return self._skew_s
