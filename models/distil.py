"""Teach the shipped classifier what the detector sees: `python -m models.distil`.

The detector looks at every training picture at a higher resolution; its best score a class, calibrated, is mixed into
the labels, and stands in for them where nobody labelled smoke. The negatives that the classifier still takes for fire
or smoke are drawn more often. A few epochs at a small rate, from the weights of an earlier classifier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.artifact import PLANS, shipped
from models.calibrate import fit_platt
from models.data import LABELS, Picture, load_pack
from models.pack_scores import classifier_scores, detector_scores
from models.teacher import Teacher, mined_negatives
from models.train_classifier import ClassifierConfig, build_learner, fit, validate
from models.training_run import RunArguments, load_run_pictures, read_run_arguments, seed_everything

# A label that was drawn by a person counts more than a score: the detector alone ranks whole pictures worse than the
# classifier does (see the card), but it is wrong elsewhere.
TEACHER_WEIGHT = 0.25
MINED_NEGATIVES = 300
RECIPE = ClassifierConfig(
    epochs=6, pictures_per_epoch=5600, trunk_rate=1.5e-4, head_rate=6e-4, warm_up_steps=60
)
Said = Mapping[str, tuple[float, float]]


def teacher_words(detector: Path, train: Sequence[Picture], tuned_on: Sequence[Picture]) -> Said:
    """Give the detector's calibrated probability of fire and smoke on each training picture."""
    tuning, scores = (_logits(detector_scores(detector, part)) for part in (tuned_on, train))
    return _calibrated(tuning, tuned_on, scores, train)


def student_words(classifier: Path, train: Sequence[Picture], tuned_on: Sequence[Picture]) -> Said:
    """Give the classifier's own, to see where it is wrong."""
    tuning, scores = (classifier_scores(classifier, part) for part in (tuned_on, train))
    return _calibrated(tuning, tuned_on, scores, train)


def _logits(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    clipped = np.clip(scores, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float32)


def _calibrated(
    tuning: NDArray[np.float32],
    tuned_on: Sequence[Picture],
    logits: NDArray[np.float32],
    pictures: Sequence[Picture],
) -> Said:
    truth = np.asarray([p.truth.present for p in tuned_on], np.float32)
    columns = []
    for label in range(len(LABELS)):
        known = ~np.isnan(truth[:, label])
        platt = fit_platt(tuning[known, label], truth[known, label])
        columns.append(platt.probabilities(logits[:, label]))
    fire, smoke = columns
    return {p.file: (float(f), float(s)) for p, f, s in zip(pictures, fire, smoke, strict=True)}


def distil(config: ClassifierConfig, run: RunArguments) -> None:
    """Train on softened labels, measuring val after every epoch."""
    seed_everything(config.seed, run.threads)
    pictures = load_run_pictures(run)
    classifier, detector = PLANS["classifier"], PLANS["detector"]
    student = run.start_from or shipped(classifier) / classifier.files["fp32"]
    tuned_on = load_pack(run.data, "val", skip_unreadable=run.skip_unreadable).pictures
    said = teacher_words(shipped(detector) / detector.files["fp32"], pictures.seen, tuned_on)
    believed = student_words(
        shipped(classifier) / classifier.files["int8"], pictures.seen, tuned_on
    )
    mined = mined_negatives(pictures.seen, believed, most=MINED_NEGATIVES)
    learner = build_learner(config, weights=run.weights, start_from=student)
    fit(
        learner,
        (*pictures.seen, *mined),
        config,
        run.folder,
        data_sha256=pictures.data_sha256,
        measure=lambda model: validate(model, pictures.judged_by),
        teacher=Teacher(probabilities=said, weight=TEACHER_WEIGHT),
    )


def main() -> None:
    """Read the command line and distil; the run takes the place of the classifier's."""
    run = read_run_arguments(
        str(__doc__),
        run="edge-classifier",
        epochs=RECIPE.epochs,
        pictures=RECIPE.pictures_per_epoch,
    )
    chosen = replace(RECIPE, seed=run.seed, epochs=run.epochs, pictures_per_epoch=run.pictures)
    distil(chosen, run)


if __name__ == "__main__":
    main()
