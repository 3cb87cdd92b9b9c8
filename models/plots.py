"""The small pictures that stand in a card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from models.data import LABELS
from models.joint import JointPoint
from models.metrics import PictureBoxes, match

_COLOURS = ("tab:red", "tab:gray")


def draw_reliability(
    probabilities: NDArray[np.float64], truth: NDArray[np.float32], target: Path
) -> None:
    """Draw how often a class was there, over the probability that was given; both (N, 2), NaN where not known."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(3.6, 3.4), dpi=90)
    axis.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
    for index, (name, colour) in enumerate(zip(LABELS, _COLOURS, strict=True)):
        known = ~np.isnan(truth[:, index])
        p, y = probabilities[known, index], truth[known, index]
        bins = np.minimum((p * 10).astype(int), 9)
        filled = [b for b in range(10) if (bins == b).sum() >= 5]
        axis.plot(
            [p[bins == b].mean() for b in filled],
            [y[bins == b].mean() for b in filled],
            marker="o",
            markersize=3,
            color=colour,
            label=name,
        )
    axis.set_xlabel("probability given (sources left out)", fontsize=8)
    axis.set_ylabel("share that was there", fontsize=8)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(target)
    plt.close(figure)


def draw_precision_recall(classes: Sequence[Sequence[PictureBoxes]], target: Path) -> None:
    """Draw precision over recall at IoU 0.5, one line a class."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(3.6, 3.4), dpi=90)
    for pictures, name, colour in zip(classes, LABELS, _COLOURS, strict=True):
        scores, hits = match(pictures, 0.5)
        order = np.argsort(-scores, kind="stable")
        found = np.cumsum(hits[order])
        total = sum(len(p.truth_xyxy) for p in pictures)
        axis.plot(found / total, found / np.arange(1, len(order) + 1), color=colour, label=name)
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_xlabel("recall", fontsize=8)
    axis.set_ylabel("precision", fontsize=8)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(target)
    plt.close(figure)


def draw_joint(risk: Sequence[JointPoint], joint: Sequence[JointPoint], target: Path) -> None:
    """Draw the error among the frames that are kept, and the pair's accuracy, over the share that is forwarded."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.2), dpi=90)
    kept = [p for p in risk if not np.isnan(p.kept_error)]
    left.plot([p.forwarded for p in kept], [p.kept_error for p in kept], marker="o", markersize=3)
    left.set_ylabel("error among what the edge keeps", fontsize=8)
    right.plot([p.forwarded for p in joint], [p.accuracy for p in joint], marker="o", markersize=3)
    for point, name in ((joint[0], "edge alone"), (joint[-1], "cloud alone")):
        right.axhline(point.accuracy, color="black", linewidth=0.8, linestyle=":")
        right.annotate(name, (0.55, point.accuracy), fontsize=7)
    right.set_ylabel("accuracy of the pair", fontsize=8)
    for axis in (left, right):
        axis.set_xlabel("share forwarded, most doubtful first", fontsize=8)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(target)
    plt.close(figure)
