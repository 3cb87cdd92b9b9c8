"""The pair as one: what is gained by asking the detector about the frames that the classifier doubts most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]
SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class JointPoint:
    """At a forwarded share (0…1): the error among the frames the edge keeps, and the accuracy of the pair, both 0…1.

    `kept_error` is NaN when nothing is kept, `accuracy` where the detector's word is not known.
    """

    forwarded: float
    kept_error: float
    accuracy: float


def order_of_doubt(probabilities: Floats) -> NDArray[np.intp]:
    """Order frames, shape (N,), from the one whose probability is nearest to a half."""
    return np.argsort(np.abs(probabilities - 0.5), kind="stable")


def joint_curve(
    probabilities: Floats, is_fire: Bools, cloud_says: Bools | None = None
) -> list[JointPoint]:
    """Forward the most doubtful frames first; the cloud's word rules on those, as `edge.fuse` has it.

    Args:
        probabilities: of fire by the edge, shape (N,).
        is_fire: the truth, shape (N,).
        cloud_says: what the detector says of each frame, shape (N,), or None.
    """
    order = order_of_doubt(probabilities)
    wrong = ((probabilities >= 0.5) != is_fire)[order]
    cloud_wrong = None if cloud_says is None else (cloud_says != is_fire)[order]
    points = []
    for forwarded in SHARES:
        cut = round(forwarded * len(order))
        kept = wrong[cut:]
        accuracy = float("nan")
        if cloud_wrong is not None:
            accuracy = 1.0 - float(cloud_wrong[:cut].sum() + kept.sum()) / len(order)
        points.append(
            JointPoint(
                forwarded=forwarded,
                kept_error=float(kept.mean()) if len(kept) else float("nan"),
                accuracy=accuracy,
            )
        )
    return points
