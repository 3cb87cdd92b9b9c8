"""Classify a frame: decode small, prepare, run, calibrate, locate. Ring: adapter (model session).

Runs in the calling thread; ONNX Runtime's `run` is safe for several threads, and a hand-over to a thread of its own
would cost more than the frame's own overhead may. The number of frames at once is bounded instead.
"""

from __future__ import annotations

import math
import queue
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge.locate import locate
from shared.error_code import ErrorCode
from shared.errors import ModelError
from shared.imaging import decode
from shared.inference import Session
from shared.letterbox import Letterbox, letterbox_for
from shared.manifest import Artifact, Platt
from shared.preprocess import preprocess
from shared.types import Classification, Frame, Label, ModelIdentity, Picture

_Buffers = dict[tuple[int, int], NDArray[np.float32]]


class Classifier:
    """One loaded model; `classify` may be called by many threads, `at_once` of them run, the others wait."""

    def __init__(self, artifact: Artifact, *, at_once: int) -> None:
        """Build and warm up the session.

        Raises:
            ModelError(MODEL_REFUSED)
        """
        self._session = Session(artifact)
        self._contract = artifact.manifest.input.contract()
        self._calibration: Mapping[str, Platt] = artifact.manifest.calibration[artifact.variant]
        # A free set of kept buffers is the permission to run: bounds the work and spares the allocation at once.
        self._free: queue.LifoQueue[_Buffers] = queue.LifoQueue()
        for _ in range(at_once):
            self._free.put({})
        self.identity: ModelIdentity = artifact.identity

    def classify(self, frame: Frame) -> Classification:
        """Give the calibrated probabilities of a frame, and coarsely where.

        Raises:
            ImageError(IMAGE_DAMAGED): the picture cannot be decoded.
            ModelError(MODEL_FAILED): the runtime failed or gave a number that is not finite.
        """
        picture = frame.picture
        letterbox = letterbox_for(self._contract, picture.width_px, picture.height_px)
        buffers = self._free.get()
        try:
            outputs = self._run(frame.picture, letterbox, buffers)
        finally:
            self._free.put(buffers)
        fire, smoke = (float(v) for v in outputs["logits"][0])
        if not (math.isfinite(fire) and math.isfinite(smoke)):
            raise ModelError(ErrorCode.MODEL_FAILED, f"logits are {fire}, {smoke}")
        seen = Classification(
            fire=_probability(fire, self._calibration["fire"]),
            smoke=_probability(smoke, self._calibration["smoke"]),
        )
        if seen.label is Label.NONE or "cells" not in outputs:
            return seen
        cells = outputs["cells"][0, 0 if seen.label is Label.FIRE else 1]
        return replace(seen, where=locate(cells, letterbox, seen.label))

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
