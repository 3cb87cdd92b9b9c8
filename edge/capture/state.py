"""What is known of a camera at one moment. Ring: domain."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.types import ClockQuality


class ViewFinding(StrEnum):
    """What is wrong with a view; the values are wire words."""

    BLACK = "black"
    OVEREXPOSED = "overexposed"
    FROZEN = "frozen"
    BLURRED = "blurred"
    COVERED = "covered"
    MOVED = "moved"


MOST_HANGING = 4
"""Readers of one camera that may hang; each may hold a connection and the memory of a decoder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraState:
    """What is known of a camera now; ages in seconds, None before the first frame.

    `fps`: frames a second that came lately. `late_s`: how long ago a frame should have come; None while it is in time.
    `skipped`: replaced by a newer frame before the line had time. `stale`: dropped since too old when the line had
    time, `stale_run` of them in a row until now. `replaced`: how often a hanging reader was given up for a new one;
    `hanging` of those hang to this day. `trouble`: why the camera cannot be read.
    """

    name: str
    address: str
    frame_age_s: float | None
    fps: float
    received: int
    skipped: int
    stale: int
    stale_run: int
    replaced: int
    hanging: int
    late_s: float | None
    trouble: str | None
    has_ended: bool
    clock_quality: ClockQuality | None
    view: tuple[ViewFinding, ...]

    @property
    def word(self) -> str:
        """Sum it up in a word, for pages: ended, lost, late, impaired, starting or watching."""
        if self.has_ended:
            return "ended"
        if self.trouble is not None:
            return "lost"
        if self.late_s is not None:
            return "late"
        if self.view:
            return "impaired"
        return "starting" if self.frame_age_s is None else "watching"
