"""Towns and yards by night without a fire, graded from real pictures, as negatives of training. Ring: none.

Rows of lamps whose light burns out on the sensor, the walls and the wet ground that they light: after a low sun they
are what fire is most often taken for. The pack holds a few webcams by night; here the lamps stand in real places.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Picture = NDArray[np.float32]

# Lamps are drawn and spread at this long side and enlarged: their light has no detail.
_LIGHT_PX = 192
# BGR of 0…1: sodium, warm white, neutral white, mercury, neon red, neon blue; and how often each is seen.
_LAMPS = np.array(
    [
        (0.20, 0.60, 1.0),
        (0.50, 0.82, 1.0),
        (0.95, 0.98, 1.0),
        (1.0, 0.98, 0.75),
        (0.25, 0.15, 1.0),
        (1.0, 0.45, 0.2),
    ],
    np.float32,
)
_LAMP_SHARES = (0.38, 0.3, 0.14, 0.08, 0.05, 0.05)


def night(bgr: NDArray[np.uint8], rng: Rng) -> NDArray[np.uint8]:
    """Put a picture into the night and lamps into the picture.

    Args:
        bgr: shape (H, W, 3), uint8, **BGR**, without fire; not changed.
        rng: the only source of chance.

    Returns:
        a new picture of the same shape.
    """
    height, width = bgr.shape[:2]
    day = bgr.astype(np.float32) / np.float32(255.0)
    lamps = _lamps(height, width, rng)
    near = _spread(lamps, rng.uniform(0.5, 2.0), height, width)
    around = _spread(lamps, rng.uniform(4.0, 9.0), height, width)
    far = _spread(lamps, rng.uniform(14.0, 30.0), height, width)
    dark = day ** np.float32(rng.uniform(1.2, 2.2)) * _moonlight(rng)
    # What stands near a lamp is seen in its light; the lens adds a veil of its own.
    seen = day * (around * rng.uniform(0.8, 4.0) + far * rng.uniform(0.3, 2.5))
    veil = around * rng.uniform(0.05, 0.6) + far * rng.uniform(0.0, 0.15)
    burnt = near * rng.uniform(1.5, 6.0)
    exposed = (dark + seen + veil + burnt) * rng.uniform(0.7, 1.6)
    # A sensor that burns out loses the colour of the light, as the other channels catch up.
    spilt = np.clip(exposed.max(2, keepdims=True) - 1.0, 0.0, 2.0) * np.float32(
        rng.uniform(0.1, 0.5)
    )
    return np.asarray(np.clip((exposed + spilt) * 255.0, 0, 255), np.uint8)


def _moonlight(rng: Rng) -> Picture:
    tint = np.array([rng.uniform(0.8, 1.3), rng.uniform(0.8, 1.05), rng.uniform(0.6, 1.1)])
    return np.asarray(tint * rng.uniform(0.02, 0.3), np.float32)


def _lamps(height: int, width: int, rng: Rng) -> Picture:
    """Draw the lamps alone as discs on black, long side 192 px, 0…1."""
    scale = _LIGHT_PX / max(height, width)
    size = np.array([max(8, round(width * scale)), max(8, round(height * scale))])
    light = np.zeros((size[1], size[0], 3), np.float32)
    colour = _draw_colour(rng)
    for _ in range(int(rng.integers(1, 4))):
        if rng.random() < 0.4:
            colour = _draw_colour(rng)
        for place, radius_px in _row(size, rng) if rng.random() < 0.6 else _cluster(size, rng):
            shade = colour * rng.uniform(0.5, 1.0)
            centre = (round(float(place[0]) * 8), round(float(place[1]) * 8))
            cv2.circle(
                light, centre, max(4, round(radius_px * 8)), shade.tolist(), -1, cv2.LINE_AA, 3
            )
    return light


def _draw_colour(rng: Rng) -> Picture:
    return np.asarray(_LAMPS[int(rng.choice(len(_LAMPS), p=_LAMP_SHARES))], np.float32)


def _row(size: NDArray[np.int64], rng: Rng) -> list[tuple[NDArray[np.float64], float]]:
    """Place lamps along a street: from the far end on they stand wider apart and are larger."""
    far = size * (rng.uniform(0.1, 0.9), rng.uniform(0.3, 0.6))
    near = size * (rng.uniform(-0.2, 1.2), rng.uniform(0.1, 0.95))
    depth = np.geomspace(0.03, 1.0, int(rng.integers(4, 18)))
    largest = rng.uniform(0.8, 3.5)
    return [(far + (near - far) * t, max(0.4, largest * float(t))) for t in depth]


def _cluster(size: NDArray[np.int64], rng: Rng) -> list[tuple[NDArray[np.float64], float]]:
    """Place lamps, lit windows or signs of one size in some part of the picture."""
    middle, spread = size * rng.uniform(0.1, 0.9, 2), size * rng.uniform(0.05, 0.3, 2)
    radius_px = rng.uniform(0.4, 2.2)
    count = int(rng.integers(1, 16))
    return [(rng.normal(middle, spread), radius_px * rng.uniform(0.6, 1.4)) for _ in range(count)]


def _spread(light: Picture, sigma_px: float, height: int, width: int) -> Picture:
    """Spread the lamps' light over `sigma_px` of the small canvas; its brightest place is 1."""
    blurred = np.asarray(cv2.GaussianBlur(light, (0, 0), sigma_px), np.float32)
    blurred /= max(float(blurred.max()), 1e-6)
    return np.asarray(cv2.resize(blurred, (width, height)), np.float32)
