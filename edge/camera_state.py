"""What is known of a camera at one moment. Ring: domain."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraState:
    """What is known of a camera now; times are monotonic readings in seconds, None before the first."""

    name: str
    last_frame_mono_s: float | None
    trouble: str | None
    skipped: int
    has_ended: bool
