"""Places: where in a camera's picture something was seen over the last seconds, and how much of it. Ring: domain.

A place gathers evidence of its own, by the same rule as its camera (`edge.decide.memory`), so that a second fire is
told from the first one, and a flickering box stays one place.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edge.event.evidence import Grade, is_agreed, is_faint
from edge.event.fire_event import EventChange, EventStep, FireEvent, Severity
from edge.fuse import Verdict
from shared.types import Box, Detection, Label, Picture, Source

_DECAY_PER_S = 0.9  # the camera's own evidence fades as fast
_NEWEST_STEP_S = 1.0
_CLOUD_WEIGHT = 1.5
_EXTENT_S = 10.0  # boxes of this time make up the extent: shorter, and flicker tears a place apart
_MOST_BOXES = 64  # of an extent: 10 s at 6 frames a second
_RANK = {Severity.UNCERTAIN: 0, Severity.SMOKE: 1, Severity.FIRE: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one verdict says of one place: box in source pixels or None, and how much it weighs."""

    box: Box | None
    severity: Severity
    probability: float
    weight: float
    is_checked: bool


@dataclass(slots=True)
class Place:
    """One place of one camera, with the event that is or was open there; not thread-safe."""

    first_mono_s: float
    last_mono_s: float
    box: Box | None = None
    boxes: deque[tuple[float, Box]] = field(default_factory=lambda: deque(maxlen=_MOST_BOXES))
    evidence: float = 0.0
    severity: Severity = Severity.UNCERTAIN
    peak: float = 0.0
    is_checked: bool = False
    event: FireEvent | None = None
    told_mono_s: float = 0.0

    @property
    def is_open(self) -> bool:
        """Tell whether an event is open here."""
        return self.event is not None and self.event.closed_at is None

    @property
    def extent(self) -> Box | None:
        """Give the box around all that was seen here lately."""
        return union([box for _, box in self.boxes]) if self.boxes else None

    def fade(self, now_mono_s: float) -> float:
        """Tell what is left of the evidence."""
        passed_s = max(0.0, now_mono_s - self.last_mono_s)
        return self.evidence * math.pow(_DECAY_PER_S, passed_s)

    def note(self, sighting: Sighting, now_mono_s: float) -> None:
        """Take in the first, and best, sighting of a verdict."""
        step_s = min(_NEWEST_STEP_S, max(0.0, now_mono_s - self.last_mono_s))
        is_first = self.evidence == 0.0
        gained = sighting.weight * (_NEWEST_STEP_S if is_first else step_s)
        if sighting.is_checked:
            gained = max(gained, _CLOUD_WEIGHT)
        self.evidence = self.fade(now_mono_s) + gained
        self.last_mono_s = now_mono_s
        self.peak = max(self.peak, sighting.probability)
        self.is_checked |= sighting.is_checked
        self.box = sighting.box or self.box
        self.widen(sighting, now_mono_s)

    def widen(self, sighting: Sighting, now_mono_s: float) -> None:
        """Take in one more sighting of the same verdict: it adds to the extent, not to the evidence."""
        self.severity = worse(self.severity, sighting.severity)
        if sighting.box is not None:
            self.boxes.append((now_mono_s, sighting.box))
            while self.boxes[0][0] < now_mono_s - _EXTENT_S:
                self.boxes.popleft()

    def renew(self, verdict: Verdict, zone: str | None) -> FireEvent:
        """Give the event here as it is after a sighting."""
        assert self.event is not None  # noqa: S101 - asked of places with an event only
        event = self.event
        return replace(
            event,
            zone=event.zone or zone,
            severity=worse(event.severity, self.severity),
            grade=Grade.CONFIRMED if self.is_checked else event.grade,
            last_seen_at=max(event.last_seen_at, verdict.captured_at),
            box=self.box or event.box,
            peak=max(event.peak, self.peak),
            frames=event.frames + (not verdict.is_amendment),
        )

    def change(self, renewed: FireEvent, now_mono_s: float, every_s: float) -> EventChange | None:
        """Take over a renewed event, and give the change if it is one worth telling or keeping now."""
        before, self.event = self.event, renewed
        why = "" if before is None else told_apart(before, renewed)
        if not why and now_mono_s - self.told_mono_s < every_s:
            return None
        self.told_mono_s = now_mono_s
        return EventChange(step=EventStep.UPDATED, event=renewed, why=why)


def told_apart(before: FireEvent, after: FireEvent) -> str:
    """Say what a person would want to hear of the difference between two states of an event; empty for nothing."""
    if before.closed_at is not None and after.closed_at is None:
        return "reopened"
    if before.severity is not after.severity:
        return "severity"
    if before.grade is not after.grade:
        return "confirmed"
    return ""


def sightings(verdict: Verdict) -> list[Sighting]:
    """Read from a verdict what was seen and where; one without a box when nobody drew one.

    What is faint weighs nothing: it keeps an event open, and is no evidence for a new one.
    """
    if verdict.label is Label.NONE and not verdict.edge.is_broken:
        return []
    is_cloud = verdict.source is Source.CLOUD
    probability = verdict.confidence if is_cloud else verdict.edge.presence

    def seen(detection: Detection | None, label: Label) -> Sighting:
        return Sighting(
            box=detection.box if detection else None,
            severity=_severity(verdict, label),
            probability=probability,
            weight=0.0 if is_faint(verdict) else 1.0,
            is_checked=is_agreed(verdict),
        )

    return [seen(d, d.label) for d in verdict.detections] or [seen(None, verdict.label)]


def _severity(verdict: Verdict, label: Label) -> Severity:
    """Name what was seen; uncertain where the edge's own probabilities are below one half, or say nothing."""
    if verdict.edge.is_broken or verdict.edge.label is Label.NONE or label is Label.NONE:
        return Severity.UNCERTAIN
    return Severity.FIRE if label is Label.FIRE else Severity.SMOKE


def worse(one: Severity, other: Severity) -> Severity:
    """Give the worse of two: fire, then smoke, then uncertain."""
    return max(one, other, key=_RANK.__getitem__)


def union(boxes: Sequence[Box]) -> Box:
    """Give the smallest box around boxes, at least one."""
    return Box(
        x1=min(box.x1 for box in boxes),
        y1=min(box.y1 for box in boxes),
        x2=max(box.x2 for box in boxes),
        y2=max(box.y2 for box in boxes),
    )


def gap_px(one: Box, other: Box) -> float:
    """Tell how far two boxes are apart, the larger of the two axes; 0 when they touch, negative when they overlap."""
    return max(
        one.x1 - other.x2,
        other.x1 - one.x2,
        one.y1 - other.y2,
        other.y1 - one.y2,
    )


def nearest(
    box: Box | None, places: Sequence[Place], picture: Picture, apart: float
) -> Place | None:
    """Choose the place that a box belongs to.

    Args:
        box: in source pixels; None belongs to the place that was seen last.
        places: of one camera; one without boxes takes every box.
        picture: whose size is the measure.
        apart: gap from which on two places are two, as a share of the picture's longer side.

    Returns:
        the nearest within reach; an open event before a mere candidate.
    """
    if not places:
        return None
    if box is None:
        return max(places, key=lambda place: (place.is_open, place.last_mono_s))
    reach_px = apart * max(picture.width_px, picture.height_px)
    near = [
        (gap_px(box, place.extent) if place.extent else 0.0, not place.is_open, index)
        for index, place in enumerate(places)
    ]
    within = [key for key in near if key[0] <= reach_px]
    return places[min(within, key=lambda key: (key[1], key[0]))[2]] if within else None
