"""Calibrate the classifier's files: `python -m models.calibrate`.

Platt scaling per class and per file (the int8 file has its own), fitted on the validation split, which training never
saw. How well that carries over to a source nobody calibrated on is measured by leaving out one source at a time.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from models.artifact import PLANS, ArtifactPlan, write_stage
from models.data import LABELS, Picture, default_data_dir, load_pack
from models.onnx_model import OnnxModel
from models.train_classifier import CONTRACT
from shared.model.recalibrate import Calibration, expected_calibration_error, fit
from shared.picture.preprocess import preprocess

# Pulls the scale towards 1 with the weight of a few pictures; without it a class that is separated perfectly has no
# finite scale.
_RIDGE, _BIAS_RIDGE = 1.0, 1e-6
_FOLDS = 5


def fit_platt(logits: NDArray[np.floating], labels: NDArray[np.floating]) -> Calibration:
    """Fit one class's calibration, with Platt's softened targets.

    Args:
        logits: shape (N,).
        labels: shape (N,), 0 or 1.
    """
    positives, negatives = float((labels > 0.5).sum()), float((labels <= 0.5).sum())
    targets = np.where(labels > 0.5, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    plain = Calibration(scale=1.0, bias=0.0)
    return fit(logits, targets, towards=plain, scale_pull=_RIDGE, bias_pull=_BIAS_RIDGE)


def onnx_logits(path: Path, pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """Score pictures with a file as served; shape (N, 2)."""
    model = OnnxModel(path)
    rows = [model.run(preprocess(p.decode(), CONTRACT).tensor)[0][0] for p in pictures]
    return np.asarray(rows, np.float32)


def held_out_probabilities(
    logits: NDArray[np.float32], truth: NDArray[np.float32], sources: NDArray[np.str_]
) -> NDArray[np.float64]:
    """Give each picture the probability of a calibration that never saw its source; NaN where the label is unknown."""
    order = sorted(set(sources.tolist()))
    fold_of = {source: index % _FOLDS for index, source in enumerate(order)}
    folds = np.array([fold_of[s] for s in sources])
    probabilities = np.full(truth.shape, np.nan)
    for label in range(truth.shape[1]):
        known = ~np.isnan(truth[:, label])
        for fold in range(_FOLDS):
            fit, test = known & (folds != fold), known & (folds == fold)
            platt = fit_platt(logits[fit, label], truth[fit, label])
            probabilities[test, label] = platt.probabilities(logits[test, label])
    return probabilities


def calibrate(
    plan: ArtifactPlan, pictures: tuple[Picture, ...]
) -> dict[str, dict[str, Calibration]]:
    """Fit both files and leave the result, with its held-out calibration error, for the next stage."""
    truth = np.asarray([p.truth.present for p in pictures], np.float32)
    sources = np.array([p.source for p in pictures])
    fitted: dict[str, dict[str, Calibration]] = {}
    errors: dict[str, dict[str, float]] = {}
    for variant in plan.files:
        logits = onnx_logits(plan.variant(variant), pictures)
        np.save(plan.stage / f"val_logits_{variant}.npy", logits)
        left_out = held_out_probabilities(logits, truth, sources)
        np.save(plan.stage / f"val_left_out_{variant}.npy", left_out)
        fitted[variant], errors[variant] = {}, {}
        for index, label in enumerate(LABELS):
            known = ~np.isnan(truth[:, index])
            fitted[variant][label] = fit_platt(logits[known, index], truth[known, index])
            error = expected_calibration_error(left_out[known, index], truth[known, index])
            errors[variant][label] = error
    content = {
        variant: {k: {"scale": p.scale, "bias": p.bias} for k, p in per_label.items()}
        for variant, per_label in fitted.items()
    }
    write_stage(plan, "calibration.json", {"platt": content, "ece_source_left_out": errors})
    return fitted


def main() -> None:
    """Read the command line and calibrate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=default_data_dir())
    arguments = parser.parse_args()
    plan = PLANS["classifier"]
    for variant, per_label in calibrate(plan, load_pack(arguments.data, "val").pictures).items():
        for label, platt in per_label.items():
            click.echo(f"{variant} {label}: scale {platt.scale:.3f}, bias {platt.bias:.3f}")


if __name__ == "__main__":
    main()
