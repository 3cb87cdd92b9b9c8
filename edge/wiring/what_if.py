"""The what-if of a box, wired: its own score log, and what it decides with. Ring: rim."""

from __future__ import annotations

from edge.classify.slot import ClassifierSlot
from edge.config.settings import EdgeSettings
from edge.replay.plane import ReplayPlane
from edge.replay.score_log import ScoreLog
from edge.replay.what_if import WhatIf
from edge.wiring.decisions import DecisionPlane, value_model
from shared.clock import Clock


def build_what_if(
    settings: EdgeSettings,
    *,
    plane: DecisionPlane,
    models: ClassifierSlot,
    scores: ScoreLog | None,
    clock: Clock,
) -> WhatIf:
    """Build it; nothing runs before a page asks.

    Args:
        settings: of the service.
        plane: tells priorities, battery and latency as they are.
        models: whose calibration is taken as it is when a run begins.
        scores: the log; None where none is kept.
        clock: of the service.
    """

    def replay_plane() -> ReplayPlane:
        return ReplayPlane(
            model=models.classifier.identity,
            value=value_model(models.value),
            begins_at=clock.now_at(),
            daily_limit=0,
            policy=settings.policy,
            circumstances=plane.circumstances,
        )

    return WhatIf(
        scores.folder if scores else None,
        plane=replay_plane,
        flush=scores.flush if scores else lambda: None,
        clock=clock,
    )
