"""The detector as one object: prepare a picture, run batches, find boxes. Ring: adapter."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.detect import DetectorSettings, Finding, RawOutput, find
from shared.imaging import decode
from shared.inference import Session, check_finite
from shared.letterbox import Letterbox, letterbox_for
from shared.manifest import Artifact
from shared.preprocess import preprocess
from shared.types import ModelIdentity, Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A picture ready for the network: (1, 3, H, W) float32, and how it lies on the canvas."""

    tensor: NDArray[np.float32]
    letterbox: Letterbox


class Detector:
    """One loaded model. `prepare` and `finding` may be called by many threads, `run_batch` by one at a time."""

    def __init__(self, artifact: Artifact, *, device: str, threads: int, decoders: int) -> None:
        """Build and warm up the session.

        Raises:
            ModelError(MODEL_REFUSED)
        """
        providers = (
            ("CUDAExecutionProvider", "CPUExecutionProvider")
            if device == "cuda"
            else ("CPUExecutionProvider",)
        )
        self._session = Session(artifact, providers=providers, threads=threads)
        self._contract = artifact.manifest.input.contract()
        self._settings = DetectorSettings(
            thresholds=artifact.manifest.thresholds, nms_iou=artifact.manifest.nms_iou or 0.6
        )
        self._decoders = threading.BoundedSemaphore(decoders)
        self.identity: ModelIdentity = artifact.identity
        self.providers = self._session.providers

    def prepare(self, picture: Picture) -> Prepared:
        """Decode and normalise; at most `decoders` pictures at once, more would only fight for the cores.

        Raises:
            ImageError(IMAGE_DAMAGED)
        """
        letterbox = letterbox_for(self._contract, picture.width_px, picture.height_px)
        with self._decoders:
            pixels = decode(picture, at_least_px=letterbox.inner_size_px)
            prepared = preprocess(
                pixels.bgr_hwc_u8,
                self._contract,
                source_size_px=(picture.width_px, picture.height_px),
            )
        return Prepared(tensor=prepared.tensor, letterbox=prepared.letterbox)

    def run_batch(self, tensors: Sequence[NDArray[np.float32]]) -> list[RawOutput]:
        """Run the network, see `cloud.engine.BatchRunner`."""
        batch = tensors[0] if len(tensors) == 1 else np.concatenate(tensors)
        outputs = self._session.run(batch)
        check_finite(outputs)
        return [
            RawOutput(scores=s, boxes=b)
            for s, b in zip(outputs["scores"], outputs["boxes"], strict=True)
        ]

    def finding(self, raw: RawOutput, letterbox: Letterbox) -> Finding:
        """Pick and place the boxes, see `shared.detect.find`."""
        return find(raw, letterbox, self._settings)
