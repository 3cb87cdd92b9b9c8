"""What the journal says of a wall clock that was set while the box ran, and what follows for older times. Ring: domain.

Nothing that was recorded is changed. A time that was taken by the clock from before is also told by the clock as it was
set later, reckoned over the monotonic clock, and called reckoned wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSet:
    """At one moment the wall clock would have stood at `was_at`, had nobody set it, and it stood at `set_at`."""

    was_at: datetime
    set_at: datetime

    @property
    def offset(self) -> timedelta:
        """Tell by how much it was set; negative when it was set back."""
        return self.set_at - self.was_at


def clock_set_body(found: ClockSet) -> dict[str, Any]:
    """Write it for the journal."""
    return {
        "was_at": found.was_at.isoformat(),
        "set_at": found.set_at.isoformat(),
        "offset_s": found.offset.total_seconds(),
    }


def clock_set_of(body: Mapping[str, Any]) -> ClockSet:
    """Read it back."""
    return ClockSet(
        was_at=datetime.fromisoformat(body["was_at"]), set_at=datetime.fromisoformat(body["set_at"])
    )


def reckoned(at: datetime, seq: int, sets: Mapping[int, ClockSet]) -> datetime | None:
    """Tell a time by the clock as it was set last.

    Args:
        at: a time by the box's own clock.
        seq: the number of the journal's entry that recorded it.
        sets: when the clock was set in that run of the box, by the number of the entry that says so.

    Returns:
        None when the clock was not set after that time. A picture from before may be recorded after the clock was
        set; that shows where the clock was set forward, and is not guessed where it was set back.
    """
    offsets = [
        found.offset
        for set_seq, found in sets.items()
        if seq < set_seq or (found.set_at > found.was_at and at <= found.was_at)
    ]
    return at + sum(offsets, timedelta(0)) if offsets else None
