"""What the folds tell: how the classifier does on sources that nobody trained or tuned on.

Calibration and thresholds of a fold come from the val pictures of the sources it was trained on; everything measured
here is measured on the sources it left out, as they were labelled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibrate import fit_platt
from models.data import LABELS, Picture
from models.folds import FOLDS, Fold, FoldScores, has_run, read_scores
from models.metrics import auc
from shared.model.recalibrate import (
    Calibration,
    TooFewLabelsError,
    expected_calibration_error,
    refit,
)
from shared.model.recalibrate import LabelledLogit as Labelled

Measures = dict[str, Any]
Floats = NDArray[np.float64]
# Fires that must be found at the threshold at which look-alikes are counted.
RECALL = 0.95
# What an operator labels in an hour, and how often a random choice of them is tried.
SITE_LABELS, SITE_DRAWS = 50, 20
_SEED = 3
_FIRE = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The left-out pictures of a fold with the logits (N, 2) and calibrated probabilities (N, 2) of one file.

    `truth` (N, 2) is NaN where not known; `threshold` is the probability of fire that finds RECALL of the known fires;
    `known_negatives` (M, 2) are the logits of the negatives of val that the fold's sources leave.
    """

    fold: Fold
    pictures: tuple[Picture, ...]
    truth: NDArray[np.float32]
    logits: NDArray[np.float32]
    probabilities: Floats
    calibrations: tuple[Calibration, ...]
    threshold: float
    known_negatives: NDArray[np.float32]

    def of(self, sources: Sequence[str]) -> NDArray[np.bool_]:
        """Mark the pictures of some sources."""
        return np.array([p.source in sources for p in self.pictures])


def truth_of(pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """Give the labels of pictures, shape (N, 2), NaN where not known."""
    return np.asarray([p.truth.present for p in pictures], np.float32).reshape(-1, len(LABELS))


def held_out(
    fold: Fold, scores: FoldScores, by_file: Mapping[str, Picture], variant: str
) -> HeldOut:
    """Calibrate a fold on what it knows and apply that to what it left out."""
    known = truth_of([by_file[f] for f in scores.known_files])
    tuning = scores.known_logits[variant]
    calibrations = tuple(
        fit_platt(tuning[~np.isnan(y), label], y[~np.isnan(y)]) for label, y in enumerate(known.T)
    )
    logits = scores.held_logits[variant]
    pictures = tuple(by_file[f] for f in scores.held_files)
    fires = known[:, _FIRE] == 1.0
    found = calibrations[_FIRE].probabilities(tuning[fires, _FIRE])
    return HeldOut(
        fold=fold,
        pictures=pictures,
        truth=truth_of(pictures),
        logits=logits,
        probabilities=np.stack(
            [c.probabilities(logits[:, label]) for label, c in enumerate(calibrations)], 1
        ),
        calibrations=calibrations,
        threshold=float(np.quantile(found, 1 - RECALL)),
        known_negatives=tuning[(known == 0.0).all(1)],
    )


def held_out_folds(by_file: Mapping[str, Picture], variant: str) -> list[HeldOut]:
    """Give the left-out pictures of each fold that has run, as one variant's file scores them.

    Raises:
        FileNotFoundError: no fold has run.
    """
    # With none, reading the first says what is to be run.
    done = [fold for fold in FOLDS if has_run(fold)] or FOLDS[:1]
    return [held_out(fold, read_scores(fold), by_file, variant) for fold in done]


def report(
    by_file: Mapping[str, Picture], right: Mapping[str, Picture], variants: Sequence[str]
) -> Measures:
    """Measure the folds that have run with every variant's file; the first variant is the one that is served.

    Args:
        by_file: the pictures as they were labelled.
        right: the same with the labels put right, by which the rankings are measured once more.
        variants: names of the files.

    Raises:
        FileNotFoundError: no fold has run.
    """
    per_variant = {v: held_out_folds(by_file, v) for v in variants}
    served = per_variant[variants[0]]
    sources = {s: row for held in served for s, row in source_rows(held).items()}
    measures: Measures = {
        "not_run": [fold.name for fold in FOLDS if not has_run(fold)],
        "sources": sources,
        "mean": _means(sources),
        "mean_auc": {v: _mean_auc(helds) for v, helds in per_variant.items()},
        "lookalikes": _lookalikes(served),
        "corrected": _corrected(held_out_folds(right, variants[0])),
    }
    return measures


def _corrected(helds: Sequence[HeldOut]) -> Measures:
    sources = {s: row for held in helds for s, row in source_rows(held).items()}
    return {"sources": sources, "mean": _means(sources), "lookalikes": _lookalikes(helds)}


def source_rows(held: HeldOut) -> dict[str, Measures]:
    """Measure each left-out source of fire with the negatives of its fold."""
    rows: dict[str, Measures] = {}
    for source in held.fold.fire_sources:
        chosen = held.of((source, *held.fold.negative_sources))
        if not (held.truth[chosen, _FIRE] == 0.0).any():
            continue  # a source of fires only has no ranking and no calibration of its own
        row: Measures = {"pictures": int(held.of((source,)).sum()), "fold": held.fold.name}
        for label, name in enumerate(LABELS):
            known = chosen & ~np.isnan(held.truth[:, label])
            labels = held.truth[known, label]
            if 0 < labels.sum() < len(labels):
                row[name] = _class_row(held, known, label)
                own = held.of((source,)) & ~np.isnan(held.truth[:, label])
                row[name]["auc_known_negatives"] = _auc_known(held, own, label)
        rows[source] = row
    return rows


def _class_row(held: HeldOut, known: NDArray[np.bool_], label: int) -> Measures:
    logits, labels = held.logits[known, label], held.truth[known, label]
    p = held.probabilities[known, label]
    shipped = held.calibrations[label]
    return {
        "auc": round(auc(logits, labels), 4),
        "ece": round(expected_calibration_error(p, labels), 4),
        "ece_after_labels": round(_ece_after_labels(logits, labels, shipped), 4),
        "found": round(float((p[labels == 1.0] >= 0.5).mean()), 4),
        "false": round(float((p[labels == 0.0] >= 0.5).mean()), 4),
    }


def _auc_known(held: HeldOut, own: NDArray[np.bool_], label: int) -> float:
    """Rank the source's pictures against the val negatives of the sources trained on: new fires, known look-alikes."""
    scores = np.concatenate([held.logits[own, label], held.known_negatives[:, label]])
    labels = np.concatenate([held.truth[own, label], np.zeros(len(held.known_negatives))])
    return round(auc(scores, labels), 4)


def _ece_after_labels(
    logits: NDArray[np.float32], labels: NDArray[np.float32], shipped: Calibration
) -> float:
    """Refit the calibration from random labels of the site and measure it on the site's other pictures."""
    rng = np.random.default_rng(_SEED)
    errors = []
    for _ in range(SITE_DRAWS):
        order = rng.permutation(len(labels))
        given, rest = order[:SITE_LABELS], order[SITE_LABELS:]
        items = [Labelled(logit=float(logits[i]), is_present=bool(labels[i])) for i in given]
        try:
            own = refit(items, shipped).calibration
        except TooFewLabelsError:  # fifty pictures of one kind: the site keeps what was shipped
            own = shipped
        errors.append(expected_calibration_error(own.probabilities(logits[rest]), labels[rest]))
    return float(np.mean(errors))


def _mean_auc(helds: Sequence[HeldOut]) -> dict[str, float]:
    rows = [row for held in helds for row in _source_aucs(held)]
    return {
        name: round(float(np.mean([row[name] for row in rows if name in row])), 4)
        for name in LABELS
    }


def _source_aucs(held: HeldOut) -> list[dict[str, float]]:
    rows = []
    for source in held.fold.fire_sources:
        chosen = held.of((source, *held.fold.negative_sources))
        row = {}
        for label, name in enumerate(LABELS):
            known = chosen & ~np.isnan(held.truth[:, label])
            value = auc(held.logits[known, label], held.truth[known, label])
            if not np.isnan(value):
                row[name] = value
        rows.append(row)
    return rows


def _means(sources: Mapping[str, Measures]) -> Measures:
    keys = ("auc", "auc_known_negatives", "ece", "ece_after_labels")
    return {
        name: {
            key: round(float(np.mean([r[name][key] for r in sources.values() if name in r])), 4)
            for key in keys
        }
        for name in LABELS
    }


def _lookalikes(helds: Sequence[HeldOut]) -> Measures:
    """Count left-out negatives called fire at each fold's own threshold, by tag and in all, and the fires it finds."""
    tags: dict[str, list[bool]] = {}
    called, found = [], []
    for held in helds:
        fire = held.probabilities[:, _FIRE] >= held.threshold
        negative = (held.truth == 0.0).all(1)
        called += fire[negative].tolist()
        found += fire[held.truth[:, _FIRE] == 1.0].tolist()
        for picture, said, is_negative in zip(held.pictures, fire, negative, strict=True):
            if is_negative:
                tags.setdefault(picture.tag or picture.kind, []).append(bool(said))
    return {
        "called_fire": share(called),
        "fires_found": share(found),
        "by_tag": {tag: share(said) for tag, said in sorted(tags.items())},
    }


def share(said: Sequence[bool]) -> dict[str, float]:
    """Give the share of true values and of how many."""
    mean = round(float(np.mean(said)), 4) if len(said) else float("nan")
    return {"share": mean, "of": len(said)}
