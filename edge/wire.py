"""The wire form of what the line says of a frame. Ring: domain."""

from __future__ import annotations

from typing import Any

from edge.decide.decider import Decision
from edge.decide.policies import Wish
from edge.decide.reasons import sentence
from edge.fuse import Verdict
from shared.types import MICROS, Classification, Detection


def joint_result(verdict: Verdict) -> dict[str, Any]:
    """Give the `result` of a verdict."""
    return {
        "frame_id": verdict.frame_id,
        "label": verdict.label.value,
        "confidence": rounded(verdict.confidence),
        "detections": [detection_as_dict(d) for d in verdict.detections],
    }


def joint_fields(verdict: Verdict, *, is_chinese: bool) -> dict[str, Any]:
    """Give the fields of a verdict that stand beside the result."""
    return {
        "source": verdict.source.value,
        "label": verdict.label.value,
        "confidence": rounded(verdict.confidence),
        "edge_confidence": rounded(verdict.edge.confidence),
        "edge": {"fire": rounded(verdict.edge.fire), "smoke": rounded(verdict.edge.smoke)},
        "detections": [detection_as_dict(d) for d in verdict.detections],
        "cost": verdict.decision.charged_micros / MICROS,
        "decision": _decision(verdict.decision),
        "message": sentence(verdict.decision.reason, is_chinese=is_chinese),
        "timing_ms": {stage: round(1000 * s, 2) for stage, s in verdict.stages_s.items()},
        "model": verdict.model,
    }


def edge_result(classification: Classification) -> dict[str, Any]:
    """Give the `result` of the edge alone."""
    return {
        "label": classification.label.value,
        "confidence": rounded(classification.confidence),
        "fire": rounded(classification.fire),
        "smoke": rounded(classification.smoke),
        "detections": [detection_as_dict(d) for d in classification.where],
    }


def stages_ms(verdict: Verdict) -> dict[str, float]:
    """Give the stages of a joint answer as `Server-Timing` names them; `post` is all that follows the model."""
    took_s = verdict.stages_s
    named_s = {"queue": "queue", "decode": "decode", "classify": "infer", "forward": "forward"}
    stages = {name: 1000 * took_s[stage] for stage, name in named_s.items() if stage in took_s}
    return {**stages, "post": 1000 * (took_s.get("decide", 0.0) + took_s.get("fuse", 0.0))}


def edge_stages_ms(classification: Classification) -> dict[str, float]:
    """Give the same of an answer by the edge alone."""
    took = classification.took
    return {
        "queue": 1000 * took.queue_s,
        "decode": 1000 * took.decode_s,
        "infer": 1000 * took.infer_s,
    }


def wish_as_dict(wish: Wish, *, is_chinese: bool) -> dict[str, Any]:
    """Give what a policy would want."""
    return {
        "forward": wish.forward,
        "reason": wish.reason.value,
        "message": sentence(wish.reason, is_chinese=is_chinese),
        "tier": wish.tier if wish.forward else None,
        "value": wish.value,
        "price": wish.price,
        "threshold": wish.threshold,
    }


def detection_as_dict(detection: Detection) -> dict[str, Any]:
    """Give one box, xyxy in pixels of the frame."""
    return {
        "label": detection.label.value,
        "score": rounded(detection.score),
        "box_xyxy": detection.box.as_list(),
    }


def rounded(probability: float) -> float:
    """Give a probability with the four digits that the wire carries."""
    return round(probability, 4)


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "forward": decision.forward,
        "reason": decision.reason.value,
        "policy": decision.policy.value,
        "tier": decision.tier,
        "value": decision.value,
        "threshold": None if decision.threshold is None else rounded(decision.threshold),
        "price": decision.price,
        "charged": decision.charged_micros > 0,
        "budget_remaining": decision.budget_remaining_micros / MICROS,
    }
