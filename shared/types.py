"""The values that move along the line. Ring: domain; frozen, no behaviour beyond arithmetic on themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

MICROS = 1_000_000
"""Money is counted in millionths of the operator's currency, as integers."""


class Label(StrEnum):
    """What a verdict says of a frame; the values are the wire words."""

    FIRE = "fire"
    SMOKE = "smoke"
    NONE = "none"


class Source(StrEnum):
    """Who answered; the values are the wire words."""

    EDGE = "edge"
    CLOUD = "cloud"
    EDGE_FALLBACK = "edge_fallback"


class MediaType(StrEnum):
    """Picture formats that are accepted."""

    JPEG = "image/jpeg"
    PNG = "image/png"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """Bounds that hold before any pixel is decoded."""

    max_bytes: int = 8_000_000
    """Longest accepted file. A 4K JPEG at quality 95 has about 4 MB."""
    max_pixels: int = 20_000_000
    """Largest accepted picture; decoding takes 3 bytes a pixel, so 60 MB here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Encoded picture bytes whose header was read and found within the limits.

    The bytes are what is scored, stored, hashed and sent: they are never encoded again on the way.
    """

    encoded: bytes
    media_type: MediaType
    width_px: int
    height_px: int


class ClockQuality(StrEnum):
    """Where a frame's capture time comes from; the values are the wire words."""

    SOURCE = "source"
    RECEIVED = "received"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One picture with its camera and time.

    `camera` is None for a frame that was posted without one: it has no history. `captured_at` is the source's own time
    where it tells one, else the time of receipt, as `clock_quality` says. `received_at` is by the box's clock; None
    means that it is `captured_at`. `capture_s` is how long the source took to make the picture of what it had received;
    None for one that was posted. `is_own`: it is of a configured camera, which is never refused and goes first.
    `is_test` marks a picture into which a test drew a fire.
    """

    frame_id: str
    camera: str | None
    picture: Picture
    captured_at: datetime
    clock_quality: ClockQuality = ClockQuality.RECEIVED
    received_at: datetime | None = None
    capture_s: float | None = None
    is_own: bool = False
    is_test: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle in source pixels: x1 ≤ x2, y1 ≤ y2, origin at the top left."""

    x1: float
    y1: float
    x2: float
    y2: float

    def as_list(self) -> list[float]:
        """Give `[x1, y1, x2, y2]`, rounded to a tenth of a pixel."""
        return [round(self.x1, 1), round(self.y1, 1), round(self.x2, 1), round(self.y2, 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """One box with class and score (0…1)."""

    label: Label
    score: float
    box: Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """How long a picture waited for its turn at the model, was decoded, and was prepared and run, in seconds."""

    queue_s: float = 0.0
    decode_s: float = 0.0
    infer_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """Calibrated probabilities of the edge, 0…1 each; fire and smoke may both be high.

    `where`: coarse boxes of what was seen, in source pixels; empty when nothing was. `is_broken`: the model gave a
    number that is not finite; both probabilities are one half then, maximal doubt instead of silence. `model`: who
    said so, where that is known. `masked`: what was seen where the camera's zones say that it counts for nothing.
    `took`: where the time for it went.
    """

    fire: float
    smoke: float
    where: tuple[Detection, ...] = ()
    is_broken: bool = False
    model: ModelIdentity | None = None
    masked: tuple[Detection, ...] = ()
    took: Took = field(default=Took(), compare=False)

    @property
    def score(self) -> float:
        """The logit of `presence`, −30…30; 0 is even. NaN when the model was broken."""
        if self.is_broken:
            return math.nan
        return math.log(max(self.presence, 1e-13) / max(1.0 - self.presence, 1e-13))

    @property
    def presence(self) -> float:
        """P(fire or smoke): the larger of the two, a lower bound that holds however they depend."""
        return max(self.fire, self.smoke)

    @property
    def label(self) -> Label:
        """Fire from one half on, else smoke from one half on, else none: what burns comes before what drifts."""
        if self.fire >= 0.5:
            return Label.FIRE
        return Label.SMOKE if self.smoke >= 0.5 else Label.NONE

    @property
    def confidence(self) -> float:
        """Certainty of the verdict, max(p, 1 − p), 0.5…1."""
        return max(self.presence, 1.0 - self.presence)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """Which model gave an answer; `sha256_12` is the first 12 hex digits of its file's hash."""

    name: str
    version: str
    sha256_12: str

    def as_dict(self) -> dict[str, str]:
        """Give the wire form."""
        return {"name": self.name, "version": self.version, "sha256_12": self.sha256_12}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What a look for a newer model did."""

    model: ModelIdentity
    before: ModelIdentity | None

    @property
    def is_changed(self) -> bool:
        """Tell whether another file runs now."""
        return self.model != self.before

    def as_dict(self) -> dict[str, Any]:
        """Give the wire form."""
        before = self.before.as_dict() if self.before else None
        return {"changed": self.is_changed, "model": self.model.as_dict(), "before": before}


def label_of(detections: tuple[Detection, ...]) -> Label:
    """Name a picture by its best box, fire before smoke whenever any fire box passed; `none` without boxes."""
    labels = {d.label for d in detections}
    if Label.FIRE in labels:
        return Label.FIRE
    return Label.SMOKE if Label.SMOKE in labels else Label.NONE
