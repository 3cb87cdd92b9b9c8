"""How long the caller will still wait. Ring: domain; every wait in the line asks here."""

from __future__ import annotations

from dataclasses import dataclass

from shared.clock import Clock

GRACE_S = 0.05
"""How late an answer may come: an edge's verdict within this is worth more to whoever waits than an error."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on a clock's monotonic reading, after which an answer is of no use."""

    clock: Clock
    at_mono_s: float

    @classmethod
    def after(cls, seconds: float, clock: Clock) -> Deadline:
        """Set a deadline `seconds` from now (0 or less: already passed)."""
        return cls(clock, clock.mono_s() + seconds)

    def remaining_s(self) -> float:
        """Tell the seconds left, never below 0."""
        return max(0.0, self.at_mono_s - self.clock.mono_s())

    def with_grace(self) -> Deadline:
        """Give the last moment at which an answer still counts as in time."""
        return Deadline(self.clock, self.at_mono_s + GRACE_S)

    def earlier(self, seconds: float) -> Deadline:
        """Give the deadline less some seconds that have gone by already."""
        return Deadline(self.clock, self.at_mono_s - seconds)

    def has_passed(self) -> bool:
        """Tell whether nothing is left."""
        return self.remaining_s() <= 0.0
