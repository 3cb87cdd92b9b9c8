"""The model that runs now, and how another takes its place. Ring: adapter.

A new model is verified, built and tried beside the old one. It takes over between two pictures: what the old one
prepared, the old one finishes. Whatever goes wrong, the old one goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cloud.engine import Reloaded
from shared.detector import Detector
from shared.error_code import ErrorCode
from shared.errors import FireError, ModelError
from shared.gather import list_pictures
from shared.imaging import ImageLimits, jpeg_picture, read_picture
from shared.logs import get_logger
from shared.manifest import Artifact, load_artifact
from shared.types import Label, Picture

_SELF_TEST = "selftest"
_MOST_SELF_TESTS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSettings:
    """Which model, from where, and on what it runs."""

    models: Path
    name: str
    variant: str | None
    device: str
    threads: int
    decoders: int


class ModelSlot:
    """Holds the detector. `current` may be read by any thread; one reload at a time."""

    def __init__(
        self, settings: SlotSettings, on_change: Callable[[Detector], None] = lambda new: None
    ) -> None:
        """Start empty; `on_change` is told every detector that takes over."""
        self._settings = settings
        self._on_change = on_change
        self._reloading = threading.Lock()
        self._stop = threading.Event()
        self._watcher: threading.Thread | None = None
        self.current: Detector | None = None

    def load(self) -> Detector:
        """Load the newest version for the first time.

        Raises:
            ModelError: it is missing or was refused.
        """
        detector = self._build(self._artifact())
        self._take(detector)
        return detector

    def reload(self) -> Reloaded:
        """Replace the model by the newest version, when that is another file.

        Raises:
            ModelError(MODEL_REFUSED, MODEL_NOT_READY): the new one is not fit; the old one goes on.
            FireError(HTTP_UNAVAILABLE): another reload is under way.
        """
        if not self._reloading.acquire(blocking=False):
            detail = "another reload is under way"
            raise FireError(ErrorCode.HTTP_UNAVAILABLE, detail, retry_after_s=5.0)
        try:
            before = self.current.identity if self.current else None
            artifact = self._artifact()
            if artifact.identity != before:
                detector = self._build(artifact)
                self._try(detector, artifact)
                self._take(detector)
            return Reloaded(model=artifact.identity, before=before)
        finally:
            self._reloading.release()

    def watch(self, every_s: float) -> None:
        """Look for a newer version every `every_s` seconds, in a thread of its own."""
        self._watcher = threading.Thread(
            target=self._watch, args=(every_s,), name="model-watch", daemon=True
        )
        self._watcher.start()

    def stop(self) -> None:
        """End the watching."""
        self._stop.set()
        if self._watcher:
            self._watcher.join(timeout=2.0)

    def _watch(self, every_s: float) -> None:
        trouble = ""
        while not self._stop.wait(every_s):
            try:
                self.reload()
                trouble = ""
            except FireError as err:
                if err.detail != trouble:  # once a trouble, not once a look
                    get_logger().error("model_not_taken", detail=err.detail)
                trouble = err.detail
            except Exception as err:  # thread top: a look that fails must not end the watching
                get_logger().error("model_watch_failed", exc_info=err)

    def _take(self, detector: Detector) -> None:
        self.current = detector
        self._on_change(detector)
        get_logger().info("model_taken", model=detector.identity.as_dict())

    def _artifact(self) -> Artifact:
        wanted = self._settings
        return load_artifact(wanted.models, wanted.name, kind="detector", variant=wanted.variant)

    def _build(self, artifact: Artifact) -> Detector:
        wanted = self._settings
        return Detector(
            artifact, device=wanted.device, threads=wanted.threads, decoders=wanted.decoders
        )

    def _try(self, detector: Detector, artifact: Artifact) -> None:
        """Run noise, then the pictures `selftest/<label>-….jpg` of the artifact, whose label must come out."""
        noise = np.random.default_rng(0).integers(0, 256, (360, 640, 3), dtype=np.uint8)
        try:
            _label(detector, jpeg_picture(noise))
            for label, picture in self._self_tests(artifact):
                found = _label(detector, picture)
                if found is not label:
                    detail = f"the self-test expected {label.value} and got {found.value}"
                    raise ModelError(ErrorCode.MODEL_REFUSED, detail)
        except ModelError:
            raise
        except (FireError, ValueError, IndexError, KeyError, TypeError) as err:
            raise ModelError(ErrorCode.MODEL_REFUSED, f"the self-test failed: {err}") from err

    def _self_tests(self, artifact: Artifact) -> list[tuple[Label, Picture]]:
        manifest = artifact.manifest
        folder = self._settings.models / manifest.name / manifest.version / _SELF_TEST
        if not folder.is_dir():
            return []
        files = list_pictures(folder)[:_MOST_SELF_TESTS]
        return [
            (Label(file.name.partition("-")[0]), read_picture(file.read_bytes(), ImageLimits()))
            for file in files
        ]


def _label(detector: Detector, picture: Picture) -> Label:
    prepared = detector.prepare(picture)
    (raw,) = detector.run_batch([prepared.tensor])
    is_right = raw.scores.ndim == 2 and raw.scores.shape[1] == 2
    if not is_right or raw.boxes.shape != (raw.scores.shape[0], 4):
        detail = f"outputs have shapes {raw.scores.shape} and {raw.boxes.shape}"
        raise ModelError(ErrorCode.MODEL_REFUSED, detail)
    if raw.scores.size and not (raw.scores.min() >= 0.0 and raw.scores.max() <= 1.0):
        raise ModelError(ErrorCode.MODEL_REFUSED, "scores are outside 0…1")
    return detector.finding(raw, prepared.letterbox).label
