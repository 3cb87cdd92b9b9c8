"""The clock by which evidence ages: it never goes back, and it does not believe in sudden weeks. Ring: domain.

While the process lives it follows the monotonic clock alone, so that a wall clock that is set forward ages nothing.
Over a restart the wall clock tells how long the box was off; up to a day of that is believed. More is believed only
when somebody vouches for the wall clock: the machine, which may know that it is synchronised, or a person.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from edge.record.clock_set import ClockSet
from shared.clock import Clock

# longer: a wrong clock after a restart ages evidence; shorter: so does a night off.
BELIEVED_GAP = timedelta(days=1)
# NTP steps by less; whoever set the clock by more since the start may have been wrong then.
_STEP = timedelta(hours=1)
# Shorter: a machine that stood still for a moment is one whose clock was set. Longer: times that are off by as much
# are told as right.
_SET_BY = timedelta(seconds=10)


class KeepClock:
    """Tells how far evidence has aged; safe for use by many threads."""

    def __init__(self, clock: Clock, last_at: datetime | None) -> None:
        """Go on where the process before stopped.

        Args:
            clock: the box's clocks.
            last_at: what this clock last told before; None for a new store.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._wall_then_at = clock.now_at()
        self._then_mono_s = clock.mono_s()
        self._noted = timedelta(0)
        self._then_at = self._wall_then_at if last_at is None else max(last_at, self._wall_then_at)
        if last_at is not None and self._wall_then_at - last_at > BELIEVED_GAP:
            self._then_at = last_at

    def now_at(self) -> datetime:
        """Tell the time by which evidence ages."""
        with self._lock:
            return self._then_at + self._elapsed()

    def not_before(self, at: datetime) -> None:
        """Go on from a later time that somebody vouched for."""
        with self._lock:
            self._then_at = max(self._then_at, at - self._elapsed())

    def trust_start(self) -> None:
        """Believe the wall clock of the start after all, unless it was set since."""
        drift = self._clock.now_at() - self._wall_then_at - self._elapsed()
        if abs(drift) < _STEP:
            self.not_before(self._wall_then_at + self._elapsed())

    def wall_set(self) -> ClockSet | None:
        """Tell that the wall clock was set since the start, beyond what `note_wall_set` was told."""
        with self._lock:
            set_at = self._clock.now_at()
            was_at = self._wall_then_at + self._elapsed() + self._noted
        return ClockSet(was_at=was_at, set_at=set_at) if abs(set_at - was_at) >= _SET_BY else None

    def note_wall_set(self, found: ClockSet) -> None:
        """Tell it no more: it is written down."""
        with self._lock:
            self._noted += found.offset

    def wall_is_ahead(self) -> timedelta:
        """Tell by how much the wall clock is ahead of this one; negative when it was set back."""
        return self._clock.now_at() - self.now_at()

    def _elapsed(self) -> timedelta:
        return timedelta(seconds=self._clock.mono_s() - self._then_mono_s)
