"""Pictures that nobody took, as a source of training: fires over real places, small flames, yards. Ring: none.

The fires are those of `shared.rendered.composite`. Small flames (a lighter, a candle, the first minute of a fire) are
drawn here: the pack holds them in one collection only, so that what is known of them would be known of that collection.
"""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.rendered.composite import RenderedFrame, add_fire
from shared.rendered.scene import Scene, SceneSettings

Rng = np.random.Generator

# Scenes that training may render. Seed 0 is the one `sim:` shows by default: it is kept out, so that recognising it is
# a test and not a memory.
_SCENE_SEEDS = range(1, 49)
# A flame's height over the picture's: a candle across the room to a lighter before the lens.
_SMALL_FLAME_RATIO = (0.045, 0.25)


def render_over(background: NDArray[np.uint8], rng: Rng) -> RenderedFrame:
    """Draw a fire over a picture without one, shape (H, W, 3), uint8, BGR; a third of them small flames."""
    if rng.random() < 0.35:
        return small_flame(background, rng)
    with_flame = bool(rng.random() < 0.9)
    with_smoke = not with_flame or bool(rng.random() < 0.6)
    return add_fire(background, rng=rng, with_flame=with_flame, with_smoke=with_smoke)


def render_scene(rng: Rng, *, burning: bool) -> RenderedFrame:
    """Render a yard before its fire or with it."""
    scene = _scene(int(rng.choice(_SCENE_SEEDS)))
    return scene.render(float(rng.uniform(20.0, 60.0) if burning else rng.uniform(0.0, 7.9)))


@functools.lru_cache(maxsize=64)
def _scene(seed: int) -> Scene:
    return Scene(SceneSettings(width_px=512, height_px=288, seed=seed))


def small_flame(bgr: NDArray[np.uint8], rng: Rng) -> RenderedFrame:
    """Draw a calm, drop-shaped flame as of a candle, a lighter or a match into a picture (H, W, 3), uint8, BGR."""
    canvas = bgr.astype(np.float32)
    if rng.random() < 0.4:
        canvas *= rng.uniform(0.25, 0.8)
    height, width = bgr.shape[:2]
    flame_px = max(8.0, math.exp(rng.uniform(*np.log(_SMALL_FLAME_RATIO))) * height)
    foot = (float(rng.uniform(0.1, 0.9)) * width, float(rng.uniform(0.3, 0.95)) * height)
    box = _draw_flame(canvas, foot, flame_px, rng)
    return RenderedFrame(
        bgr_hwc_u8=np.asarray(np.clip(canvas, 0, 255), np.uint8), fire_xyxy=box, smoke_xyxy=None
    )


def _draw_flame(
    canvas: NDArray[np.float32], foot: tuple[float, float], height_px: float, rng: Rng
) -> tuple[float, float, float, float]:
    """Draw one flame into a canvas, in place; returns the box of what can be seen of it."""
    half_px = height_px * rng.uniform(0.13, 0.26)
    lean = rng.normal(0, 0.15)
    rows, cols = canvas.shape[:2]
    v = (foot[1] - np.arange(rows, dtype=np.float32)[:, None]) / height_px
    u = (np.arange(cols, dtype=np.float32)[None] - foot[0]) / half_px - lean * 3.0 * v**2
    # Widest at a third of its height, pointed at the tip, round at the foot.
    outline = np.sqrt(np.clip(v, 0, 1)) * np.clip(1.02 - v, 0, None) ** rng.uniform(0.7, 1.1) * 2.0
    depth = outline - np.abs(u)
    inside = (v > 0) & (v < 1)
    alpha = np.where(inside, np.clip(depth / rng.uniform(0.25, 0.6), 0, 1), 0)
    heat = np.clip(depth / np.maximum(outline, 0.05) + rng.uniform(0.0, 0.5), 0, 1.2)
    colour = _flame_colours(heat, v, blue=rng.uniform(0, 1) < 0.5)
    _glow_round(canvas, foot, height_px, strength=rng.uniform(10, 70))
    alpha = cv2.GaussianBlur(alpha, (0, 0), float(max(0.6, height_px * rng.uniform(0.01, 0.04))))
    alpha3 = alpha[..., None]
    canvas *= 1 - alpha3
    canvas += colour * alpha3
    seen_rows, seen_cols = np.nonzero(alpha > 0.35)
    if not len(seen_rows):
        return (foot[0] - half_px, foot[1] - height_px, foot[0] + half_px, foot[1])
    left, right = float(seen_cols.min()), float(seen_cols.max() + 1)
    return (left, float(seen_rows.min()), right, float(seen_rows.max() + 1))


def _flame_colours(
    heat: NDArray[np.float32], v: NDArray[np.float32], *, blue: bool
) -> NDArray[np.float32]:
    """Colour a flame from its rim inwards, orange, yellow, white; the foot of a gas flame is blue."""
    stops = np.array([0.0, 0.35, 0.7, 1.2], np.float32)
    ramp = np.array([(20, 90, 235), (60, 170, 255), (150, 230, 255), (245, 253, 255)], np.float32)
    colour = np.stack([np.interp(heat, stops, ramp[:, c]) for c in range(3)], -1)
    if blue:
        share = np.clip(1.0 - v / 0.3, 0, 1)[..., None] * 0.8
        colour = colour * (1 - share) + np.array([210, 110, 60], np.float32) * share
    return np.asarray(colour, np.float32)


def _glow_round(
    canvas: NDArray[np.float32], foot: tuple[float, float], height_px: float, *, strength: float
) -> None:
    rows = np.arange(canvas.shape[0], dtype=np.float32)[:, None] - (foot[1] - height_px / 2)
    cols = np.arange(canvas.shape[1], dtype=np.float32)[None] - foot[0]
    light = np.exp(-(rows**2 + cols**2) / (1.2 * height_px) ** 2)[..., None]
    canvas += light * strength * np.array([0.35, 0.75, 1.0], np.float32)
