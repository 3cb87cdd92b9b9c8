"""An event: fire or smoke on one camera at one place, from its first picture to its last. Ring: domain, values only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from edge.event.evidence import Grade
from edge.fuse import Verdict
from shared.types import Box, Frame


class Severity(StrEnum):
    """What an event is about; the values are the wire words. The worst that was seen stays."""

    FIRE = "fire"
    SMOKE = "smoke"
    UNCERTAIN = "uncertain"


class EventStep(StrEnum):
    """What has just happened to an event."""

    OPENED = "opened"
    UPDATED = "updated"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FireEvent:
    """One event as it is known now.

    `box` is where it was last seen, in pixels of the camera's picture, None while nobody knows. `peak` is the highest
    probability so far, 0…1. `frame_id` names the frame that opened it. `zone` names the watched zone it lies in.
    `is_test` marks a fire that was drawn into the picture by a test.
    """

    event_id: str
    camera: str
    zone: str | None
    severity: Severity
    grade: Grade
    opened_at: datetime
    last_seen_at: datetime
    closed_at: datetime | None
    frame_id: str
    box: Box | None
    peak: float
    frames: int
    is_test: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFrame:
    """A frame that is kept as evidence, with what was said of it; None for one that was never classified."""

    frame: Frame
    verdict: Verdict | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthPoint:
    """Where the fire was in one picture: box in source pixels and the detector's score, 0…1."""

    captured_at: datetime
    frame_id: str
    box: Box
    score: float


class OriginMethod(StrEnum):
    """Who found the first picture."""

    DETECTOR = "detector"
    CLOUD = "cloud"
    EDGE = "edge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The earliest picture that shows the fire.

    `box` is None only where no detector could draw one. `method` is `detector` (traced back on the box), `cloud` (the
    cloud looked at the frame, too) or `edge` (traced back along the edge's own coarse boxes). An event that could not
    be traced has none: when it opened is not when it began.
    `is_earliest_kept`: the trace reached the oldest picture that was kept, so the fire may be older. `growth` goes from
    the origin on.
    """

    captured_at: datetime
    frame_id: str
    box: Box | None
    method: OriginMethod
    confidence: float
    is_earliest_kept: bool
    growth: tuple[GrowthPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventChange:
    """A step of an event, with the event after it.

    `why` says in a word or two what changed on an update. `origin` is None until it was traced.
    """

    step: EventStep
    event: FireEvent
    why: str = ""
    origin: Origin | None = None
