"""What a model says of every picture of a split, computed once and kept beside its runs.

Distillation, the hunt for wrong labels and the joint measures all read the same scores. A kept file is used again only
for the same model file, canvases and pictures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models import train_classifier, train_detector
from models.artifact import sha256_of
from models.calibrate import onnx_logits
from models.data import LABELS, Picture
from models.detections import ClassBoxes, select
from models.onnx_model import OnnxModel
from models.training_run import RUNS_DIR
from shared.preprocess import preprocess

_FOLDER = RUNS_DIR / "pack-scores"
# Boxes kept a picture and class; a picture's score is that of the best, the rest show what else was found.
_BOXES_KEPT = 10
_COLUMNS = 5  # score, then the corners


def classifier_scores(path: Path, pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """Give the logits (N, 2) of a classifier file."""
    sizes = train_classifier.CONTRACT.sizes_px
    return _kept(path, pictures, sizes, lambda: onnx_logits(path, pictures))


def detector_boxes(path: Path, pictures: Sequence[Picture]) -> list[tuple[ClassBoxes, ClassBoxes]]:
    """Give the best fire and smoke boxes of a detector file on each picture, stored pixels, best first."""
    table = _table(path, pictures)
    return [(_boxes(row[0]), _boxes(row[1])) for row in table]


def detector_scores(path: Path, pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """Give the best box score (N, 2) of a detector file on each picture, 0 where it found nothing."""
    return _table(path, pictures)[:, :, 0, 0]


def _table(path: Path, pictures: Sequence[Picture]) -> NDArray[np.float32]:
    sizes = train_detector.CONTRACT.sizes_px
    return _kept(path, pictures, sizes, lambda: _detect(path, pictures))


def _detect(path: Path, pictures: Sequence[Picture]) -> NDArray[np.float32]:
    model = OnnxModel(path)
    table = np.zeros((len(pictures), len(LABELS), _BOXES_KEPT, _COLUMNS), np.float32)
    for index, picture in enumerate(tqdm(pictures, desc="detect", leave=False, mininterval=10)):
        prepared = preprocess(picture.decode(), train_detector.CONTRACT)
        scores, boxes = model.run(prepared.tensor)
        source = prepared.letterbox.to_source(boxes[0])
        for label in range(len(LABELS)):
            best = select(source, scores[0, :, label])
            count = min(_BOXES_KEPT, len(best.scores))
            table[index, label, :count, 0] = best.scores[:count]
            table[index, label, :count, 1:] = best.boxes_xyxy[:count]
    return table


def _boxes(rows: NDArray[np.float32]) -> ClassBoxes:
    filled = rows[rows[:, 0] > 0]
    return ClassBoxes(boxes_xyxy=filled[:, 1:], scores=filled[:, 0])


def _kept(
    path: Path,
    pictures: Sequence[Picture],
    sizes_px: tuple[tuple[int, int], ...],
    compute: Callable[[], NDArray[np.float32]],
) -> NDArray[np.float32]:
    names = "\n".join([str(sizes_px), *(p.file for p in pictures)]).encode()
    key = f"{sha256_of(path)[:16]}-{hashlib.sha256(names).hexdigest()[:16]}"
    target = _FOLDER / f"{key}.npy"
    if target.is_file():
        return np.asarray(np.load(target), np.float32)
    table = compute()
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial.npy")
    np.save(partial, table)
    partial.replace(target)
    return table
