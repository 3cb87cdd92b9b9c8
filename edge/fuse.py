"""Fuse what the edge thinks and what the cloud found into one verdict. Ring: domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from edge.decide.decider import Decision
from edge.forward.outcome import Outcome
from shared.types import Classification, Detection, Frame, Label, ModelIdentity, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the pair says of a frame.

    `confidence` is the edge's max(p, 1 − p), or the cloud's top score of `label`. `decision` carries the reason that
    ruled in the end, which is not the first one when a forwarded frame came back without an answer. `detections` are
    the cloud's boxes, or the coarse ones of the edge. `is_pending`: the cloud was asked too, and its verdict for the
    same frame follows, marked `is_amendment`. `cloud_s` is how long the cloud says that it worked on the picture.
    """

    frame_id: str
    camera: str | None
    captured_at: datetime
    source: Source
    label: Label
    confidence: float
    edge: Classification
    detections: tuple[Detection, ...]
    decision: Decision
    model: dict[str, str]
    detail: str
    stages_s: Mapping[str, float] = field(default_factory=dict)
    is_pending: bool = False
    is_amendment: bool = False
    cloud_s: float | None = None

    @property
    def edge_s(self) -> float | None:
        """Tell how long the edge took to see what it saw, decoding included; None when nobody measured it."""
        classify_s = self.stages_s.get("classify")
        return None if classify_s is None else classify_s + self.stages_s.get("decode", 0.0)


def fuse(
    frame: Frame,
    classification: Classification,
    decision: Decision,
    outcome: Outcome | None,
    edge_model: ModelIdentity,
) -> Verdict:
    """Let the cloud's answer rule where there is one, and the edge's everywhere else.

    Args:
        frame: the frame.
        classification: of the edge.
        decision: as decided.
        outcome: of the forwarding; None when the frame was not sent.
        edge_model: who classified.
    """
    final = decision if outcome is None else _settled(decision, outcome)
    if outcome is not None and outcome.answer is not None:
        answer = outcome.answer
        return Verdict(
            frame_id=frame.frame_id,
            camera=frame.camera,
            captured_at=frame.captured_at,
            source=Source.CLOUD,
            label=answer.label,
            confidence=answer.confidence,
            edge=classification,
            detections=answer.detections,
            decision=final,
            model=answer.model,
            detail="",
            cloud_s=answer.took_s,
        )
    return Verdict(
        frame_id=frame.frame_id,
        camera=frame.camera,
        captured_at=frame.captured_at,
        source=Source.EDGE_FALLBACK if final.reason.is_fallback else Source.EDGE,
        label=classification.label,
        confidence=classification.confidence,
        edge=classification,
        detections=classification.where,
        decision=final,
        model=edge_model.as_dict(),
        detail=outcome.detail if outcome else "",
    )


def _settled(decision: Decision, outcome: Outcome) -> Decision:
    """Say what ruled in the end, and what the call cost after all."""
    returned_micros = decision.charged_micros - outcome.charged_micros
    return replace(
        decision,
        reason=outcome.reason,
        charged_micros=outcome.charged_micros,
        budget_remaining_micros=decision.budget_remaining_micros + returned_micros,
    )
