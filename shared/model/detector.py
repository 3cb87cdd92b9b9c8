"""The detector as one object: prepare a picture, run batches, find boxes. Ring: adapter."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.clock import Clock
from shared.errors import DeviceLost, ModelError, OutOfMemory
from shared.logs import get_logger
from shared.model.batch_sizes import BatchSizes
from shared.model.detect import DetectorSettings, Finding, RawOutput, find
from shared.model.inference import CUDA, Session, check_finite
from shared.model.manifest import Artifact
from shared.picture.imaging import decode
from shared.picture.letterbox import Letterbox, letterbox_for
from shared.picture.preprocess import Prepared, preprocess
from shared.types import ModelIdentity, Picture

# A picture that no model can answer fails alone, and once more in its batch; that many in a row are the model's fault.
_FAILED_RUNS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """On what a detector runs, and how much at once.

    `max_batch` counts on a card, where batches have fixed sizes; a CPU takes what it is given. `allow_cpu`: a card
    that does not load, or fails, is replaced by the CPU. `threshold_ratio`: of the manifest's thresholds; below 1 to
    follow what is known to be there.
    """

    device: str = "cpu"
    threads: int = 1
    decoders: int = 1
    max_batch: int = 1
    allow_cpu: bool = False
    threshold_ratio: float = 1.0


class Detector:
    """One loaded model. `prepare` and `finding` may be called by many threads, `run_batch` by one at a time.

    `trouble` tells why it will never answer again in this process, None while it may. `failing` tells why its last runs
    failed, one after the other; "" as soon as one succeeds.
    """

    def __init__(self, artifact: Artifact, running: Running, clock: Clock) -> None:
        """Build and warm up the session.

        Raises:
            ModelError(MODEL_REFUSED)
        """
        is_on_card = running.device == "cuda"
        self._running = running
        self._sizes = BatchSizes(running.max_batch, clock) if is_on_card else None
        self._session = Session(
            artifact,
            device=running.device,
            threads=running.threads,
            batch_sizes=self._sizes.sizes if self._sizes else (1,),
            may_fall_back=running.allow_cpu,
        )
        self._spare = artifact if is_on_card and running.allow_cpu else None
        self._contract = artifact.manifest.input.contract()
        self._settings = DetectorSettings(
            thresholds={
                label: threshold * running.threshold_ratio
                for label, threshold in artifact.manifest.thresholds.items()
            },
            nms_iou=artifact.manifest.nms_iou or 0.6,
        )
        self._decoders = threading.BoundedSemaphore(running.decoders)
        self._failed_runs = 0
        self.identity: ModelIdentity = artifact.identity
        self.trouble: str | None = None
        self.failing = ""

    @property
    def providers(self) -> tuple[str, ...]:
        """Tell what the session really runs on."""
        return self._session.providers

    @property
    def doubt(self) -> str | None:
        """Tell what is not as it was wanted, though answers are given: the CPU in place of a card."""
        if self._running.device != "cuda" or self.providers[0] == CUDA:
            return None
        return f"cuda was wanted, it runs on {', '.join(self.providers)}"

    def status(self) -> dict[str, Any]:
        """Tell which model runs, on what, and what is not as it was wanted."""
        return {
            **self.identity.as_dict(),
            "providers": list(self.providers),
            "doubt": self.doubt,
        }

    def prepare(self, picture: Picture) -> Prepared:
        """Decode and normalise; at most `decoders` pictures at once, more would only fight for the cores.

        Raises:
            ImageError(IMAGE_DAMAGED)
        """
        letterbox = letterbox_for(self._contract, picture.width_px, picture.height_px)
        with self._decoders:
            pixels = decode(picture, at_least_px=letterbox.inner_size_px)
            return preprocess(pixels.bgr_hwc_u8, self._contract, letterbox=letterbox)

    def run_batch(self, tensors: Sequence[NDArray[np.float32]]) -> list[RawOutput]:
        """Run the network, see `cloud.engine.BatchRunner`; on a card in as many runs as its memory asks for.

        Raises:
            ModelError(MODEL_FAILED): the runtime failed, also with one picture and also on the CPU where allowed.
        """
        try:
            outputs = self._in_runs(tensors)
        except ModelError as err:
            self._failed_runs += 1
            if self._failed_runs >= _FAILED_RUNS:
                self.failing = f"the last {self._failed_runs} runs failed: {err.detail}"
            raise
        self._failed_runs, self.failing = 0, ""
        return outputs

    def _in_runs(self, tensors: Sequence[NDArray[np.float32]]) -> list[RawOutput]:
        done: list[RawOutput] = []
        while rest := tensors[len(done) :]:
            at_once = min(len(rest), self._sizes.limit) if self._sizes else len(rest)
            try:
                done += self._run(rest[:at_once])
            except OutOfMemory:
                if not self._halve(at_once):
                    raise
            except DeviceLost as err:
                self._leave_card(err)
        return done

    def _run(self, tensors: Sequence[NDArray[np.float32]]) -> list[RawOutput]:
        count = len(tensors)
        missing = self._sizes.padded(count) - count if self._sizes else 0
        padded = [*tensors, *[np.zeros_like(tensors[0])] * missing]
        outputs = self._session.run(padded[0] if len(padded) == 1 else np.concatenate(padded))
        outputs = {name: values[:count] for name, values in outputs.items()}
        check_finite(outputs)
        if self._sizes:
            self._sizes.grow()
        return [
            RawOutput(scores=s, boxes=b)
            for s, b in zip(outputs["scores"], outputs["boxes"], strict=True)
        ]

    def _halve(self, at_once: int) -> bool:
        if self._sizes is None or not self._sizes.shrink(self._sizes.padded(at_once)):
            return False
        get_logger().warning("batch_halved", pictures=self._sizes.limit)
        return True

    def _leave_card(self, lost: DeviceLost) -> None:
        """Go on with the CPU where that is allowed and works; a process whose card failed cannot use it again."""
        if self.trouble:
            raise lost
        spare, self._spare = self._spare, None
        why = lost.detail
        if spare is not None:
            try:
                self._session = Session(spare, threads=self._running.threads)
            except ModelError as err:
                why = f"{why}; and so did the CPU: {err.detail}"
            else:
                get_logger().error("card_replaced_by_cpu", detail=why)
                self._sizes = None
                return
        self.trouble = f"the card failed, restart the service: {why}"
        get_logger().error("card_lost", detail=why)
        raise lost

    def finding(self, raw: RawOutput, letterbox: Letterbox) -> Finding:
        """Pick and place the boxes, see `shared.model.detect.find`."""
        return find(raw, letterbox, self._settings)
