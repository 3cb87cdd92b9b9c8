"""Frames and decisions with everything that a test does not care about filled in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from edge.decide.decider import Decision
from edge.decide.policies import PolicyName
from edge.decide.reasons import Reason
from shared.types import Frame, MediaType, Picture


def picture(width_px: int = 320, height_px: int = 160, encoded: bytes = b"jpeg") -> Picture:
    """Describe a picture without making one."""
    return Picture(
        encoded=encoded, media_type=MediaType.JPEG, width_px=width_px, height_px=height_px
    )


def frame(frame_id: str = "frame", camera: str | None = None, of: Picture | None = None) -> Frame:
    """Build a frame."""
    return Frame(
        frame_id=frame_id,
        camera=camera,
        picture=of or picture(),
        captured_at=datetime(2026, 3, 10, 12, 0, tzinfo=UTC),
    )


def decision(**changes: Any) -> Decision:
    """Build a decision that forwards and is paid."""
    values: dict[str, Any] = {
        "forward": True,
        "reason": Reason.CLOUD_ROUTINE,
        "policy": PolicyName.FIXED,
        "tier": "routine",
        "call_id": "frame",
        "value": None,
        "threshold": 0.7,
        "price": None,
        "charged_micros": 20_000,
        "budget_remaining_micros": 80_000,
    }
    return Decision(**{**values, **changes})
