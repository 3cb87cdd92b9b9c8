"""Fits a classifier's calibration to one site, from pictures that an operator labelled there. Ring: domain.

Platt scaling, p = 1 / (1 + exp(−(scale · logit + bias))), pulled towards the calibration that was shipped: with few
labels the site barely moves it, with many the site decides. Whether it helped is measured on labels that the fit did
not see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# How firmly the shipped calibration holds, as the inverse variance of what sites were seen to differ by: the scale by
# about a half, the bias by about two. Firmer, and fifty labels cannot move it; softer, and ten make it swing.
SHIPPED_SCALE_PULL, SHIPPED_BIAS_PULL = 4.0, 0.25
# Fewer labels than this, or none of one class, say nothing that a fit could use.
LEAST_LABELS = 10
MOST_LABELS = 100_000
_BINS = 10
_FOLDS = 5
_LEAST_SCALE = 1e-3
_NEWTON_STEPS = 50
_CONVERGED = 1e-9


class TooFewLabelsError(ValueError):
    """There are not enough labels to fit from; the text says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Scale (above 0) and bias that turn one class's logit into its probability."""

    scale: float
    bias: float

    def probabilities(self, logits: NDArray[np.floating]) -> Floats:
        """Turn logits into probabilities, same shape, float64."""
        z = np.clip(self.scale * np.asarray(logits, np.float64) + self.bias, -60.0, 60.0)
        return np.asarray(1.0 / (1.0 + np.exp(-z)), np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledLogit:
    """What the model said of a picture for one class, before calibration, and whether the class was there."""

    logit: float
    is_present: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refit:
    """A site's calibration of one class, and the expected calibration error (0…1) with the shipped one and with it.

    `ece_after` is measured by cross-validation: each label is judged by a fit that did not see it.
    """

    calibration: Calibration
    labels: int
    positives: int
    ece_before: float
    ece_after: float

    @property
    def helps(self) -> bool:
        """Tell whether labels the fit did not see are described better than by the shipped calibration."""
        return self.ece_after < self.ece_before


def refit(labelled: Sequence[LabelledLogit], shipped: Calibration) -> Refit:
    """Fit one class's calibration to a site.

    Args:
        labelled: at least LEAST_LABELS, with and without the class, in any order; the logits of the file in use.
        shipped: the calibration that the model came with, or the site's last one.

    Raises:
        TooFewLabelsError: too few labels, or only one kind of them.
        ValueError: too many labels, or a logit that is not finite.
    """
    logits = np.array([item.logit for item in labelled], np.float64)
    labels = np.array([item.is_present for item in labelled], np.float64)
    _check(logits, labels)
    unseen = _cross_validated(logits, labels, shipped)
    before = shipped.probabilities(logits)
    return Refit(
        calibration=fit(logits, labels, towards=shipped),
        labels=len(labels),
        positives=int(labels.sum()),
        ece_before=expected_calibration_error(before, labels),
        ece_after=expected_calibration_error(unseen, labels),
    )


def fit(
    logits: NDArray[np.floating],
    labels: NDArray[np.floating],
    *,
    towards: Calibration,
    scale_pull: float = SHIPPED_SCALE_PULL,
    bias_pull: float = SHIPPED_BIAS_PULL,
) -> Calibration:
    """Fit scale and bias by Newton's method on the log loss (Platt 1999) with a quadratic pull.

    Args:
        logits: shape (N,).
        labels: shape (N,), 0 or 1.
        towards: where the fit stays without evidence.
        scale_pull: weight of the squared distance from its scale; 0 < pull, or perfectly separated classes have no
            finite scale.
        bias_pull: the same for the bias.
    """
    design = np.stack([np.asarray(logits, np.float64), np.ones(len(logits))], 1)
    start = np.array([towards.scale, towards.bias])
    pull = np.array([scale_pull, bias_pull])

    def cost(theta: Floats) -> float:
        z = design @ theta
        misfit = float((np.logaddexp(0.0, z) - labels * z).sum())
        return misfit + 0.5 * float((pull * (theta - start) ** 2).sum())

    theta = start
    for _ in range(_NEWTON_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ theta, -40, 40)))
        gradient = design.T @ (p - labels) + pull * (theta - start)
        curvature = (design * (p * (1 - p))[:, None]).T @ design + np.diag(pull)
        step = np.linalg.solve(curvature, gradient)
        # Far from the optimum the curvature is tiny and a whole step leaps over it.
        while cost(theta - step) > cost(theta) and np.abs(step).max() > _CONVERGED:
            step = step / 2
        theta = theta - step
        if np.abs(step).max() < _CONVERGED:
            break
    return Calibration(scale=max(_LEAST_SCALE, float(theta[0])), bias=float(theta[1]))


def expected_calibration_error(
    probabilities: NDArray[np.floating], labels: NDArray[np.floating], bins: int = _BINS
) -> float:
    """Compute the ECE over equally wide bins (Guo et al. 2017)."""
    index = np.minimum((probabilities * bins).astype(int), bins - 1)
    total = 0.0
    for b in range(bins):
        inside = index == b
        if inside.any():
            total += inside.mean() * abs(labels[inside].mean() - probabilities[inside].mean())
    return float(total)


def _check(logits: Floats, labels: Floats) -> None:
    if len(labels) > MOST_LABELS:
        raise ValueError(f"{len(labels)} labels are more than {MOST_LABELS}")
    if not np.isfinite(logits).all():
        raise ValueError("a logit is not finite")
    if len(labels) < LEAST_LABELS:
        raise TooFewLabelsError(f"{len(labels)} labels, at least {LEAST_LABELS} are needed")
    if labels.all() or not labels.any():
        raise TooFewLabelsError("all labels are the same; pictures with and without it are needed")


def _cross_validated(logits: Floats, labels: Floats, shipped: Calibration) -> Floats:
    """Give each label the probability of a fit that did not see it; every fold holds both classes where it can."""
    order = np.argsort(labels, kind="stable")
    fold = np.empty(len(labels), int)
    fold[order] = np.arange(len(labels)) % _FOLDS
    unseen = np.empty(len(labels))
    for index in range(_FOLDS):
        test = fold == index
        if test.any():
            fitted = fit(logits[~test], labels[~test], towards=shipped)
            unseen[test] = fitted.probabilities(logits[test])
    return unseen
