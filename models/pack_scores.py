"""What a model says of each picture of the pack, computed once and kept beside its runs.

Distillation, the hunt for wrong labels and the joint measures all read the same scores. What is kept is used again
only for the same model file and canvases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models import train_classifier, train_detector
from models.artifact import sha256_of
from models.calibrate import onnx_logits
from models.data import Picture
from models.onnx_model import OnnxModel
from models.training_run import RUNS_DIR
from shared.picture.preprocess import preprocess

_FOLDER = RUNS_DIR / "pack-scores"


def classifier_scores(path: Path, pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """Give the logits (N, 2) of a classifier file."""
    sizes = train_classifier.CONTRACT.sizes_px
    return _kept(path, pictures, sizes, lambda new: onnx_logits(path, new))


def detector_scores(path: Path, pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """Give the best box score (N, 2) of a detector file on each picture."""
    sizes = train_detector.CONTRACT.sizes_px
    return _kept(path, pictures, sizes, lambda new: _best_scores(path, new))


def _best_scores(path: Path, pictures: Sequence[Picture]) -> NDArray[np.float32]:
    model = OnnxModel(path)
    rows = [
        model.run(preprocess(p.decode(), train_detector.CONTRACT).tensor)[0][0].max(0)
        for p in tqdm(pictures, desc="detect", unit="picture", leave=False, mininterval=10)
    ]
    return np.asarray(rows, np.float32)


def _kept(
    path: Path,
    pictures: Sequence[Picture],
    sizes_px: tuple[tuple[int, int], ...],
    compute: Callable[[Sequence[Picture]], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Take from the kept table of a model file what it has, and compute and add the rest."""
    target = _FOLDER / f"{sha256_of(path)[:16]}-{'-'.join(f'{w}x{h}' for w, h in sizes_px)}.npz"
    known: dict[str, NDArray[np.float32]] = {}
    if target.is_file():
        with np.load(target) as kept:
            known = dict(zip(kept["files"].tolist(), kept["table"], strict=True))
    missing = [p for p in pictures if p.file not in known]
    if missing:
        known |= zip([p.file for p in missing], compute(missing), strict=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial.npz")
        np.savez(partial, files=np.array(list(known)), table=np.stack(list(known.values())))
        partial.replace(target)
    return np.stack([known[p.file] for p in pictures])
