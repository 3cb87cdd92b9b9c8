"""What the evidence store takes and gives. Ring: domain, values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from edge.decide.reasons import Reason
from edge.event.evidence import Grade
from edge.event.fire_event import FireEvent, Origin, Severity
from edge.record.chain import Finding
from edge.record.clock_set import ClockSet
from shared.types import ClockQuality, Detection, Label, MediaType, Source

MOST_EVENTS_A_PAGE = 200


class Mark(StrEnum):
    """What a person says an event was; the values are the wire words."""

    TRUE = "true"
    FALSE = "false"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Who did something and when; `text` is the note or the reason that was given."""

    at: datetime
    by: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """An event with everything that was said about it later.

    `frames_kept` and `bytes_kept` count its pictures, `frames_gone` those that had to make room. `camera_facts` is
    what was known of the camera when the event opened. `damaged` numbers the journal's entries that were altered or
    are damaged and that nothing here is made of: of a page's events those that say what it was, of one event all.
    `clock_sets`: when the clock was set in the run of the box that opened it, by number of the entry; `reckoned_at` is
    its beginning by that clock, where it was recorded by the one from before. A page's events have neither.
    """

    event: FireEvent
    origin: Origin | None
    acknowledged: Signed | None
    mark: Mark | None
    marked: Signed | None
    held: Signed | None
    camera_facts: Mapping[str, Any]
    frames_kept: int
    frames_gone: int
    bytes_kept: int
    damaged: tuple[int, ...] = ()
    clock_sets: Mapping[int, ClockSet] = field(default_factory=dict)
    reckoned_at: datetime | None = None

    @property
    def began_at(self) -> datetime:
        """Tell the origin's time; of an untraced event when it opened."""
        return self.origin.captured_at if self.origin else self.event.opened_at

    def lasted_until(self, at: datetime) -> timedelta:
        """Tell how long after its beginning a time is, never negative.

        Where the clock was set between the two, the reckoned beginning counts: of both spans the shorter one, for the
        other holds the setting.
        """
        begins = (self.began_at, self.reckoned_at or self.began_at)
        return min((at - b for b in begins if b <= at), default=timedelta(0))

    @property
    def is_held(self) -> bool:
        """Tell whether somebody keeps it from being deleted."""
        return self.held is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One verdict on a frame, with the decision behind it; `at` is when it was written down."""

    at: datetime
    source: Source
    label: Label
    confidence: float
    fire: float
    smoke: float
    detections: tuple[Detection, ...]
    reason: Reason
    policy: str
    tier: str
    value: float | None
    threshold: float | None
    price: float | None
    charged_micros: int
    model: Mapping[str, str]
    detail: str
    is_pending: bool
    is_amendment: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecord:
    """A frame that is kept: where and when it was taken, its picture's hash, and what was said of it in order.

    `seq` is the number of its entry in the journal.
    """

    seq: int
    frame_id: str
    camera: str | None
    captured_at: datetime
    received_at: datetime | None
    clock_quality: ClockQuality
    media_type: MediaType
    width_px: int
    height_px: int
    sha256: str
    size_bytes: int
    said: tuple[Said, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """Which events, newest first; None does not filter. `since` ≤ opened < `until`.

    `is_oldest_first` turns the order round, for one page. `is_calling` asks for those that want somebody's eyes: they
    go on, or nobody has acknowledged that fire or smoke.
    """

    limit: int = 50
    cursor: str | None = None
    camera: str | None = None
    severity: Severity | None = None
    grade: Grade | None = None
    is_reviewed: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    with_tests: bool = False
    is_calling: bool = False
    is_oldest_first: bool = False
    is_held: bool | None = None
    is_closed: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Some events, newest first; `cursor` asks for what comes after them, None at the end.

    `unreadable` names those of the page whose entries were altered or are damaged: one of them hides no other.
    """

    events: tuple[EventRecord, ...]
    cursor: str | None
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a check of the whole store found. `head` is the chain's last hash; `heads` the last one of each day.

    `strays` counts pictures that a journal which was set aside had listed.
    """

    findings: tuple[Finding, ...]
    entries: int
    files: int
    head: str
    heads: Mapping[str, str]
    strays: int

    @property
    def is_unaltered(self) -> bool:
        """Tell whether everything is as it was written."""
        return not self.findings
