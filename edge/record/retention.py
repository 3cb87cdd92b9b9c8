"""What of the evidence goes, and when: age, worth and room. Ring: domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from edge.event.evidence import Grade
from edge.event.fire_event import Severity
from edge.record.types import EventRecord, FrameRecord, Mark

_DAY_S = 86_400.0
WARN_DAYS = 3.0  # shorter leaves no week-end to act in; longer warns of a rate that is over before anybody looks


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepRules:
    """For how long events are kept and how much room they may take; 0 bytes is no limit."""

    keep_days: int = 30
    max_bytes: int = 0
    min_free_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a round took away: whole events by age, frames by need for room; `is_short`: that was not enough."""

    events: int
    frames: int
    bytes: int
    is_short: bool


class Worth(IntEnum):
    """What an event is worth when room is needed; the lowest goes first.

    The story of a fire that the cloud confirmed and nobody has reviewed, from its origin to its peak, does not go
    before its time: rather nothing new is recorded, and that is a trouble.
    """

    TEST = 0
    NO_FIRE = 1
    DOUBT = 2
    UNCHECKED = 3
    SMOKE = 4
    FIRE = 5
    UNREVIEWED_FIRE = 6
    STILL_OPEN = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How full the disk is; `free_bytes` is None where nobody can tell."""

    rules: KeepRules
    used_bytes: int
    free_bytes: int | None

    @property
    def left_bytes(self) -> int | None:
        """Tell how much more may come, negative when some must go; None when nothing limits it."""
        limits = [self.rules.max_bytes - self.used_bytes] if self.rules.max_bytes else []
        if self.free_bytes is not None:
            limits.append(self.free_bytes - self.rules.min_free_bytes)
        return min(limits) if limits else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """How long the room lasts at the rate of the last day.

    `days_left` is None when nothing limits it or nothing comes. `is_short`: it will be full within three days, also
    after what expires until then; the least valuable would go early.
    """

    used_bytes: int
    left_bytes: int | None
    bytes_per_day: float
    days_left: float | None
    keep_days: int
    oldest_at: datetime | None
    is_short: bool


def forecast(
    room: Room,
    *,
    bytes_per_day: float,
    expiring_bytes: int,
    oldest_at: datetime | None,
) -> Forecast:
    """Tell how long the room lasts; `expiring_bytes` go within the next three days by age alone."""
    left = None if room.left_bytes is None else max(0, room.left_bytes)
    days_left = left / bytes_per_day if left is not None and bytes_per_day > 0 else None
    return Forecast(
        used_bytes=room.used_bytes,
        left_bytes=left,
        bytes_per_day=bytes_per_day,
        days_left=days_left,
        keep_days=room.rules.keep_days,
        oldest_at=oldest_at,
        is_short=left is not None and left + expiring_bytes < WARN_DAYS * bytes_per_day,
    )


def rate_per_day(today_bytes: int, yesterday_bytes: int, now_at: datetime) -> float:
    """Estimate the bytes of the last 24 hours from two days' sums: all of today, the rest from yesterday."""
    midnight_at = now_at.replace(hour=0, minute=0, second=0, microsecond=0)
    of_yesterday = 1.0 - (now_at - midnight_at).total_seconds() / _DAY_S
    return today_bytes + of_yesterday * yesterday_bytes


def worth(record: EventRecord) -> Worth:
    """Judge an event."""
    event = record.event
    if event.is_test:
        return Worth.TEST
    if event.closed_at is None:
        return Worth.STILL_OPEN
    if record.mark in (Mark.FALSE, Mark.OTHER):
        return Worth.NO_FIRE
    if record.mark is Mark.TRUE:
        return Worth.FIRE
    if event.grade is Grade.EDGE_ONLY:
        return Worth.DOUBT if event.severity is Severity.UNCERTAIN else Worth.UNCHECKED
    return Worth.UNREVIEWED_FIRE if event.severity is Severity.FIRE else Worth.SMOKE


def core_and_rest(
    record: EventRecord, frames: Sequence[FrameRecord]
) -> tuple[list[FrameRecord], list[FrameRecord]]:
    """Part an event's frames into those that tell its story, from the origin to the peak, and the rest."""
    if not frames:
        return [], []
    begin_at = record.began_at
    peak_at = max(frames, key=_height).captured_at
    first, last = min(begin_at, peak_at), max(begin_at, peak_at)
    core: list[FrameRecord] = []
    rest: list[FrameRecord] = []
    for frame in frames:
        is_core = first <= frame.captured_at <= last or frame.frame_id == record.event.frame_id
        (core if is_core else rest).append(frame)
    return core, rest


def _height(frame: FrameRecord) -> float:
    return max((max(said.fire, said.smoke) for said in frame.said), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """What a disk can hold: of a day of pictures, all of it or the share of time that events last."""

    bytes_per_day: float
    days_of_everything: float
    share_of_time: float

    @classmethod
    def of(
        cls, *, cameras: int, fps: float, picture_bytes: int, disk_bytes: int, keep_days: int
    ) -> Sizing:
        """Compute it; `share_of_time`, 0…1, is how much of the time events may last if they are to stay `keep_days`."""
        bytes_per_day = cameras * fps * picture_bytes * _DAY_S
        days = disk_bytes / bytes_per_day
        return cls(
            bytes_per_day=bytes_per_day,
            days_of_everything=days,
            share_of_time=min(1.0, days / keep_days),
        )
