"""Train the classifier five times, each time without some sources, and score those: `python -m models.folds`.

A picture of a source that was trained on is easy; what a stranger's camera sees is not. Each of the first four folds
leaves out one source with fire together with one of negatives, the fifth three sources of fire; a short schedule from
the ImageNet weights. Resumes within and between folds. What is kept are scores, so that every measure of the card can
be computed again without training.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from models.artifact import PLANS, ArtifactPlan
from models.calibrate import onnx_logits
from models.data import (
    LABELS,
    Correction,
    Picture,
    correct,
    default_data_dir,
    default_weights_dir,
    load_pack,
    read_corrections,
)
from models.export import export_classifier
from models.metrics import auc
from models.networks import EdgeClassifier
from models.quantize import quantize
from models.train_classifier import ClassifierConfig, build_learner, fit, score_pictures
from models.training_run import RUNS_DIR, load_checkpoint, seed_everything

_SCORES = "scores.npz"
_FIRE = LABELS.index("fire")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """The sources that one training does not see, and whether it sees rendered fires."""

    name: str
    fire_sources: tuple[str, ...]
    negative_sources: tuple[str, ...] = ()
    with_rendered: bool = True

    @property
    def left_out(self) -> frozenset[str]:
        """All sources that are left out."""
        return frozenset(self.fire_sources + self.negative_sources)


# Each source of fire goes with look-alikes of its own kind of place: plumes with weather, plumes of dust with news
# pictures, rooms with candles and stoves, night squares with surveillance films.
FOLDS = (
    Fold(name="hotfire", fire_sources=("hotfire",), negative_sources=("weather",)),
    Fold(name="liuzifan", fire_sources=("liuzifan",), negative_sources=("weather2",)),
    Fold(name="fireaonru", fire_sources=("fireaonru",), negative_sources=("rooms",)),
    Fold(name="cctvfire", fire_sources=("cctvfire",), negative_sources=("nightcam",)),
    Fold(name="kagglefire", fire_sources=("kagglefire", "indoorfire", "limjongun")),
)
# The third fold again without rendered fires: what those do to real pictures of a source nobody saw.
UNRENDERED = replace(FOLDS[2], name="fireaonru-unrendered", with_rendered=False)
SCHEDULE = ClassifierConfig(epochs=6, pictures_per_epoch=3520, warm_up_steps=60, average_decay=0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldScores:
    """Logits (N, 2) per variant of the left-out pictures, and of the val pictures of the sources trained on."""

    held_files: tuple[str, ...]
    held_logits: dict[str, NDArray[np.float32]]
    known_files: tuple[str, ...]
    known_logits: dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldSplit:
    """The pictures of a fold: `seen` to train on, `held` of the left-out sources, `known` are val of the rest."""

    seen: tuple[Picture, ...]
    held: tuple[Picture, ...]
    known: tuple[Picture, ...]


def split(
    fold: Fold,
    train: Sequence[Picture],
    val: Sequence[Picture],
    corrections: Mapping[str, Correction],
) -> FoldSplit:
    """Take a fold's pictures apart; nothing of a left-out source is seen, nothing of val either.

    What is seen is corrected, what is judged by is as it was labelled.
    """
    out = fold.left_out
    right = (correct(p, corrections.get(p.file)) for p in train if p.source not in out)
    return FoldSplit(
        seen=tuple(p for p in right if p is not None),
        held=tuple(p for p in (*train, *val) if p.source in out),
        known=tuple(p for p in val if p.source not in out),
    )


def plan_of(fold: Fold) -> ArtifactPlan:
    """Give the plan whose stage holds a fold's files."""
    return replace(PLANS["classifier"], name=f"folds/{fold.name}")


def schedule_of(fold: Fold) -> ClassifierConfig:
    """Give how a fold is trained."""
    if fold.with_rendered:
        return SCHEDULE
    return replace(SCHEDULE, mix=replace(SCHEDULE.mix, rendered=0.0))


def run_fold(fold: Fold, parts: FoldSplit, *, weights: Path, data_sha256: str) -> None:
    """Train without the fold's sources, export, quantise, and keep the scores of both files."""
    plan = plan_of(fold)
    folder = RUNS_DIR / plan.name
    if has_run(fold):
        return
    schedule = schedule_of(fold)
    seed_everything(schedule.seed, 1)
    learner = build_learner(schedule, weights=weights)
    fit(
        learner,
        parts.seen,
        schedule,
        folder,
        data_sha256=data_sha256,
        measure=lambda model: _learnt(model, parts.held),
    )
    checkpoint = load_checkpoint(folder)
    if checkpoint is None:
        raise FileNotFoundError(f"no checkpoint below {folder}")
    export_classifier(plan, checkpoint)
    quantize(plan, parts.seen)
    _save(plan, folder / _SCORES, parts)


def _learnt(model: EdgeClassifier, held: Sequence[Picture]) -> dict[str, float]:
    """Rank the left-out fires after each epoch: would more of the same training help? Nothing is chosen by it."""
    judged = tuple(p for p in held if not np.isnan(p.truth.present[_FIRE]))
    logits = score_pictures(model, judged)[:, _FIRE]
    return {"auc_fire": auc(logits, np.array([p.truth.present[_FIRE] for p in judged]))}


def _save(plan: ArtifactPlan, target: Path, parts: FoldSplit) -> None:
    arrays: dict[str, NDArray[np.generic]] = {
        "held_files": np.array([p.file for p in parts.held]),
        "known_files": np.array([p.file for p in parts.known]),
    }
    for variant in plan.files:
        arrays[f"held_{variant}"] = onnx_logits(plan.variant(variant), parts.held)
        arrays[f"known_{variant}"] = onnx_logits(plan.variant(variant), parts.known)
    partial = target.with_suffix(".partial.npz")
    np.savez(partial, **arrays)  # type: ignore[arg-type]  # its stub knows no mapping of arrays
    partial.replace(target)


def has_run(fold: Fold) -> bool:
    """Tell whether a fold has run to its end."""
    return (RUNS_DIR / plan_of(fold).name / _SCORES).is_file()


def read_scores(fold: Fold) -> FoldScores:
    """Read what a fold has left.

    Raises:
        FileNotFoundError: the fold has not run to its end.
    """
    plan = plan_of(fold)
    path = RUNS_DIR / plan.name / _SCORES
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: run `make folds` first")
    with np.load(path) as kept:
        return FoldScores(
            held_files=tuple(kept["held_files"].tolist()),
            held_logits={v: kept[f"held_{v}"] for v in plan.files},
            known_files=tuple(kept["known_files"].tolist()),
            known_logits={v: kept[f"known_{v}"] for v in plan.files},
        )


def main() -> None:
    """Read the command line and run the folds that are not done yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=default_data_dir(), help="folder of the pack")
    parser.add_argument(
        "--weights", type=Path, default=default_weights_dir(), help="pretrained weights"
    )
    parser.add_argument(
        "--only", choices=[f.name for f in (*FOLDS, UNRENDERED)], help="run one fold"
    )
    given = parser.parse_args()
    train, val = load_pack(given.data, "train"), load_pack(given.data, "val")
    corrections = read_corrections()
    for fold in (*FOLDS, UNRENDERED):
        if given.only in (None, fold.name):
            click.echo(f"without {', '.join(sorted(fold.left_out))}")
            parts = split(fold, train.pictures, val.pictures, corrections)
            run_fold(fold, parts, weights=given.weights, data_sha256=train.sha256)


if __name__ == "__main__":
    main()
