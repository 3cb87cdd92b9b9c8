"""Classify a frame: decode small, prepare, run, calibrate, locate. Ring: adapter (model session).

Runs in threads of its own, as many as frames may be classified at once. A request's thread is a different one each
time and finds the model's weights in no cache: measured at 8 callers, the same work took 15 % more CPU time there.
Frames of the box's own cameras go first.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.classify.locate import HeatMap, heat_map, locate
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import FireError, ModelError
from shared.logs import get_logger
from shared.model.inference import Session
from shared.model.manifest import Artifact, Platt, ValueSection
from shared.picture.imaging import decode
from shared.picture.letterbox import InputContract, Letterbox, letterbox_for
from shared.picture.preprocess import preprocess
from shared.types import Classification, Frame, Label, ModelIdentity, Picture, Took
from shared.watch.heartbeat import Watchman

_Buffers = dict[tuple[int, int], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What the model gave for a picture, and where the time went."""

    outputs: Mapping[str, NDArray[np.float32]]
    took: Took


class LoadedClassifier:
    """One model: its session, input contract and calibration. Safe for use by many threads."""

    def __init__(self, artifact: Artifact, site: Mapping[str, Platt] | None = None) -> None:
        """Build and warm up the session; `site` replaces the calibration of the classes that it names.

        Raises:
            ModelError(MODEL_REFUSED)
        """
        self._session = Session(artifact)
        shipped = artifact.manifest.calibration[artifact.variant]
        self._calibration: Mapping[str, Platt] = {**shipped, **(site or {})}
        self.contract: InputContract = artifact.manifest.input.contract()
        self.value: ValueSection | None = artifact.manifest.value
        self.identity: ModelIdentity = artifact.identity

    def run(
        self, picture: Picture, letterbox: Letterbox, buffers: _Buffers, queue_s: float = 0.0
    ) -> Ran:
        """Decode, prepare and run; `buffers` belong to the calling thread and are written over by the next frame."""
        begun_mono_s = time.monotonic()
        pixels = decode(picture, at_least_px=letterbox.inner_size_px)
        decoded_mono_s = time.monotonic()
        canvas_px = (letterbox.canvas_width_px, letterbox.canvas_height_px)
        prepared = preprocess(
            pixels.bgr_hwc_u8,
            self.contract,
            letterbox=letterbox,
            out=buffers.get(canvas_px),
        )
        buffers[canvas_px] = prepared.tensor
        outputs = self._session.run(prepared.tensor)
        took = Took(
            queue_s=queue_s,
            decode_s=decoded_mono_s - begun_mono_s,
            infer_s=time.monotonic() - decoded_mono_s,
        )
        return Ran(outputs=outputs, took=took)

    def read(self, ran: Ran, letterbox: Letterbox) -> Classification:
        """Calibrate and locate; logits that are not finite give `is_broken`."""
        fire, smoke = (float(v) for v in ran.outputs["logits"][0])
        is_broken = not (math.isfinite(fire) and math.isfinite(smoke))
        seen = Classification(
            fire=0.5 if is_broken else _probability(fire, self._calibration["fire"]),
            smoke=0.5 if is_broken else _probability(smoke, self._calibration["smoke"]),
            is_broken=is_broken,
            model=self.identity,
            took=ran.took,
        )
        if is_broken:
            return seen
        if seen.label is Label.NONE or "cells" not in ran.outputs:
            return seen
        cells = ran.outputs["cells"][0, 0 if seen.label is Label.FIRE else 1]
        return replace(seen, where=locate(cells, letterbox, seen.label))

    def look(self, picture: Picture) -> Classification:
        """Classify one picture in the calling thread.

        Raises:
            ImageError(IMAGE_DAMAGED), ModelError(MODEL_FAILED)
        """
        letterbox = letterbox_for(self.contract, picture.width_px, picture.height_px)
        return self.read(self.run(picture, letterbox, {}), letterbox)

    def logits(self, picture: Picture) -> dict[str, float]:
        """Give what the model says of one picture before any calibration.

        Raises:
            ImageError(IMAGE_DAMAGED), ModelError(MODEL_FAILED)
        """
        letterbox = letterbox_for(self.contract, picture.width_px, picture.height_px)
        fire, smoke = (float(v) for v in self.run(picture, letterbox, {}).outputs["logits"][0])
        return {"fire": fire, "smoke": smoke}


_WAIT_S = 1.0
_SILENT_S = 20.0  # a frame takes some 10 ms; a machine under full load some seconds
_LONGEST_S = 30.0  # that a camera's frame waits: above `_SILENT_S`, so that the watchman names the thread before


class _Job:
    """One picture on its way through a classifying thread, with the model that takes it all the way.

    `is_given_up`: nobody waits for it any more.
    """

    __slots__ = ("asked_mono_s", "done", "is_given_up", "letterbox", "model", "picture", "ran")

    def __init__(self, picture: Picture, model: LoadedClassifier) -> None:
        self.picture = picture
        self.model = model
        self.letterbox = letterbox_for(model.contract, picture.width_px, picture.height_px)
        self.ran: Ran | Exception = RuntimeError("nobody ran it")
        self.asked_mono_s = time.monotonic()
        self.is_given_up = False
        self.done = threading.Lock()
        self.done.acquire()


class Classifier:
    """The model in use; `classify` may be called by many threads, `at_once` frames run, the others wait in line.

    Two lines: cameras' own frames, at most one a camera, are taken before posted ones, which `edge.lines` bounds.
    """

    def __init__(self, model: LoadedClassifier, *, at_once: int) -> None:
        """Start the threads."""
        self._model = model
        self.trouble: str | None = None
        self._beat: Callable[[str], None] = lambda thread: None
        self._own: deque[_Job] = deque()
        self._posted: deque[_Job] = deque()
        # One True for each job that stands in a line before it is put here, one False for each thread that shall end.
        self._turns: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, args=(name,), name=name, daemon=True)
            for name in (f"classify-{number}" for number in range(at_once))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def identity(self) -> ModelIdentity:
        """Name the model in use."""
        return self._model.identity

    def use(self, model: LoadedClassifier) -> None:
        """Let another model take the frames that come from now on; those in line stay with theirs."""
        self._model = model

    def be_watched(self, watchman: Watchman) -> None:
        """Let somebody hear from now on whether the threads live."""
        for thread in self._threads:
            watchman.watch(thread.name, allowed_s=_SILENT_S, is_vital=True)
        self._beat = watchman.beat

    def stop(self) -> None:
        """End the threads; frames that wait are classified first."""
        for _ in self._threads:
            self._turns.put(False)
        for thread in self._threads:
            thread.join(_SILENT_S)

    def classify(self, frame: Frame, deadline: Deadline | None = None) -> Classification:
        """Give the calibrated probabilities of a frame, and coarsely where.

        Args:
            frame: a camera's own goes before posted ones.
            deadline: of whoever posted it; a camera's own frame has none.

        Raises:
            ImageError(IMAGE_DAMAGED): the picture cannot be decoded.
            ModelError(MODEL_FAILED): the runtime failed.
            FireError(DEADLINE_MISSED): it was not done in time; what waits no longer is not run.
        """
        job = _Job(frame.picture, self._model)
        ran = self._run(job, self._own if frame.is_own else self._posted, deadline)
        seen = job.model.read(ran, job.letterbox)
        self._tell_trouble("the logits are not finite" if seen.is_broken else None)
        return seen

    def heat(self, picture: Picture) -> HeatMap | None:
        """Tell where in a picture the model looks, for a page; None when it gives no map, or no finite number.

        Raises:
            ImageError(IMAGE_DAMAGED), ModelError(MODEL_FAILED): as `classify`.
        """
        job = _Job(picture, self._model)
        cells = self._run(job, self._posted, None).outputs.get("cells")
        if cells is None or not np.isfinite(cells).all():
            return None
        return heat_map(cells[0], job.letterbox)

    def _run(self, job: _Job, line: deque[_Job], deadline: Deadline | None) -> Ran:
        line.append(job)
        self._turns.put(True)
        wait_s = _LONGEST_S if deadline is None else min(_LONGEST_S, deadline.remaining_s())
        if not job.done.acquire(timeout=wait_s):
            job.is_given_up = True
            if deadline is None or wait_s == _LONGEST_S:
                raise ModelError(ErrorCode.MODEL_FAILED, f"no thread had run it after {wait_s:g} s")
            detail = "the classifier was busy for too long"
            raise FireError(ErrorCode.DEADLINE_MISSED, detail, retry_after_s=wait_s)
        if isinstance(job.ran, Exception):
            raise job.ran
        return job.ran

    def _next(self, thread: str) -> _Job | None:
        """Wait for a picture, showing meanwhile that the thread lives; None at the end."""
        while True:
            self._beat(thread)
            with contextlib.suppress(queue.Empty):
                if not self._turns.get(timeout=_WAIT_S):
                    return None
                # Whoever holds a turn finds a job: as many stand in both lines as turns were given and not used.
                with contextlib.suppress(IndexError):
                    return self._own.popleft()
                return self._posted.popleft()

    def _work(self, thread: str) -> None:
        buffers: _Buffers = {}  # kept: spares an allocation a frame
        while (job := self._next(thread)) is not None:
            if not job.is_given_up:
                queue_s = time.monotonic() - job.asked_mono_s
                try:
                    job.ran = job.model.run(job.picture, job.letterbox, buffers, queue_s)
                except Exception as err:  # thread top: it is raised again where the frame came from
                    job.ran = err
            job.done.release()
            del job  # else an idle thread would keep a model that was replaced

    def _tell_trouble(self, trouble: str | None) -> None:
        """Write down when the model begins to give numbers that are not finite, and when that ends."""
        if (trouble is None) == (self.trouble is None):
            return
        self.trouble = trouble
        if trouble:
            get_logger().error("model_broken", model=self.identity.name, detail=trouble)
        else:
            get_logger().info("model_whole_again", model=self.identity.name)


def _probability(logit: float, calibration: Platt) -> float:
    """Apply the file's own calibration; the exponent is clipped where a float64 would overflow."""
    z = max(-60.0, min(60.0, calibration.scale * logit + calibration.bias))
    return 1.0 / (1.0 + math.exp(-z))
