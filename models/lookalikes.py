"""What fire and smoke are mistaken for, drawn into training pictures of every class. Ring: none (training only).

Low suns, evening light, lamps, head and tail lights, red and orange things and plain haze come in endless kinds, and
the pack holds few. They are drawn with the same chance whether or not a picture shows a fire, so that neither the thing
nor the drawing tells the classes apart: what is left to learn from is the texture and the shape of flame and smoke.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from models.data import Truth

Rng = np.random.Generator
Picture = NDArray[np.float32]

# BGR of 0…1: white, warm white, sodium, amber, orange, red.
_LIGHT_COLOURS = np.array(
    [
        (1.0, 1.0, 1.0),
        (0.75, 0.92, 1.0),
        (0.35, 0.75, 1.0),
        (0.15, 0.6, 1.0),
        (0.1, 0.4, 1.0),
        (0.1, 0.1, 1.0),
    ],
    np.float32,
)
_EVENING_COLOURS = np.array(
    [(0.35, 0.6, 1.0), (0.2, 0.45, 1.0), (0.3, 0.3, 0.95), (0.55, 0.4, 0.8)], np.float32
)
# The most that haze may cover where there is smoke to be seen, and elsewhere.
_HAZE_OVER_SMOKE, _HAZE = 0.25, 0.65
_TRIES = 6


def add_lookalike(bgr: NDArray[np.uint8], truth: Truth, rng: Rng) -> NDArray[np.uint8]:
    """Draw one kind of look-alike that leaves every label true.

    Args:
        bgr: shape (H, W, 3), uint8, **BGR**, not changed.
        truth: its labels; nothing is put over a box, and where a fire has no box only the light is changed.
        rng: the only source of chance.

    Returns:
        a new picture of the same shape.
    """
    blind = any(p != 0.0 and not k for p, k in zip(truth.present, truth.boxes_known, strict=True))
    kinds: tuple[Callable[[Picture, Truth, Rng], Picture], ...]
    kinds = (_evening, _haze) if blind else (_evening, _haze, _sun, _lights, _lights, _thing)
    drawn = kinds[int(rng.integers(len(kinds)))](bgr.astype(np.float32) / 255.0, truth, rng)
    return np.asarray(np.clip(drawn * 255.0, 0, 255), np.uint8)


def _evening(bgr: Picture, _truth: Truth, rng: Rng) -> Picture:
    """Colour the picture as a low sun does, more towards one edge."""
    height, width = bgr.shape[:2]
    colour = _EVENING_COLOURS[int(rng.integers(len(_EVENING_COLOURS)))]
    angle = rng.uniform(-0.6, 0.6)
    rows, cols = np.linspace(0, 1, height)[:, None], np.linspace(-0.5, 0.5, width)[None]
    share = np.clip(rows * np.cos(angle) + cols * np.sin(angle), 0, 1)
    if rng.random() < 0.5:
        share = 1 - share
    strength = (rng.uniform(0.15, 0.5) + rng.uniform(0.0, 0.4) * share)[..., None]
    luma = bgr.mean(2, keepdims=True)
    lit = luma * colour * rng.uniform(1.0, 1.5)
    return np.asarray(bgr * (1 - strength) + lit * strength, np.float32)


def _haze(bgr: Picture, truth: Truth, rng: Rng) -> Picture:
    """Cover the picture with smooth fog, thicker towards the top or the bottom; it has no edge and no texture."""
    height = bgr.shape[0]
    most = _HAZE if truth.present[1] == 0.0 else _HAZE_OVER_SMOKE
    top, bottom = rng.uniform(0.0, most, 2)
    alpha = np.linspace(top, bottom, height, dtype=np.float32)[:, None, None]
    white = rng.uniform(0.55, 0.95) * rng.uniform(0.95, 1.05, 3).astype(np.float32)
    return np.asarray(bgr * (1 - alpha) + white * alpha, np.float32)


def _sun(bgr: Picture, truth: Truth, rng: Rng) -> Picture:
    """Put a low sun into the evening: one large glow, mostly in the upper half."""
    height, width = bgr.shape[:2]
    place = _free_place(truth, width, height, rng, lowest=0.65)
    if place is None:
        return _evening(bgr, truth, rng)
    colour = _LIGHT_COLOURS[int(rng.integers(1, 5))]
    radius = rng.uniform(0.02, 0.09) * max(height, width)
    glow = _glow(bgr.shape[:2], place, radius, spread=rng.uniform(2.0, 5.0))
    return _screen(_evening(bgr, truth, rng), glow, colour, core=glow > 0.97)


def _lights(bgr: Picture, truth: Truth, rng: Rng) -> Picture:
    """Put lamps into the picture: alone, in pairs as on vehicles, some mirrored on a wet ground."""
    height, width = bgr.shape[:2]
    drawn = bgr * np.float32(rng.uniform(0.4, 1.0))
    is_wet, is_paired = rng.random() < 0.3, rng.random() < 0.4
    colour = _LIGHT_COLOURS[int(rng.integers(len(_LIGHT_COLOURS)))]
    for _ in range(int(rng.integers(1, 4))):
        place = _free_place(truth, width, height, rng, lowest=0.9)
        if place is None:
            continue
        radius = rng.uniform(0.006, 0.04) * max(height, width)
        gap = radius * rng.uniform(4.0, 9.0)
        for centre in (place, (place[0] + gap, place[1])) if is_paired else (place,):
            glow = _glow(bgr.shape[:2], centre, radius, spread=rng.uniform(1.2, 3.5))
            drawn = _screen(drawn, glow, colour, core=glow > 0.9)
            if is_wet:
                below = (centre[0], centre[1] + radius * rng.uniform(5.0, 10.0))
                streak = _glow(bgr.shape[:2], below, radius, spread=2.0, stretch=4.0)
                drawn = _screen(drawn, 0.6 * streak, colour, core=np.zeros_like(glow, bool))
    return drawn


def _thing(bgr: Picture, truth: Truth, rng: Rng) -> Picture:
    """Put a red, orange or yellow thing with a plain, shaded surface into the picture."""
    height, width = bgr.shape[:2]
    size = rng.uniform(0.05, 0.25, 2) * min(height, width)
    place = _free_place(truth, width, height, rng, lowest=0.9, margin_px=float(size.max()))
    if place is None:
        return _evening(bgr, truth, rng)
    mask = np.zeros((height, width), np.float32)
    centre = (int(place[0]), int(place[1]))
    if rng.random() < 0.5:
        axes = (max(2, int(size[0])), max(2, int(size[1])))
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
    else:
        box = (tuple(map(float, centre)), (2 * size[0], 2 * size[1]), float(rng.normal(0, 12)))
        cv2.fillPoly(mask, [cv2.boxPoints(box).astype(np.int32)], 1.0)
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.5, 1.5))), np.float32)
    colour = np.array([rng.uniform(0, 0.25), rng.uniform(0.05, 0.75), rng.uniform(0.7, 1.0)])
    above, below = rng.uniform(0.5, 1.1, 2)
    shade = np.linspace(above, below, height, dtype=np.float32)[:, None, None]
    # Some of what is below shows through as the thing's own texture.
    surface = colour * shade * (0.75 + 0.5 * bgr.mean(2, keepdims=True))
    return np.asarray(bgr * (1 - mask[..., None]) + surface * mask[..., None], np.float32)


def _free_place(
    truth: Truth, width: int, height: int, rng: Rng, *, lowest: float, margin_px: float = 4.0
) -> tuple[float, float] | None:
    """Draw a place outside of every box, at most `lowest` of the height down; None when none was found."""
    for _ in range(_TRIES):
        x, y = rng.uniform(0.05, 0.95) * width, rng.uniform(0.05, lowest) * height
        near = truth.boxes_xyxy + np.array([-1, -1, 1, 1], np.float32) * margin_px
        if not np.any((near[:, 0] < x) & (x < near[:, 2]) & (near[:, 1] < y) & (y < near[:, 3])):
            return float(x), float(y)
    return None


def _glow(
    shape: tuple[int, ...],
    centre: tuple[float, float],
    radius_px: float,
    *,
    spread: float,
    stretch: float = 1.0,
) -> NDArray[np.float32]:
    """Give a disc of 1 with a halo that falls off over `spread` radii, shape (H, W), 0…1."""
    rows = (np.arange(shape[0], dtype=np.float32)[:, None] - centre[1]) / stretch
    cols = np.arange(shape[1], dtype=np.float32)[None] - centre[0]
    outside = np.maximum(np.sqrt(rows**2 + cols**2) / max(radius_px, 1.0) - 1.0, 0.0)
    return np.asarray(np.exp(-outside / spread * 2.0), np.float32)


def _screen(
    bgr: Picture, glow: NDArray[np.float32], colour: NDArray[np.float32], *, core: NDArray[np.bool_]
) -> Picture:
    """Add light as a lens does; a core burns out to white whatever the lamp's colour."""
    light = glow[..., None] * colour
    lit = 1 - (1 - np.clip(bgr, 0, 1)) * (1 - np.clip(light, 0, 1))
    lit[core] = 0.3 * lit[core] + 0.7 * (0.5 + 0.5 * colour)
    return np.asarray(lit, np.float32)
