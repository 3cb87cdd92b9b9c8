"""Pictures whose verdict by the tiny models is known."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.picture.imaging import encode_jpeg


def colour_bgr(
    *, red: int, blue: int, width_px: int = 320, height_px: int = 160
) -> NDArray[np.uint8]:
    """Fill a picture, shape (H, W, 3), uint8, BGR; green is the mean of the two."""
    picture = np.empty((height_px, width_px, 3), np.uint8)
    picture[:] = (blue, (red + blue) // 2, red)
    return picture


def fire_jpeg(**size: int) -> bytes:
    """Encode a picture that the tiny models are sure is a fire."""
    return encode_jpeg(colour_bgr(red=240, blue=20, **size))


def calm_jpeg(**size: int) -> bytes:
    """Encode a picture that the tiny models are sure is none."""
    return encode_jpeg(colour_bgr(red=90, blue=120, **size))


def unsure_jpeg(**size: int) -> bytes:
    """Encode a picture that the edge is unsure of (p ≈ 0.5)."""
    return encode_jpeg(colour_bgr(red=152, blue=88, **size))


def noise_bgr(width_px: int = 320, height_px: int = 160, seed: int = 0) -> NDArray[np.uint8]:
    """Fill a picture with noise, so that its file is long; shape (H, W, 3), uint8, BGR."""
    shape = (height_px, width_px, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(bgr_hwc_u8: NDArray[np.uint8]) -> bytes:
    """Encode a picture as PNG."""
    ok, encoded = cv2.imencode(".png", bgr_hwc_u8)
    if not ok:
        raise ValueError("OpenCV cannot write this")
    return encoded.tobytes()
