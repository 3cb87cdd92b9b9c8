"""Look for origins in a thread of its own at low priority, and have the frame found checked. Ring: adapter (thread).

The detector is the cloud's own artifact, run on this machine; without it the edge's coarse boxes lead the walk. One
question at most goes to the cloud, about the frame that was found; while the link is away it waits in the outbox.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.event.fire_event import FireEvent, KeptFrame, Origin, OriginMethod
from edge.forward.cloud_client import CloudAnswer
from edge.origin.walk_back import Look, WalkSettings, checked, walk_back
from shared.clock import SystemClock
from shared.errors import FireError, ModelError
from shared.logs import get_logger
from shared.model.detector import Detector, Running
from shared.model.inference import best_cpu_variant
from shared.model.manifest import load_artifact
from shared.types import Detection, Frame, Source

_NICENESS = 10  # the line goes first; a walk takes about half a second of one core
_MOST_WAITING = 32  # walks; an event beyond that stays without an origin until the next start
_FOLLOW_RATIO = 0.65  # of the detector's thresholds: measured on rendered fires; lower follows shadows, higher is late
_TURN_S = 5.0  # an idle thread shows itself this often

Ask = Callable[[Frame], CloudAnswer | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unasked:
    """An origin whose frame the cloud has not seen yet."""

    event: FireEvent
    origin: Origin
    frame: Frame


class Tracer:
    """Owns the tracing thread; `trace` may be called by many threads."""

    def __init__(
        self,
        models: Path,
        *,
        found: Callable[[FireEvent, Origin], None],
        ask: Ask | None,
        wait: Callable[[Unasked], None] = lambda unasked: None,
        settings: WalkSettings | None = None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Keep where the detector is; it is loaded for the first walk.

        Args:
            models: folder of artifacts.
            found: is told the origin, and once more when the cloud has checked it.
            ask: the cloud's answer to one frame, None while it cannot be had; None asks nobody.
            wait: keeps a frame until the cloud can be asked; `ask_again` is called with it then.
            settings: of the walk.
            beat: shows that the thread lives.
        """
        self._beat = beat
        self._models = models
        self._found = found
        self._ask = ask
        self._wait = wait
        self._settings = settings or WalkSettings()
        self._ready = threading.Condition()
        self._jobs: deque[tuple[FireEvent, tuple[KeptFrame, ...]]] = deque()
        self._is_stopping = False
        self._look: Look | None = None
        self._is_loaded = False
        self._thread = threading.Thread(target=self._work, name="tracer", daemon=True)

    def start(self) -> None:
        """Begin to wait for events."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End after the walk that runs now."""
        with self._ready:
            self._is_stopping = True
            self._ready.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def trace(self, event: FireEvent, frames: Sequence[KeptFrame]) -> None:
        """Queue a walk; when too many wait, the event stays without an origin."""
        with self._ready:
            if len(self._jobs) < _MOST_WAITING:
                self._jobs.append((event, tuple(frames)))
                self._ready.notify()
                return
        get_logger().warning("origin_not_traced", event_id=event.event_id)

    def _work(self) -> None:
        with contextlib.suppress(OSError):  # a system that forbids it runs the walk as it is
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while (job := self._next()) is not None:
            try:
                self._trace(*job)
            except Exception as err:  # thread top: one bad walk must not end the thread
                get_logger().error("trace_failed", exc_info=err)

    def _next(self) -> tuple[FireEvent, tuple[KeptFrame, ...]] | None:
        """Wait for a walk; None at the end."""
        with self._ready:
            while not self._jobs and not self._is_stopping:
                self._beat()
                self._ready.wait(_TURN_S)
            return None if self._is_stopping else self._jobs.popleft()

    def _trace(self, event: FireEvent, frames: Sequence[KeptFrame]) -> None:
        origin = find_origin(event, frames, self._settings, self._beating(self._detector()))
        if origin is None:
            get_logger().warning("origin_not_traced", event_id=event.event_id)
            return
        self._found(event, origin)
        get_logger().info(
            "origin_found",
            event_id=event.event_id,
            captured_at=origin.captured_at.isoformat(),
            method=origin.method.value,
            is_earliest_kept=origin.is_earliest_kept,
        )
        kept = next((k for k in frames if k.frame.frame_id == origin.frame_id), None)
        if kept is None:
            return
        unasked = Unasked(event=event, origin=origin, frame=kept.frame)
        if kept.verdict is not None and kept.verdict.source is Source.CLOUD:
            self._take(unasked, kept.verdict.detections)
        elif self._ask is None or event.is_test:  # no money for a test
            return
        elif not self.ask_again(unasked):
            self._wait(unasked)

    def ask_again(self, unasked: Unasked) -> bool:
        """Ask the cloud about a frame that waited; False while it still cannot be asked."""
        answer = self._ask(unasked.frame) if self._ask else None
        if answer is None:
            return False
        self._take(unasked, answer.detections)
        return True

    def _take(self, unasked: Unasked, detections: Sequence[Detection]) -> None:
        """Take over what the cloud saw in the frame."""
        origin = checked(unasked.origin, detections, unasked.frame.picture, self._settings)
        get_logger().info(
            "origin_checked",
            event_id=unasked.event.event_id,
            is_seen=origin is not unasked.origin,
        )
        if origin is not unasked.origin:
            self._found(unasked.event, origin)

    def _beating(self, look: Look | None) -> Look | None:
        """Let each look of a long walk show that the thread lives."""
        if look is None:
            return None

        def beat_and_look(frame: Frame) -> Sequence[Detection]:
            self._beat()
            return look(frame)

        return beat_and_look

    def _detector(self) -> Look | None:
        if not self._is_loaded:
            self._look, self._is_loaded = load_look(self._models), True
        return self._look


def find_origin(
    event: FireEvent, frames: Sequence[KeptFrame], settings: WalkSettings, look: Look | None
) -> Origin | None:
    """Find an event's origin with the detector, else with the edge's own boxes.

    Args:
        event: as it opened.
        frames: what was kept, in order of time, the opening frame last.
        settings: of the walk.
        look: the detector, None without one.

    Returns:
        the origin, or None when nobody sees a fire that stands out from what was there before: nothing is made up.
    """
    ways = ((look, OriginMethod.DETECTOR), (_edge_look(frames), OriginMethod.EDGE))
    for way, method in ways:
        origin = walk_back(frames, event.box, way, settings, method) if way else None
        if origin is not None:
            return origin
    return None


def load_look(models: Path) -> Look | None:
    """Load the detector of this machine, its int8 file where the CPU is good at it; None when there is none."""
    try:
        artifact = load_artifact(models, "cloud-detector", kind="detector")
        variant = best_cpu_variant()
        if variant != artifact.variant and variant in artifact.manifest.files:
            artifact = load_artifact(models, "cloud-detector", kind="detector", variant=variant)
        detector = Detector(artifact, Running(threshold_ratio=_FOLLOW_RATIO), SystemClock())
    except ModelError as err:
        get_logger().warning("no_local_detector", detail=err.detail)
        return None

    def look(frame: Frame) -> Sequence[Detection]:
        try:
            prepared = detector.prepare(frame.picture)
            (raw,) = detector.run_batch([prepared.tensor])
        except FireError:
            return ()  # a damaged picture shows nothing
        return detector.finding(raw, prepared.letterbox).detections

    return look


def _edge_look(frames: Sequence[KeptFrame]) -> Look:
    """See what the edge saw when it classified the frames."""
    seen = {k.frame.frame_id: k.verdict.edge.where for k in frames if k.verdict is not None}
    return lambda frame: seen.get(frame.frame_id, ())
