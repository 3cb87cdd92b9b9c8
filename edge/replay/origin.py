"""When and where a replayed event began, found and checked as on the box (`edge.origin.tracing`). Ring: domain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from edge.decide.decider import Decider
from edge.event.fire_event import FireEvent, KeptFrame, Origin
from edge.forward.cloud_client import CloudAnswer
from edge.origin.check import UNKNOWN
from edge.origin.walk_back import WalkSettings, checked
from shared.clock import Clock
from shared.deadline import Deadline
from shared.types import Detection, Frame, Source

_PATIENCE_S = 10.0

Trace = Callable[[FireEvent, Sequence[KeptFrame], WalkSettings], Origin | None]


class ReplayOrigins:
    """Finds the origins of one recording, and has each one's frame checked by whoever plays the cloud."""

    def __init__(self, trace: Trace, *, decider: Decider | None, clock: Clock) -> None:
        """Keep who looks and who pays.

        Args:
            trace: walks back through the frames before an event.
            decider: pays for the question from the recording's budget; None asks nobody.
            clock: of the recording.
        """
        self._trace = trace
        self._decider = decider
        self._clock = clock
        self._settings = WalkSettings()
        self.charged_micros: list[int] = []

    def find(
        self,
        event: FireEvent,
        frames: Sequence[KeptFrame],
        ask: Callable[[Frame], CloudAnswer | None],
    ) -> Origin | None:
        """Find an origin; None where there is none to be seen.

        Args:
            event: as it opened.
            frames: what was kept, in order of time, the opening frame last.
            ask: the cloud's answer to one of them, None where there is no cloud; called once at most.
        """
        origin = self._trace(event, frames, self._settings)
        if origin is None:
            return None
        kept = next((k for k in frames if k.frame.frame_id == origin.frame_id), None)
        detections = self._seen_by_cloud(kept, ask) if kept else None
        if kept is None or detections is None:
            return origin
        return checked(origin, detections, kept.frame.picture, self._settings)

    def _seen_by_cloud(
        self, kept: KeptFrame, ask: Callable[[Frame], CloudAnswer | None]
    ) -> Sequence[Detection] | None:
        """Tell what the cloud sees in a frame: it was asked before, is asked now, or cannot be asked."""
        if kept.verdict is not None and kept.verdict.source is Source.CLOUD:
            return kept.verdict.detections
        if self._decider is None:
            return None
        question = replace(kept.frame, frame_id=f"{kept.frame.frame_id}-origin")
        deadline = Deadline.after(_PATIENCE_S, self._clock)
        decision = self._decider.decide(question, UNKNOWN, deadline)
        if not decision.forward:
            return None
        self.charged_micros.append(decision.charged_micros)
        answer = ask(kept.frame)
        return answer.detections if answer else None
