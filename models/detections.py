"""From a detector's raw answer to boxes per picture and class, and the box measures over a split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.data import LABELS, Picture
from models.metrics import IOU_STEPS, PictureBoxes, box_average_precision
from shared.boxes import nms, vote
from shared.picture.letterbox import InputContract
from shared.picture.preprocess import preprocess

# Tried on val: .45, .5, .55 and .6, without and with voting; .5 with voting is best at mAP50.
NMS_IOU = 0.5
# Boxes below this are not even counted in AP; lower costs NMS time and changes AP in the third digit.
_FLOOR = 0.02
_MOST_BOXES = 100

# tensor (N, 3, H, W) → scores (N, A, 2), boxes (N, A, 4) in canvas pixels
Detect = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassBoxes:
    """Boxes of one class on one picture, stored pixels, best score first."""

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]


def detect_pictures(
    detect: Detect, pictures: Sequence[Picture], contract: InputContract
) -> list[tuple[ClassBoxes, ClassBoxes]]:
    """Run a detector over pictures as served; returns fire and smoke boxes of each."""
    found = []
    for picture in tqdm(pictures, desc="detect", unit="picture", leave=False, mininterval=10):
        prepared = preprocess(picture.decode(), contract)
        scores, boxes = detect(prepared.tensor)
        source = prepared.letterbox.to_source(boxes[0])
        fire, smoke = (select(source, scores[0, :, label]) for label in range(len(LABELS)))
        found.append((fire, smoke))
    return found


def select(boxes_xyxy: NDArray[np.float32], scores: NDArray[np.float32]) -> ClassBoxes:
    """Keep the boxes of one class that stand out: above the floor, after NMS and voting, at most 100."""
    candidates = np.flatnonzero(scores > _FLOOR)
    candidates = candidates[np.argsort(-scores[candidates], kind="stable")[: 10 * _MOST_BOXES]]
    boxes_xyxy, scores = boxes_xyxy[candidates], scores[candidates]
    kept = nms(boxes_xyxy, scores, NMS_IOU)[:_MOST_BOXES]
    voted = vote(boxes_xyxy[kept], boxes_xyxy, scores, NMS_IOU)
    return ClassBoxes(boxes_xyxy=voted, scores=scores[kept])


def class_pictures(
    found: Iterable[tuple[ClassBoxes, ClassBoxes]], pictures: Sequence[Picture], label: int
) -> list[PictureBoxes]:
    """Pair detections with truth for one class, on the pictures where all its boxes are known."""
    return [
        PictureBoxes(
            boxes_xyxy=boxes[label].boxes_xyxy,
            scores=boxes[label].scores,
            truth_xyxy=picture.truth.boxes_xyxy[picture.truth.box_labels == label],
        )
        for boxes, picture in zip(found, pictures, strict=True)
        if picture.truth.boxes_known[label]
    ]


def box_metrics(
    found: Sequence[tuple[ClassBoxes, ClassBoxes]], pictures: Sequence[Picture]
) -> dict[str, float]:
    """Measure mAP50 and mAP50-95 of both classes."""
    measured: dict[str, float] = {}
    for label, name in enumerate(LABELS):
        known = class_pictures(found, pictures, label)
        steps = [box_average_precision(known, iou) for iou in IOU_STEPS]
        measured[f"map50_{name}"] = steps[0]
        measured[f"map50_95_{name}"] = float(np.mean(steps))
    return measured
