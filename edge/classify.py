"""Classify a frame: decode small, prepare, run, calibrate, locate. Ring: adapter (model session).

Runs in threads of its own, as many as frames may be classified at once. A request's thread is a different one each
time and finds the model's weights in no cache: measured at 8 callers, the same work took 15 % more CPU time there.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge.locate import locate
from shared.imaging import decode
from shared.inference import Session
from shared.letterbox import Letterbox, letterbox_for
from shared.logs import get_logger
from shared.manifest import Artifact, Platt
from shared.preprocess import preprocess
from shared.types import Classification, Frame, Label, ModelIdentity, Picture

_Buffers = dict[tuple[int, int], NDArray[np.float32]]


class _Job:
    """One picture on its way through a classifying thread."""

    __slots__ = ("done", "error", "letterbox", "outputs", "picture")

    def __init__(self, picture: Picture, letterbox: Letterbox) -> None:
        self.picture = picture
        self.letterbox = letterbox
        self.outputs: dict[str, NDArray[np.float32]] = {}
        self.error: Exception | None = None
        self.done = threading.Lock()
        self.done.acquire()


class Classifier:
    """One loaded model; `classify` may be called by many threads, `at_once` frames run, the others wait in line."""

    def __init__(self, artifact: Artifact, *, at_once: int) -> None:
        """Build and warm up the session.

        Raises:
            ModelError(MODEL_REFUSED)
        """
        self._session = Session(artifact)
        self._contract = artifact.manifest.input.contract()
        self._calibration: Mapping[str, Platt] = artifact.manifest.calibration[artifact.variant]
        self.identity: ModelIdentity = artifact.identity
        self.trouble: str | None = None
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"classify-{number}", daemon=True)
            for number in range(at_once)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads; frames that wait are classified first."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def classify(self, frame: Frame) -> Classification:
        """Give the calibrated probabilities of a frame, and coarsely where.

        Raises:
            ImageError(IMAGE_DAMAGED): the picture cannot be decoded.
            ModelError(MODEL_FAILED): the runtime failed.
        """
        picture = frame.picture
        letterbox = letterbox_for(self._contract, picture.width_px, picture.height_px)
        outputs = self._outputs(_Job(picture, letterbox))
        fire, smoke = (float(v) for v in outputs["logits"][0])
        is_broken = not (math.isfinite(fire) and math.isfinite(smoke))
        self._tell_trouble(f"logits are {fire}, {smoke}" if is_broken else None)
        if is_broken:
            return Classification(fire=0.5, smoke=0.5, is_broken=True)
        seen = Classification(
            fire=_probability(fire, self._calibration["fire"]),
            smoke=_probability(smoke, self._calibration["smoke"]),
        )
        if seen.label is Label.NONE or "cells" not in outputs:
            return seen
        cells = outputs["cells"][0, 0 if seen.label is Label.FIRE else 1]
        return replace(seen, where=locate(cells, letterbox, seen.label))

    def _outputs(self, job: _Job) -> dict[str, NDArray[np.float32]]:
        self._jobs.put(job)
        job.done.acquire()
        if job.error is not None:
            raise job.error
        return job.outputs

    def _work(self) -> None:
        buffers: _Buffers = {}  # kept: spares an allocation a frame
        while (job := self._jobs.get()) is not None:
            try:
                job.outputs = self._run(job.picture, job.letterbox, buffers)
            except Exception as err:  # thread top: it is raised again where the frame came from
                job.error = err
            job.done.release()

    def _tell_trouble(self, trouble: str | None) -> None:
        """Write down when the model begins to give numbers that are not finite, and when that ends."""
        if (trouble is None) == (self.trouble is None):
            return
        self.trouble = trouble
        if trouble:
            get_logger().error("model_broken", model=self.identity.name, detail=trouble)
        else:
            get_logger().info("model_whole_again", model=self.identity.name)

    def _run(
        self, picture: Picture, letterbox: Letterbox, buffers: _Buffers
    ) -> dict[str, NDArray[np.float32]]:
        pixels = decode(picture, at_least_px=letterbox.inner_size_px)
        canvas_px = (letterbox.canvas_width_px, letterbox.canvas_height_px)
        prepared = preprocess(
            pixels.bgr_hwc_u8,
            self._contract,
            source_size_px=(picture.width_px, picture.height_px),
            out=buffers.get(canvas_px),
        )
        buffers[canvas_px] = prepared.tensor
        return self._session.run(prepared.tensor)


def _probability(logit: float, calibration: Platt) -> float:
    """Apply the file's own calibration; the exponent is clipped where a float64 would overflow."""
    z = max(-60.0, min(60.0, calibration.scale * logit + calibration.bias))
    return 1.0 / (1.0 + math.exp(-z))
