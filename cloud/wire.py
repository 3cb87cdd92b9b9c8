"""The wire form of what the detector says. Ring: domain."""

from __future__ import annotations

from typing import Any

from shared.model.detect import Finding
from shared.types import Detection, ModelIdentity, Picture


def detection_as_dict(detection: Detection) -> dict[str, Any]:
    """Give the wire form of one box."""
    return {
        "label": detection.label.value,
        "score": round(detection.score, 4),
        "box_xyxy": detection.box.as_list(),
    }


def result_of(
    finding: Finding, model: ModelIdentity, picture: Picture, *, cost: float, took_ms: float
) -> dict[str, Any]:
    """Give the `result` of one picture."""
    return {
        "label": finding.label.value,
        "confidence": round(finding.confidence, 4),
        "detections": [detection_as_dict(d) for d in finding.detections],
        "width": picture.width_px,
        "height": picture.height_px,
        "cost": cost,
        "latency_ms": round(took_ms, 1),
        "model": model.as_dict(),
    }
