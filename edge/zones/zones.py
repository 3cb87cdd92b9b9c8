"""Zones: polygons in a camera's picture that are ignored, watched in their own way, or private. Ring: domain.

Points are shares of the picture's width and height, 0…1, so that a zone survives another resolution. What lies in an
ignored zone counts for nothing, but is counted; what lies outside every zone counts as everywhere: failure is towards
alarm.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from edge.forward.cloud_client import CloudAnswer
from edge.forward.outcome import Outcome
from shared.types import Box, Classification, Frame, Picture, label_of

Point = tuple[float, float]

_LEAST_SHARE = 0.5  # a box belongs to a zone with this share of its area; more hides a fire that reaches out of it
_SAMPLES = 12  # a box's share is counted on 12 × 12 points: to 1 %, without clipping polygons
_QUIET = 0.0025  # what a camera at rest usually scores: a masked frame must not look like the start of something


class ZoneKind(StrEnum):
    """What a zone is for; the values are the words in the settings."""

    IGNORE = "ignore"
    WATCH = "watch"
    PRIVACY = "privacy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One polygon. `threshold` and `min_duration_s` are those of a watched zone.

    `threshold`: probability from which on the edge's sighting counts here, 0.5…1. `min_duration_s`: how long it must be
    seen here before an event opens.
    """

    name: str
    kind: ZoneKind
    points: tuple[Point, ...]
    threshold: float = 0.5
    min_duration_s: float = 0.0

    def share_of(self, box: Box, picture: Picture) -> float:
        """Tell which share of a box lies in the zone, 0…1."""
        steps = [(index + 0.5) / _SAMPLES for index in range(_SAMPLES)]
        xs = [(box.x1 + (box.x2 - box.x1) * step) / picture.width_px for step in steps]
        ys = [(box.y1 + (box.y2 - box.y1) * step) / picture.height_px for step in steps]
        inside = sum(is_inside((x, y), self.points) for x in xs for y in ys)
        return inside / _SAMPLES**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Zones:
    """All zones of one camera; `version` is a hash of them that stands in every record."""

    zones: tuple[Zone, ...] = ()

    @property
    def version(self) -> str:
        """Give the first 12 hex digits of the zones' SHA-256; the same zones give the same version."""
        told = [
            [zone.name, zone.kind.value, zone.points, zone.threshold, zone.min_duration_s]
            for zone in sorted(self.zones, key=lambda zone: zone.name)
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]

    @property
    def private(self) -> tuple[Zone, ...]:
        """Give the zones that are blacked out."""
        return tuple(zone for zone in self.zones if zone.kind is ZoneKind.PRIVACY)

    def watched(self, box: Box | None, picture: Picture) -> Zone | None:
        """Give the watched zone that holds most of a box; None outside of all, and for no box."""
        if box is None:
            return None
        shares = [
            (zone.share_of(box, picture), zone)
            for zone in self.zones
            if zone.kind is ZoneKind.WATCH
        ]
        share, zone = max(shares, key=lambda pair: pair[0], default=(0.0, None))
        return zone if share >= _LEAST_SHARE else None

    def is_ignored(self, box: Box, picture: Picture) -> bool:
        """Tell whether a box lies in the ignored zones."""
        return any(
            zone.share_of(box, picture) >= _LEAST_SHARE
            for zone in self.zones
            if zone.kind is ZoneKind.IGNORE
        )

    def hidden_share(self, box: Box, picture: Picture) -> float:
        """Tell which share of a box, 0…1, lies in the ignored or private zone that has most of it."""
        shares = (z.share_of(box, picture) for z in self.zones if z.kind is not ZoneKind.WATCH)
        return max(shares, default=0.0)

    def classification(self, seen: Classification, picture: Picture) -> Classification:
        """Take what lies in an ignored zone, or below a watched zone's threshold, out of the edge's view.

        A frame whose every box is taken out counts as one at rest; `masked` keeps what was seen. Without boxes nothing
        is known of the place, and the frame counts.
        """
        if not self.zones or not seen.where:
            return seen
        kept = tuple(d for d in seen.where if not self._is_masked(d.box, seen.presence, picture))
        masked = tuple(d for d in seen.where if d not in kept)
        if kept:
            return replace(seen, where=kept, masked=masked)
        return replace(seen, fire=_QUIET, smoke=_QUIET, where=(), masked=masked)

    def answer(self, answer: CloudAnswer, picture: Picture) -> CloudAnswer:
        """Take what lies in an ignored zone out of the cloud's answer."""
        kept = tuple(d for d in answer.detections if not self.is_ignored(d.box, picture))
        if len(kept) == len(answer.detections):
            return answer
        label = label_of(kept)
        confidence = max((d.score for d in kept if d.label is label), default=1.0)
        return replace(answer, detections=kept, label=label, confidence=confidence)

    def _is_masked(self, box: Box, presence: float, picture: Picture) -> bool:
        if self.is_ignored(box, picture):
            return True
        watched = self.watched(box, picture)
        return watched is not None and presence < watched.threshold


class Masks:
    """The zones of all cameras at work, and how often they took something out; safe for use by many threads."""

    def __init__(self, cameras: Mapping[str, Zones]) -> None:
        """Keep the zones by camera."""
        self._cameras = dict(cameras)
        self._lock = threading.Lock()
        self._suppressed: Counter[str] = Counter()

    def of(self, camera: str | None) -> Zones:
        """Give a camera's zones, none for one that has none."""
        return self._cameras.get(camera or "", _NO_ZONES)

    def take(self, camera: str, zones: Zones) -> None:
        """Let other zones hold for a camera from its next frame on."""
        # One reference is replaced: readers see the old zones or the new.
        self._cameras[camera] = zones

    def suppressed(self, camera: str) -> int:
        """Tell how many of a camera's frames lost all or part of what was seen in them."""
        with self._lock:
            return self._suppressed[camera]

    def classification(self, frame: Frame, seen: Classification) -> Classification:
        """Mask what the edge saw in a frame."""
        masked = self.of(frame.camera).classification(seen, frame.picture)
        if masked is not seen:
            self._count(frame.camera)
        return masked

    def outcome(self, frame: Frame, outcome: Outcome) -> Outcome:
        """Mask what the cloud saw in a frame."""
        if outcome.answer is None:
            return outcome
        answer = self.of(frame.camera).answer(outcome.answer, frame.picture)
        if answer is outcome.answer:
            return outcome
        self._count(frame.camera)
        return replace(outcome, answer=answer)

    def _count(self, camera: str | None) -> None:
        with self._lock:
            self._suppressed[camera or ""] += 1


_NO_ZONES = Zones()


def is_inside(point: Point, polygon: Sequence[Point]) -> bool:
    """Tell whether a point lies in a polygon, by the crossings of a ray to the right (even-odd rule)."""
    x, y = point
    is_odd = False
    for (x1, y1), (x2, y2) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
            is_odd = not is_odd
    return is_odd


def find_fault(points: Sequence[Point]) -> str | None:
    """Tell what is wrong with a polygon in words; None for a simple one with an area."""
    if any(not (0.0 <= value <= 1.0) for point in points for value in point):
        return "has a point outside 0…1"
    if len(set(points)) != len(points):
        return "has a point twice"
    edges = list(zip(points, (*points[1:], points[0]), strict=True))
    for first in range(len(edges)):
        for second in range(first + 2, len(edges)):
            is_neighbour = first == 0 and second == len(edges) - 1
            if not is_neighbour and _do_cross(edges[first], edges[second]):
                return f"crosses itself: side {first + 1} meets side {second + 1}"
    doubled = sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in edges)
    return "has no area" if abs(doubled) < 1e-6 else None


def _do_cross(one: tuple[Point, Point], other: tuple[Point, Point]) -> bool:
    (a, b), (c, d) = one, other
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] != turns[1] and turns[2] != turns[3]:
        return True
    on_line = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(turn == 0 and _is_between(*at) for turn, at in zip(turns, on_line, strict=True))


def _turn(a: Point, b: Point, c: Point) -> int:
    cross = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return (cross > 0) - (cross < 0)


def _is_between(a: Point, b: Point, c: Point) -> bool:
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])
