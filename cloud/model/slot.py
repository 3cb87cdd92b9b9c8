"""The detector's slot: which artifact, on what it runs, and what counts as an answer. Ring: adapter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cloud.troubles import model_failed, model_untrue, models_doubtful, newer_refused
from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import ModelError
from shared.model.detector import Detector, Running
from shared.model.manifest import Artifact, load_version, newest_version, version_before
from shared.model.reload import ModelSlot, Recipe
from shared.types import Label, Picture
from shared.watch.trouble import Trouble

DetectorSlot = ModelSlot[Detector]
_HALF = "fp16"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSettings:
    """Which model, from where, and on what it runs."""

    models: Path
    name: str
    variant: str | None
    running: Running
    clock: Clock


def detector_slot(
    settings: SlotSettings, on_change: Callable[[Detector], None] = lambda new: None
) -> DetectorSlot:
    """Prepare an empty slot; `on_change` is told every detector that takes over from the first one."""

    def find() -> Artifact:
        return _load(newest_version([settings.models], settings.name), settings)

    def build(artifact: Artifact) -> Detector:
        return Detector(artifact, settings.running, settings.clock)

    return ModelSlot(Recipe(find=find, build=build, label=_label), on_change)


def earlier(settings: SlotSettings, version: str) -> Artifact:
    """Give the artifact of the version before a given one, verified.

    Raises:
        ModelError(HTTP_NOT_FOUND): there is none.
        ModelError(MODEL_REFUSED)
    """
    return _load(version_before([settings.models], settings.name, version), settings)


def why_closed(slot: DetectorSlot) -> str | None:
    """Tell why the detector that runs must not be asked: it is lost, or fails on its own pictures; None when it may."""
    detector, tried = slot.current, slot.tried
    if detector and detector.trouble:
        return detector.trouble
    return (
        f"the model fails on its own pictures: {tried.failure}" if tried and tried.failure else None
    )


def load_sound(settings: SlotSettings) -> Detector:
    """Load the newest detector as a service does, for a command that judges it.

    Raises:
        ModelError: it is missing or was refused, or fails on its own pictures.
    """
    slot = detector_slot(settings)
    detector = slot.load()
    if why := why_closed(slot):
        raise ModelError(ErrorCode.MODEL_REFUSED, why)
    return detector


def slot_troubles(slot: DetectorSlot, now_at: datetime) -> list[Trouble]:
    """Tell what is wrong with the detector that runs, and with the newest one that was looked at."""
    detector, tried = slot.current, slot.tried
    found = models_doubtful([detector.status()], now_at) if detector else []
    if detector and (detail := detector.trouble or detector.failing):
        found.append(model_failed(detail, now_at))
    if tried and tried.failure:
        found.append(model_untrue(tried.failure, now_at))
    if slot.refusal:
        found.append(newer_refused(slot.refusal, now_at))
    return found


def _load(folder: Path, settings: SlotSettings) -> Artifact:
    return load_version(
        folder,
        settings.name,
        kind="detector",
        variant=settings.variant,
        prefer=_HALF if settings.running.device == "cuda" else None,
    )


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
