"""From the detector's raw output to boxes in source pixels. Ring: domain (NumPy only)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.boxes import nms, vote
from shared.picture.letterbox import Letterbox
from shared.types import Box, Detection, Label, label_of

_LABELS = (Label.FIRE, Label.SMOKE)
# A picture with more boxes than this is one big fire; bounds the answer and the NMS.
_MAX_DETECTIONS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RawOutput:
    """What the network says of one picture.

    `scores`: shape (A, 2), float32, 0…1, fire and smoke. `boxes`: shape (A, 4), float32, xyxy in canvas pixels.
    """

    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSettings:
    """Operating point from the model's manifest."""

    thresholds: Mapping[str, float]
    nms_iou: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the detector says of one picture; `confidence` is that of `label`.

    The best score of the label, or 1 − the highest score when no box passed.
    """

    label: Label
    confidence: float
    detections: tuple[Detection, ...]


def find(raw: RawOutput, letterbox: Letterbox, settings: DetectorSettings) -> Finding:
    """Pick, merge and place the boxes of one picture.

    Args:
        raw: the network's output for it.
        letterbox: how the picture lay on the canvas.
        settings: score thresholds per label and the overlap above which boxes merge.

    Returns:
        detections best first, in pixels of the source file.
    """
    detections: list[Detection] = []
    for column, label in enumerate(_LABELS):
        scores = raw.scores[:, column]
        passed = np.flatnonzero(scores >= settings.thresholds[label.value])
        best = passed[np.argsort(-scores[passed], kind="stable")[: 4 * _MAX_DETECTIONS]]
        kept = best[nms(raw.boxes[best], scores[best], settings.nms_iou)][:_MAX_DETECTIONS]
        voted = vote(raw.boxes[kept], raw.boxes[best], scores[best], settings.nms_iou)
        placed = letterbox.to_source(voted)
        detections += [
            _detection(label, float(scores[i]), box) for i, box in zip(kept, placed, strict=True)
        ]
    detections.sort(key=lambda d: -d.score)
    found = tuple(d for d in detections if d.box.x2 > d.box.x1 and d.box.y2 > d.box.y1)[
        :_MAX_DETECTIONS
    ]
    label = label_of(found)
    if label is Label.NONE:
        return Finding(
            label=label, confidence=1.0 - float(raw.scores.max(initial=0.0)), detections=()
        )
    confidence = max(d.score for d in found if d.label is label)
    return Finding(label=label, confidence=confidence, detections=found)


def _detection(label: Label, score: float, box: NDArray[np.float32]) -> Detection:
    x1, y1, x2, y2 = (float(v) for v in box)
    return Detection(label=label, score=score, box=Box(x1=x1, y1=y1, x2=x2, y2=y2))
