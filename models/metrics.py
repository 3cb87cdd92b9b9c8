"""Measures of a classifier and of a detector, from arrays of scores (NumPy only)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.boxes import iou_matrix

Floats = NDArray[np.floating]
IOU_STEPS = tuple(np.round(np.arange(0.50, 0.96, 0.05), 2).tolist())


def auc(scores: Floats, labels: Floats) -> float:
    """Compute the area under the ROC curve; ties count half. NaN when one class is missing."""
    positive = labels > 0.5
    n_pos, n_neg = int(positive.sum()), int((~positive).sum())
    if not n_pos or not n_neg:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return float((rank[positive].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg))


def average_precision(scores: Floats, labels: Floats) -> float:
    """Compute the area under the precision-recall curve (step-wise, no interpolation)."""
    order = np.argsort(-scores, kind="stable")
    hits = labels[order] > 0.5
    if not hits.any():
        return float("nan")
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureBoxes:
    """Detections and truth of one class on one picture; boxes xyxy in the same pixels."""

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    truth_xyxy: NDArray[np.float32]


def box_average_precision(pictures: Sequence[PictureBoxes], iou: float) -> float:
    """Compute COCO's AP of one class at one IoU: greedy matching by score, 101 recall points."""
    total = sum(len(p.truth_xyxy) for p in pictures)
    if not total:
        return float("nan")
    scores, hits = match(pictures, iou)
    order = np.argsort(-scores, kind="stable")
    true_positives = np.cumsum(hits[order])
    recall = true_positives / total
    precision = true_positives / np.arange(1, len(order) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    padded = np.append(envelope, 0.0)
    return float(padded[np.minimum(at, len(envelope))].mean())


def match(
    pictures: Sequence[PictureBoxes], iou: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Match detections to truth, best score first, each truth once.

    Returns:
        all scores, and whether each was a hit.
    """
    scores: list[float] = []
    hits: list[bool] = []
    for picture in pictures:
        overlap = iou_matrix(picture.boxes_xyxy, picture.truth_xyxy)
        free = np.ones(len(picture.truth_xyxy), bool)
        for index in np.argsort(-picture.scores, kind="stable"):
            candidates = np.where(free, overlap[index], -1.0) if free.size else np.zeros(0)
            best = int(candidates.argmax()) if candidates.size else -1
            hit = best >= 0 and candidates[best] >= iou
            if hit:
                free[best] = False
            scores.append(float(picture.scores[index]))
            hits.append(bool(hit))
    return np.asarray(scores, np.float32), np.asarray(hits, bool)
