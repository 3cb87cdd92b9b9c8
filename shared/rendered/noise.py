"""Soft noise that repeats without a seam, from which flames, smoke, clouds and dirt are made. Ring: domain (OpenCV)."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

_TILE_PX = 256


@functools.lru_cache(maxsize=1)
def _noise_tile() -> NDArray[np.float32]:
    """Make fractal noise, shape (256, 256), 0…1, that repeats without a seam."""
    rng = np.random.default_rng(20)
    total = np.zeros((_TILE_PX, _TILE_PX), np.float32)
    for octave, cells in enumerate((8, 16, 32, 64)):
        grid = rng.random((cells, cells), dtype=np.float32)
        around = np.pad(grid, 2, mode="wrap")
        scale = _TILE_PX // cells
        large = cv2.resize(around, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        total += (
            large[2 * scale : 2 * scale + _TILE_PX, 2 * scale : 2 * scale + _TILE_PX] * 0.55**octave
        )
    low, high = np.percentile(total, (1, 99))
    return np.asarray(np.clip((total - low) / (high - low), 0.0, 1.0), np.float32)


def sample_noise(
    u: NDArray[np.float32], v: NDArray[np.float32] | float, rows: int, cols: int
) -> NDArray[np.float32]:
    """Read the noise tile at u, v (in tiles, any real number), broadcast to (rows, cols)."""
    x = np.broadcast_to((u % 1.0) * _TILE_PX, (rows, cols)).astype(np.float32)
    y = np.broadcast_to((v % 1.0) * _TILE_PX, (rows, cols)).astype(np.float32)
    return np.asarray(
        cv2.remap(_noise_tile(), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32
    )
