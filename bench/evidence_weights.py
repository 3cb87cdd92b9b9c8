"""`python -m bench.evidence_weights [--data DIR]`: how much the looks of edge and cloud weigh in `edge.event.evidence`.

Fits the weights to the models that are shipped: run it when either was replaced, and write what it prints into
`edge.event.evidence`. Every validation picture with a known label is looked at three times, swaying. Each weight is
fitted again without one source of pictures at a time; what is counted at each bar are pictures of the source left out.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.labels import DATA, list_labelled
from bench.origin import Stage, sway_still

Floats = NDArray[np.float64]
_LOOKS = 3
_RIDGE = 1.0  # on the weights: a source without negatives must not run away
_STEPS = 50
_MOST_ODDS = 7.0  # a thousand to one: a detector's 0 and 1 say no more
_BARS = (0.0, 0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """One row a look: (edge's score, log-odds of the cloud's best box, 1), truth, picture and source."""

    seen: Floats
    is_fire: NDArray[np.bool_]
    picture: NDArray[np.str_]
    source: NDArray[np.str_]


def look(stage: Stage, data: Path) -> Looks:
    """Show every picture to both models."""
    seen, is_fire, names = [], [], []
    for path, *label in list_labelled(data):
        if "1" not in label and label != ["0", "0"]:
            continue
        for moment in stage.read(path.name, sway_still(path, _LOOKS)).moments:
            answer = moment.ask() if moment.ask else None
            if answer is None:
                continue
            best = max((d.score for d in answer.detections), default=1.0 - answer.confidence)
            odds = np.log(max(best, 1e-6) / max(1.0 - best, 1e-6))
            seen.append((moment.classification.score, np.clip(odds, -_MOST_ODDS, _MOST_ODDS), 1.0))
            is_fire.append("1" in label)
            names.append(path.stem)
    return Looks(
        seen=np.array(seen),
        is_fire=np.array(is_fire),
        picture=np.array(names),
        source=np.array([name.rsplit("_", 1)[0] for name in names]),
    )


def fit(seen: Floats, is_fire: NDArray[np.bool_]) -> Floats:
    """Fit a logistic regression by Newton's method; gives the weight of each column."""
    weights = np.zeros(seen.shape[1])
    for _ in range(_STEPS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(seen @ weights, -40.0, 40.0)))
        slope = seen.T @ (chance - is_fire) + _RIDGE * weights
        bend = (seen * (chance * (1.0 - chance))[:, None]).T @ seen + _RIDGE * np.eye(len(weights))
        weights = weights - np.linalg.solve(bend, slope)
    return weights


def judge(looks: Looks) -> tuple[Floats, Floats]:
    """Fit without each source in turn; gives the weights, shape (sources, 3), and the odds of what was left out."""
    odds, weights = np.zeros(len(looks.seen)), []
    for source in np.unique(looks.source):
        is_out = looks.source == source
        weights.append(fit(looks.seen[~is_out], looks.is_fire[~is_out]))
        odds[is_out] = looks.seen[is_out] @ weights[-1]
    return np.array(weights), odds


def main() -> None:
    """Look, fit and tell."""
    parser = argparse.ArgumentParser(prog="python -m bench.evidence_weights", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of pictures and clips")
    data = parser.parse_args().data
    if not (data / "fire-smoke" / "manifest.csv").exists():
        sys.exit(f"{data}: has no fire-smoke/manifest.csv; name a folder with --data")
    stage = Stage()
    looks = look(stage, data)
    stage.close()
    weights, odds = judge(looks)
    names = ("_EDGE_WEIGHT", "_CLOUD_WEIGHT", "_BASE")
    for name, fitted, others in zip(names, fit(looks.seen, looks.is_fire), weights.T, strict=True):
        print(f"{name:14} {fitted:.2f}  without one source {min(others):.2f} to {max(others):.2f}")
    pictures, first = np.unique(looks.picture, return_index=True)
    middle = np.array([np.median(odds[looks.picture == picture]) for picture in pictures])
    burns = looks.is_fire[first]
    print(f"log-odds  of {burns.sum()} with fire or smoke  of {(~burns).sum()} without")
    for bar in _BARS:
        print(f"{bar:8.1f}{(middle[burns] >= bar).sum():25}{(middle[~burns] >= bar).sum():16}")


if __name__ == "__main__":
    main()
