"""Walk back from the frame that opened an event to the earliest one that shows its fire. Ring: domain.

Coarse steps first, then single ones, until several frames in a row show nothing: flames flicker, so one quiet frame
proves nothing and bisecting would stop at any of them. What is followed is the place, not the picture: a lamp in
another corner does not lead the walk astray. What the place scored long before, fog or a lamp, is its background, and
only what stands out from it is followed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from edge.event.evidence import is_faint
from edge.event.fire_event import GrowthPoint, KeptFrame, Origin, OriginMethod
from edge.event.places import gap_px
from shared.types import Box, Detection, Frame, Label, Picture

_LABELS = (Label.FIRE, Label.SMOKE)
_LEAST_RISE = 0.08  # of a score over its background; the same lamp wavers by about half of it from frame to frame
_MOST_LARGER = 20.0  # of the cloud's box over the traced one: a flame's plume is well below, what fills the view above

Look = Callable[[Frame], Sequence[Detection]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkSettings:
    """How the walk goes.

    `coarse_frames`: the first steps; larger saves looks, and may step over a lull. `quiet_frames`: as many in a row
    without the fire end the walk: fewer stop in a flicker, more cost looks and may find what is none. `start_frames`:
    as many before and at the opening frame may be the start, since the detector may miss it there. `reach`: gap between
    boxes of one fire in two frames, as a share of the picture's longer side. `background_frames`: the oldest ones,
    whose median score at the place is its background; `stand_out`: how far a score must rise from there towards that of
    the start: lower follows the background to the oldest frame, higher finds the fire late.
    """

    coarse_frames: int = 8
    quiet_frames: int = 4
    start_frames: int = 8
    reach: float = 0.05
    background_frames: int = 5
    stand_out: float = 0.35
    most_growth: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """One frame that shows the fire."""

    index: int
    detection: Detection


def walk_back(
    frames: Sequence[KeptFrame],
    box: Box | None,
    look: Look,
    settings: WalkSettings,
    method: OriginMethod,
) -> Origin | None:
    """Find the earliest frame that shows the fire.

    Args:
        frames: in order of time; the last one opened the event.
        box: where the event was seen when it opened, in source pixels; None follows the best detection.
        look: detections of a frame in source pixels, best first, at a threshold low enough to follow a known fire.
        settings: of the walk.
        method: who looks.

    Returns:
        the origin with the growth since, or None when `look` sees the fire in none of the last frames.
    """
    walk = _Walk(frames, look, settings)
    start = walk.start(box)
    if start is None:
        return None
    first, quiet = walk.earliest(start)
    found = walk.found_from(first.index)
    return Origin(
        captured_at=frames[first.index].frame.captured_at,
        frame_id=frames[first.index].frame.frame_id,
        box=first.detection.box,
        method=method,
        confidence=first.detection.score,
        is_earliest_kept=quiet < settings.quiet_frames,
        growth=tuple(_growth(frames, found, settings.most_growth)),
    )


def checked(
    origin: Origin, detections: Sequence[Detection], picture: Picture, settings: WalkSettings
) -> Origin:
    """Give the origin as the cloud saw its frame: with the cloud's box, or unchanged when it saw nothing there.

    A box many times as large is something else that the fire only stands in front of, a cloud or a wall.
    """
    reach_px = settings.reach * max(picture.width_px, picture.height_px)
    box = origin.box
    near = [
        d
        for d in detections
        if box is None
        or (gap_px(d.box, box) <= reach_px and _area(d.box) <= _MOST_LARGER * _area(box))
    ]
    best = max(near, key=_rank, default=None)
    if best is None:
        return origin
    return replace(origin, box=best.box, confidence=best.score, method=OriginMethod.CLOUD)


class _Walk:
    """One walk; remembers what it saw."""

    def __init__(self, frames: Sequence[KeptFrame], look: Look, settings: WalkSettings) -> None:
        self._frames = frames
        self._look = look
        self._settings = settings
        self._looked: dict[int, Sequence[Detection]] = {}
        self._found: dict[int, Detection] = {}
        self._least: dict[Label, float] = {}

    def start(self, box: Box | None) -> _Found | None:
        """Find the latest frame in which the fire stands out, near the event's own box where there is one."""
        last = len(self._frames) - 1
        for index in range(last, max(-1, last - self._settings.start_frames), -1):
            standing_out = [d for d in self._near(index, box) if self._rise(d) >= _LEAST_RISE]
            if standing_out:
                best = max(standing_out, key=_rank)
                self._stand_out_from(best)
                self._found[index] = best
                return _Found(index=index, detection=best)
        return None

    def _rise(self, detection: Detection) -> float:
        return detection.score - self._background(detection.box, detection.label)

    def _background(self, box: Box, label: Label) -> float:
        """Tell what a place scored in the oldest frames that are quiet; 0 without any."""
        most = min(
            self._settings.background_frames, len(self._frames) - self._settings.start_frames
        )
        quiet = [index for index in range(most) if _is_quiet(self._frames[index])]
        scores = [self._score(index, box, label) for index in quiet]
        return median(scores) if scores else 0.0

    def _stand_out_from(self, start: Detection) -> None:
        """Set the score that each label must reach from here on."""
        for label in _LABELS:
            before = self._background(start.box, label)
            if before > 0.0:
                rise = start.score - before if label is start.label else 0.0
                share = self._settings.stand_out
                self._least[label] = before + max(_LEAST_RISE / 2, share * rise)

    def earliest(self, start: _Found) -> tuple[_Found, int]:
        """Walk back; gives the earliest sighting and how many quiet frames stand before it."""
        first = self._stride(start)
        quiet, index = 0, first.index - 1
        while index >= 0 and quiet < self._settings.quiet_frames:
            seen = self._at(index, first.detection.box)
            if seen is None:
                quiet += 1
                index -= 1
            else:
                first, quiet = self._stride(seen), 0
                index = first.index - 1
        return first, quiet

    def found_from(self, index: int) -> list[_Found]:
        """Give what was seen from a frame on, in order of time."""
        return [_Found(index=i, detection=d) for i, d in sorted(self._found.items()) if i >= index]

    def _stride(self, first: _Found) -> _Found:
        """Take coarse steps while they land on the fire."""
        while first.index >= self._settings.coarse_frames:
            seen = self._at(first.index - self._settings.coarse_frames, first.detection.box)
            if seen is None:
                break
            first = seen
        return first

    def _near(self, index: int, box: Box | None) -> list[Detection]:
        """Look at one frame, once; gives what was detected within reach of a box."""
        frame = self._frames[index].frame
        if index not in self._looked:
            self._looked[index] = self._look(frame)
        reach_px = self._settings.reach * max(frame.picture.width_px, frame.picture.height_px)
        return [d for d in self._looked[index] if box is None or gap_px(d.box, box) <= reach_px]

    def _score(self, index: int, box: Box, label: Label) -> float:
        return max((d.score for d in self._near(index, box) if d.label is label), default=0.0)

    def _at(self, index: int, box: Box | None) -> _Found | None:
        """Look at one frame for the fire that was last seen at a place; flame before smoke, then the best score."""
        near = [d for d in self._near(index, box) if d.score >= self._least.get(d.label, 0.0)]
        detection = max(near, key=_rank, default=None)
        if detection is None:
            return None
        self._found[index] = detection
        return _Found(index=index, detection=detection)


def _area(box: Box) -> float:
    return (box.x2 - box.x1) * (box.y2 - box.y1)


def _rank(detection: Detection) -> tuple[bool, float]:
    """Order detections of one place: flame before smoke, then by score."""
    return detection.label is Label.FIRE, detection.score


def _is_quiet(kept: KeptFrame) -> bool:
    """Tell whether nobody saw a fire; what the cloud sees faintly for minutes is the background of one that comes."""
    verdict = kept.verdict
    return verdict is not None and (verdict.label is Label.NONE or is_faint(verdict))


def _growth(
    frames: Sequence[KeptFrame], found: Sequence[_Found], most: int
) -> Sequence[GrowthPoint]:
    """Give the boxes since the origin, evenly thinned, the first and the last one kept."""
    step = max(1.0, (len(found) - 1) / max(1, most - 1))
    chosen = sorted({round(number * step) for number in range(most)} & set(range(len(found))))
    return [
        GrowthPoint(
            captured_at=frames[found[i].index].frame.captured_at,
            frame_id=frames[found[i].index].frame.frame_id,
            box=found[i].detection.box,
            score=found[i].detection.score,
        )
        for i in chosen
    ]
