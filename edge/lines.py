"""The two ways down the line: for callers' frames, on which somebody waits, and for cameras'. Ring: rim."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edge.caller import Caller
from edge.fuse import Verdict
from edge.pipeline import Decides, Pending, Pipeline
from edge.publish import Publisher
from shared.access.admission import Admission
from shared.clock import Clock
from shared.deadline import Deadline
from shared.errors import FireError
from shared.ids import new_id
from shared.types import Classification, Frame, ModelIdentity, Picture

_T = TypeVar("_T")


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
        except FireError as err:  # what cannot be blacked out is shown to nobody
            self.publisher.failed(frame, err)
            raise
        try:
            self.pipeline.stream(
                frame,
                Deadline.after(self.deadline_s, self.clock),
                lambda verdict: self.publisher.publish(
                    frame, verdict, frame.frame_id, is_request=False
                ),
            )
        except FireError as err:
            self.publisher.live.see(frame)
            self.publisher.failed(frame, err)
            raise
        self.rehearse(frame)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerLine:
    """Takes posted frames down the line; whoever posted one waits for the better verdict.

    A posted frame holds one of the places of `admission` while the edge looks at it, not while the cloud does; frames
    of the cameras in `pushed`, whose frames are posted, need none. `take_pushed` gives the frame of such a camera, None
    for other pictures. `rehearse` is shown each frame that the pair judged, for a test alarm. `adaptive` decides where
    the sliding-window rule is asked for. `deadline_s` holds for callers who name none; `at_once` is how many frames of
    one call go to the cloud together.
    """

    pipeline: Pipeline
    adaptive: Decides
    admission: Admission
    pushed: frozenset[str]
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

    def knock(self, caller: Caller, camera: str | None) -> None:
        """Refuse before a body is parsed, when there is no place.

        A camera's own frame is never refused: `camera` is what the query names, else the body may name one of `pushed`.

        Raises:
            FireError(EDGE_OVERLOADED): carries Retry-After.
        """
        may_be_own = camera in self.pushed if camera else bool(self.pushed)
        if not may_be_own:
            try:
                self.admission.refuse_if_full(caller.lane)
            except FireError as err:
                self.publisher.refused(err)
                raise

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

    def classify(self, frame: Frame, deadline: Deadline, caller: Caller) -> Classification:
        """Ask the edge alone.

        Raises:
            FireError(EDGE_OVERLOADED), FireError(DEADLINE_MISSED): no place, or not in time.
            ImageError, ModelError
        """
        patience = None if frame.is_own else deadline.with_grace()
        classify = functools.partial(self.pipeline.classifier.classify, frame, patience)
        return self._looked(classify, frame, deadline, caller)

    def joint(
        self, frame: Frame, deadline: Deadline, caller: Caller, *, is_adaptive: bool
    ) -> Verdict:
        """Ask the pair; raises as `classify`."""
        decider = self.adaptive if is_adaptive else self.pipeline.decider
        return self._finished(self._begun(frame, deadline, caller, decider), deadline, caller)

    def joint_many(
        self, frames: Sequence[Frame], deadline: Deadline, caller: Caller
    ) -> list[Verdict | FireError]:
        """Ask the pair about several frames, as many at once as the link has places."""
        answers: list[Verdict | FireError] = []
        for first in range(0, len(frames), self.at_once):
            begun = [
                self._begun_or_error(f, deadline, caller)
                for f in frames[first : first + self.at_once]
            ]
            answers += [
                p if isinstance(p, FireError) else self._finished(p, deadline, caller)
                for p in begun
            ]
        return answers

    def _begun(self, frame: Frame, deadline: Deadline, caller: Caller, decider: Decides) -> Pending:
        begin = functools.partial(
            self.pipeline.begin, frame, deadline, decider=decider, trace=caller.trace
        )
        return self._looked(begin, frame, deadline, caller)

    def _begun_or_error(
        self, frame: Frame, deadline: Deadline, caller: Caller
    ) -> Pending | FireError:
        try:
            return self._begun(frame, deadline, caller, self.pipeline.decider)
        except FireError as err:
            return err

    def _finished(self, pending: Pending, deadline: Deadline, caller: Caller) -> Verdict:
        verdict = self.pipeline.finish(pending, deadline)
        self.publisher.publish(pending.frame, verdict, caller.req_id, is_request=True)
        self.rehearse(pending.frame)
        return verdict

    def _looked(
        self, look: Callable[[], _T], frame: Frame, deadline: Deadline, caller: Caller
    ) -> _T:
        """Hold a place while the edge looks at a frame, and count a frame that got no verdict."""
        try:
            if frame.is_own:
                return look()
            with self.admission.place(caller.lane, deadline=deadline.with_grace()):
                return look()
        except FireError as err:
            self.publisher.failed(frame, err)
            raise
