"""The line for one frame: frame → classify → decide → (forward → detect) → fuse → event → record → alert. Ring: domain.

One direction; each step takes a value and returns a new one. Who waits gets the better verdict (`begin`, then
`finish`); a camera never waits: it gets the edge's verdict at once and the cloud's as an amendment to the same frame
(`stream`). `conclude` takes every verdict on: evidence → event, and from there `edge.incidents` to the record and the
alert.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Protocol

from edge.decide.decider import Decision
from edge.event.evidence import Alarm
from edge.forward.outcome import Outcome
from edge.fuse import Verdict, fuse
from shared.clock import Clock, Stopwatch
from shared.deadline import Deadline
from shared.ids import Trace
from shared.types import Classification, Frame, ModelIdentity

# Publishing takes microseconds; a listener that hangs must not keep a forwarder thread.
_TELL_WITHIN_S = 1.0


class Masking(Protocol):
    """The cameras' zones."""

    def classification(self, frame: Frame, seen: Classification) -> Classification:
        """Take out what the edge saw in places that do not count."""
        ...

    def outcome(self, frame: Frame, outcome: Outcome) -> Outcome:
        """Take out what the cloud saw there."""
        ...


class Weighs(Protocol):
    """What gathers evidence."""

    def note(self, verdict: Verdict) -> Alarm | None:
        """Take in a verdict; an alarm when it is enough."""
        ...


class Keeps(Protocol):
    """What becomes of a verdict: events, records, alerts."""

    def take(self, frame: Frame, verdict: Verdict, alarm: Alarm | None) -> None:
        """Take in a verdict; never waits."""
        ...


class Classifies(Protocol):
    """The edge's model."""

    @property
    def identity(self) -> ModelIdentity:
        """Name the model."""
        ...

    def classify(self, frame: Frame, deadline: Deadline | None) -> Classification:
        """Give calibrated probabilities; raises ImageError, ModelError or FireError(DEADLINE_MISSED)."""
        ...


class Decides(Protocol):
    """Policy and gates."""

    def decide(self, frame: Frame, classification: Classification, deadline: Deadline) -> Decision:
        """Keep or forward."""
        ...


class Forwards(Protocol):
    """The way to the cloud."""

    def send(
        self,
        frame: Frame,
        decision: Decision,
        deadline: Deadline,
        trace: Trace | None = None,
        then: Callable[[Outcome], None] | None = None,
    ) -> Future[Outcome]:
        """Send a frame; `then` is told what became of it."""
        ...

    def wait(self, future: Future[Outcome], decision: Decision, deadline: Deadline) -> Outcome:
        """Wait, at most until the deadline."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A frame halfway down the line: the edge has spoken, the cloud may still."""

    frame: Frame
    classification: Classification
    decision: Decision
    promised: Future[Outcome] | None
    watch: Stopwatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The steps of the line; without a forwarder every frame stays at the edge."""

    classifier: Classifies
    masks: Masking
    decider: Decides
    forwarder: Forwards | None
    evidence: Weighs
    incidents: Keeps
    clock: Clock

    def begin(
        self,
        frame: Frame,
        deadline: Deadline,
        *,
        decider: Decides | None = None,
        trace: Trace | None = None,
        then: Callable[[Pending, Outcome], None] | None = None,
    ) -> Pending:
        """Run the line up to the cloud: classify, decide, send; `then` is told the cloud's outcome."""
        watch = Stopwatch(self.clock)
        if frame.capture_s is not None:
            watch.stages_s["capture"] = frame.capture_s
        patience = None if frame.is_own else deadline.with_grace()
        classification = self.masks.classification(frame, self.classifier.classify(frame, patience))
        watch.book("queue", classification.took.queue_s)
        watch.book("decode", classification.took.decode_s)
        watch.lap("classify")
        decision = (decider or self.decider).decide(frame, classification, deadline)
        watch.lap("decide")
        kept = Pending(
            frame=frame,
            classification=classification,
            decision=decision,
            promised=None,
            watch=watch,
        )
        if not decision.forward or self.forwarder is None:
            return kept
        tell = None if then is None else lambda outcome: then(kept, outcome)
        promised = self.forwarder.send(frame, decision, deadline, trace, tell)
        return replace(kept, promised=promised)

    def finish(self, pending: Pending, deadline: Deadline) -> Verdict:
        """Wait for the cloud where it was asked, fuse, and take the verdict on."""
        outcome = None
        if pending.promised is not None and self.forwarder is not None:
            outcome = self.forwarder.wait(pending.promised, pending.decision, deadline)
        return self.conclude(pending.frame, self._fuse(pending, outcome))

    def stream(self, frame: Frame, deadline: Deadline, publish: Callable[[Verdict], None]) -> None:
        """Run the line for a camera: publish the edge's verdict at once, the cloud's when it comes.

        The amendment never overtakes: a cloud that answers faster than the first verdict is published waits for it.
        """
        is_told = threading.Event()

        def amend(pending: Pending, outcome: Outcome) -> None:
            is_told.wait(_TELL_WITHIN_S)
            publish(self.conclude(frame, self._fuse(pending, outcome, is_amendment=True)))

        begun = self.begin(frame, deadline, then=amend)
        try:
            first = self._fuse(begun, None, is_pending=begun.promised is not None)
            publish(self.conclude(frame, first))
        finally:
            is_told.set()

    def conclude(self, frame: Frame, verdict: Verdict) -> Verdict:
        """Weigh a verdict as evidence and hand it to the events; gives it back."""
        self.incidents.take(frame, verdict, self.evidence.note(verdict))
        return verdict

    def _fuse(
        self,
        pending: Pending,
        outcome: Outcome | None,
        *,
        is_pending: bool = False,
        is_amendment: bool = False,
    ) -> Verdict:
        if outcome is not None:
            pending.watch.lap("forward")
            outcome = self.masks.outcome(pending.frame, outcome)
        verdict = fuse(
            pending.frame,
            pending.classification,
            pending.decision,
            outcome,
            pending.classification.model or self.classifier.identity,
        )
        pending.watch.lap("fuse")
        return replace(
            verdict,
            stages_s=dict(pending.watch.stages_s),
            is_pending=is_pending,
            is_amendment=is_amendment,
        )
