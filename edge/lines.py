"""The two ways down the line: for callers' frames, on which somebody waits, and for cameras'. Ring: rim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.fuse import Verdict
from edge.pipeline import Decides, Pending, Pipeline
from edge.publish import Publisher
from shared.clock import Clock
from shared.deadline import Deadline
from shared.errors import FireError
from shared.ids import new_id
from shared.types import Classification, Frame, ModelIdentity, Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraLine:
    """Takes cameras' frames down the line.

    `black_out` gives a frame as everybody behind it may see it. `rehearse` is shown each frame afterwards, for a test
    alarm. `deadline_s` is how long the cloud has for its amendment.
    """

    pipeline: Pipeline
    black_out: Callable[[Frame], Frame]
    publisher: Publisher
    rehearse: Callable[[Frame], None]
    deadline_s: float
    clock: Clock

    def watch(self, frame: Frame) -> None:
        """Take one frame down the line.

        Raises:
            ImageError, ModelError: it got no verdict, and was counted.
        """
        try:
            frame = self.black_out(frame)
        except FireError:  # what cannot be blacked out is shown to nobody
            self.publisher.failed(frame)
            raise
        try:
            self.pipeline.stream(
                frame,
                Deadline.after(self.deadline_s, self.clock),
                lambda verdict: self.publisher.publish(
                    frame, verdict, frame.frame_id, is_request=False
                ),
            )
        except FireError:
            self.publisher.live.see(frame)
            self.publisher.failed(frame)
            raise
        self.rehearse(frame)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerLine:
    """Takes posted frames down the line; whoever posted one waits for the better verdict.

    `adaptive` decides where the sliding-window rule is asked for. `take_pushed` gives the frame of a camera whose
    frames are posted, None for other pictures. `deadline_s` holds for callers who name none; `at_once` is how many
    frames of one call go to the cloud together.
    """

    pipeline: Pipeline
    adaptive: Decides
    black_out: Callable[[Frame], Frame]
    take_pushed: Callable[[Picture, str | None], Frame | None]
    publisher: Publisher
    rehearse: Callable[[Frame], None]
    deadline_s: float
    at_once: int
    clock: Clock

    @property
    def model(self) -> ModelIdentity:
        """Name the classifier."""
        return self.pipeline.classifier.identity

    def frame(self, picture: Picture, camera: str | None) -> Frame:
        """Make a posted picture a frame; its id is ours, so that no caller can make two calls share a charge."""
        if pushed := self.take_pushed(picture, camera):
            return self.black_out(pushed)
        now_at = self.clock.now_at()
        return self.black_out(
            Frame(frame_id=new_id(now_at), camera=camera, picture=picture, captured_at=now_at)
        )

    def deadline_in(self, milliseconds: int | None) -> Deadline:
        """Set a deadline, the configured one for None."""
        seconds = self.deadline_s if milliseconds is None else milliseconds / 1000
        return Deadline.after(seconds, self.clock)

    def classify(self, frame: Frame) -> Classification:
        """Ask the edge alone."""
        try:
            return self.pipeline.classifier.classify(frame)
        except FireError:
            self.publisher.failed(frame)
            raise

    def joint(
        self,
        frame: Frame,
        deadline: Deadline,
        traceparent: str | None,
        *,
        req_id: str,
        is_adaptive: bool,
    ) -> Verdict:
        """Ask the pair."""
        decider = self.adaptive if is_adaptive else self.pipeline.decider
        try:
            verdict = self.pipeline.joint(frame, deadline, decider=decider, traceparent=traceparent)
        except FireError:
            self.publisher.failed(frame)
            raise
        self.publisher.publish(frame, verdict, req_id, is_request=True)
        self.rehearse(frame)
        return verdict

    def joint_many(
        self, frames: Sequence[Frame], deadline: Deadline, *, req_id: str
    ) -> list[Verdict | FireError]:
        """Ask the pair about several frames, as many at once as the link has places."""
        answers: list[Verdict | FireError] = []
        for first in range(0, len(frames), self.at_once):
            begun = [
                self._begun_or_error(f, deadline) for f in frames[first : first + self.at_once]
            ]
            answers += [
                p if isinstance(p, FireError) else self._finished(p, deadline, req_id)
                for p in begun
            ]
        return answers

    def _begun_or_error(self, frame: Frame, deadline: Deadline) -> Pending | FireError:
        try:
            return self.pipeline.begin(frame, deadline)
        except FireError as err:
            self.publisher.failed(frame)
            return err

    def _finished(self, pending: Pending, deadline: Deadline, req_id: str) -> Verdict:
        verdict = self.pipeline.finish(pending, deadline)
        self.publisher.publish(pending.frame, verdict, req_id, is_request=True)
        return verdict
