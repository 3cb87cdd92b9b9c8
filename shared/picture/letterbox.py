"""How a picture of any size is fitted on a network's canvas, and boxes back. Ring: domain (NumPy only)."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class InputContract:
    """What a model wants to be fed with; part of its manifest.

    `sizes_px` are (width, height) canvases, multiples of 32; `mean` and `std` are in units of 0…255, in the order
    of `colour`.
    """

    name: str
    sizes_px: tuple[tuple[int, int], ...]
    colour: Literal["RGB", "BGR"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pad_value: int = 114


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterbox:
    """Where a picture lies on its canvas: canvas = source · scale + (left, top).

    `inner_size_px` is (width, height) of the picture on the canvas.
    """

    canvas_width_px: int
    canvas_height_px: int
    source_width_px: int
    source_height_px: int
    scale: float
    left_px: int
    top_px: int
    inner_size_px: tuple[int, int]

    def to_source(self, boxes_xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map boxes from canvas pixels to source pixels, clipped to the source.

        Args:
            boxes_xyxy: shape (N, 4), float32, xyxy canvas pixels.

        Returns:
            a new array of the same shape, xyxy source pixels.
        """
        shift = np.array([self.left_px, self.top_px] * 2, np.float32)
        limit = np.array([self.source_width_px, self.source_height_px] * 2, np.float32)
        mapped = (boxes_xyxy - shift) / np.float32(self.scale)
        return np.asarray(np.clip(mapped, 0.0, limit), dtype=np.float32)

    def to_canvas(self, boxes_xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map boxes, shape (N, 4), float32, from source pixels to canvas pixels (for training labels)."""
        shift = np.array([self.left_px, self.top_px] * 2, np.float32)
        return np.asarray(boxes_xyxy * np.float32(self.scale) + shift, dtype=np.float32)


def canvas_size(contract: InputContract, width_px: int, height_px: int) -> tuple[int, int]:
    """Choose the canvas whose aspect is nearest to the picture's, by the ratio of the two.

    Returns:
        (width, height) in pixels, one of `contract.sizes_px`; the earlier one on a tie.
    """
    wanted = math.log(width_px / height_px)
    return min(contract.sizes_px, key=lambda size: abs(math.log(size[0] / size[1]) - wanted))


@functools.lru_cache(maxsize=256)  # cameras send one size for days
def letterbox_for(contract: InputContract, width_px: int, height_px: int) -> Letterbox:
    """Plan how a picture of this size (pixels, ≥ 1) is fitted, centred and with its aspect kept."""
    canvas_width, canvas_height = canvas_size(contract, width_px, height_px)
    scale = min(canvas_width / width_px, canvas_height / height_px)
    inner_width = max(1, min(canvas_width, round(width_px * scale)))
    inner_height = max(1, min(canvas_height, round(height_px * scale)))
    return Letterbox(
        canvas_width_px=canvas_width,
        canvas_height_px=canvas_height,
        source_width_px=width_px,
        source_height_px=height_px,
        scale=scale,
        left_px=(canvas_width - inner_width) // 2,
        top_px=(canvas_height - inner_height) // 2,
        inner_size_px=(inner_width, inner_height),
    )
