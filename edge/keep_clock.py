"""The clock by which evidence ages: it never goes back, and it does not believe in sudden weeks. Ring: domain.

While the process lives it follows the monotonic clock alone, so that a wall clock that is set forward ages nothing.
Over a restart the wall clock tells how long the box was off; up to a day of that is believed. More is believed only
when somebody vouches for the wall clock: the kernel, which knows whether it is synchronised, or a person.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.clock import Clock

BELIEVED_GAP = timedelta(
    days=1
)  # longer: a dead battery of the clock ages evidence; shorter: a night off is lost
STEP = timedelta(hours=1)  # a wall clock this far off is worth a person's look


class KeepClock:
    """Tells how far evidence has aged; not for use by several threads at once."""

    def __init__(self, clock: Clock, last: datetime | None, *, is_trusted: bool = False) -> None:
        """Go on where the store stopped.

        Args:
            clock: the box's clocks.
            last: what this clock last told before the restart; None for a new store.
            is_trusted: somebody vouches for the wall clock.
        """
        self._clock = clock
        now_at = clock.now_at()
        self._begun_mono_s = clock.mono_s()
        self._begun_at = now_at if last is None else max(last, now_at)
        if last is not None and now_at - last > BELIEVED_GAP and not is_trusted:
            self._begun_at = last

    def now_at(self) -> datetime:
        """Tell the time by which evidence ages."""
        return self._begun_at + timedelta(seconds=self._clock.mono_s() - self._begun_mono_s)

    def wall_is_ahead(self) -> timedelta:
        """Tell by how much the wall clock is ahead; negative when it was set back."""
        return self._clock.now_at() - self.now_at()
