"""Shows, counts and logs what was said of each frame. Ring: rim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.box.live import LiveView
from edge.box.tally import Tally
from edge.fuse import Verdict
from edge.metrics import EdgeMetrics
from edge.replay.score_log import ScoreLog
from shared.clock import Clock
from shared.errors import FireError
from shared.logs import get_logger
from shared.types import MICROS, Frame, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """The way out of the line for everybody but events; safe for use by many threads.

    Without `scores` none are kept. `note_audit` is told every last word. `has_line_for_each` writes a line also for
    camera frames that the edge judged alone.
    """

    live: LiveView
    scores: ScoreLog | None
    note_audit: Callable[[Verdict], None]
    tally: Tally
    metrics: EdgeMetrics
    has_line_for_each: bool
    clock: Clock

    def publish(self, frame: Frame, verdict: Verdict, req_id: str, *, is_request: bool) -> None:
        """Show a verdict; count it, and write its line, when the last word is spoken."""
        self.live.note(frame, verdict)
        if not verdict.is_amendment and self.scores is not None:
            self.scores.note(verdict.camera, verdict.captured_at, verdict.edge)
        if verdict.is_pending:
            return
        self.note_audit(verdict)
        self.tally.note(verdict)
        self.metrics.observe(verdict)
        if is_request or verdict.source is not Source.EDGE or self.has_line_for_each:
            self._write_line(frame, verdict, req_id)

    def failed(self, frame: Frame, error: FireError) -> None:
        """Count a frame that got no verdict; one that was refused is not called failed."""
        if not self.metrics.refused(error):
            self.metrics.count_failed(frame.camera)

    def refused(self, error: FireError) -> None:
        """Count a call that was refused before its frames were looked at."""
        self.metrics.refused(error)

    def _write_line(self, frame: Frame, verdict: Verdict, req_id: str) -> None:
        came_at = frame.received_at or frame.captured_at
        get_logger().info(
            "verdict",
            req_id=req_id,
            camera=verdict.camera,
            label=verdict.label.value,
            confidence=round(verdict.confidence, 3),
            source=verdict.source.value,
            reason=verdict.decision.reason.value,
            boxes=len(verdict.detections),
            cost=verdict.decision.charged_micros / MICROS,
            age_ms=round(1000 * (self.clock.now_at() - came_at).total_seconds(), 1),
            ms={stage: round(1000 * seconds, 1) for stage, seconds in verdict.stages_s.items()},
            **({"detail": verdict.detail} if verdict.detail else {}),
        )
