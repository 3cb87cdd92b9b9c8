"""Say coarsely where in the picture the classifier saw something. Ring: domain (NumPy only).

The classifier's head is a 1×1 convolution over its feature map, so every frame also yields a map of cell logits.
Neighbouring cells that are likely form one box: coarse, a cell is a fifth to an eighth of the picture, but free.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.picture.letterbox import Letterbox
from shared.types import Box, Detection, Label

_BELOW_PEAK = 2.0  # cells within this many logits of the best one belong to it; larger boxes reach into smoke's edges
_LEAST_LOGIT = 0.0  # an even chance; below it only the best cell counts


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """How likely the classifier finds fire or smoke in each cell, for a person to look at.

    `cells`: shape (h, w), float32, 0…1. They cover `box`, in source pixels, which reaches beyond the picture where the
    canvas was padded.
    """

    cells: NDArray[np.float32]
    box: Box


def heat_map(cells: NDArray[np.float32], letterbox: Letterbox) -> HeatMap:
    """Turn the cell logits of all classes, shape (classes, h, w), float32, into one map."""
    worst = cells.max(axis=0)
    likely = 1.0 / (1.0 + np.exp(-np.clip(worst, -60.0, 60.0)))
    x1, y1 = -letterbox.left_px / letterbox.scale, -letterbox.top_px / letterbox.scale
    box = Box(
        x1=x1,
        y1=y1,
        x2=x1 + letterbox.canvas_width_px / letterbox.scale,
        y2=y1 + letterbox.canvas_height_px / letterbox.scale,
    )
    return HeatMap(cells=np.asarray(likely, dtype=np.float32), box=box)


def locate(cells: NDArray[np.float32], letterbox: Letterbox, label: Label) -> tuple[Detection, ...]:
    """Turn a map of cell logits into boxes.

    Args:
        cells: shape (h, w), float32, logits of one class over the canvas.
        letterbox: how the picture lay on the canvas.
        label: the class.

    Returns:
        boxes in source pixels, best first; at least one, around the best cell.
    """
    peak = float(cells.max())
    likely = cells >= min(peak, max(_LEAST_LOGIT, peak - _BELOW_PEAK))
    found = [_detection(group, cells, letterbox, label) for group in _groups(likely)]
    return tuple(sorted(found, key=lambda detection: -detection.score))


def _groups(likely: NDArray[np.bool_]) -> Iterator[list[tuple[int, int]]]:
    """Give groups of cells that touch, corners included."""
    left = {(int(row), int(column)) for row, column in np.argwhere(likely)}
    while left:
        group, edge = [], [left.pop()]
        while edge:
            row, column = edge.pop()
            group.append((row, column))
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            edge += near
        yield group


def _detection(
    group: list[tuple[int, int]], cells: NDArray[np.float32], letterbox: Letterbox, label: Label
) -> Detection:
    rows, columns = [row for row, _ in group], [column for _, column in group]
    high, wide = cells.shape
    tall_px, broad_px = letterbox.canvas_height_px / high, letterbox.canvas_width_px / wide
    canvas_box = np.array(
        [
            [
                min(columns) * broad_px,
                min(rows) * tall_px,
                (max(columns) + 1) * broad_px,
                (max(rows) + 1) * tall_px,
            ]
        ],
        np.float32,
    )
    x1, y1, x2, y2 = (float(v) for v in letterbox.to_source(canvas_box)[0])
    best = max(float(cells[cell]) for cell in group)
    score = 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, best))))
    return Detection(label=label, score=score, box=Box(x1=x1, y1=y1, x2=x2, y2=y2))
