"""Skies and evenings without a fire, drawn or graded from real pictures, as negatives of training. Ring: none.

A low sun is what fire is most often taken for. The pack's sunsets are one collection, so that what is learnt of them is
learnt of that collection; here a sunset's light is put on drawn clouds and on real places: a burnt-out core, a ramp of
colour round it, dark land and its mirror in water.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Picture = NDArray[np.float32]

_SKY_PX = (384, 288)
# BGR: dusk, sunset, storm, fair; the sky at the top, at the horizon, and the cloud's lit and dark side.
_SKIES = np.array(
    [
        ((90, 50, 40), (60, 120, 250), (80, 130, 255), (60, 40, 60)),
        ((140, 90, 120), (90, 170, 255), (120, 160, 255), (90, 60, 110)),
        ((30, 30, 120), (20, 90, 255), (30, 110, 255), (20, 20, 70)),
        ((95, 85, 80), (170, 165, 160), (190, 190, 190), (60, 58, 56)),
        ((190, 120, 50), (235, 215, 180), (250, 250, 250), (170, 160, 155)),
        ((60, 40, 30), (110, 90, 80), (120, 110, 105), (30, 26, 24)),
    ],
    np.float32,
)
# BGR of 0…1 from the shade to the core of a low sun: golden, red, with a blue sky above, magenta, pale.
_RAMP_STOPS = (0.0, 0.25, 0.5, 0.72, 0.9, 1.0)
_RAMPS = np.array(
    [
        ((0, 2, 8), (5, 35, 90), (10, 95, 205), (40, 165, 250), (120, 225, 255), (225, 250, 255)),
        ((0, 0, 12), (5, 10, 95), (10, 40, 190), (15, 90, 245), (60, 190, 255), (200, 245, 255)),
        (
            (40, 22, 12),
            (120, 75, 50),
            (95, 110, 150),
            (70, 150, 240),
            (130, 220, 255),
            (240, 252, 255),
        ),
        (
            (30, 8, 20),
            (85, 30, 75),
            (110, 50, 190),
            (70, 110, 250),
            (110, 195, 255),
            (215, 240, 255),
        ),
        (
            (20, 25, 28),
            (70, 90, 105),
            (110, 150, 175),
            (150, 195, 225),
            (190, 230, 250),
            (250, 254, 255),
        ),
    ],
    np.float32,
) / np.float32(255.0)


def sky(rng: Rng) -> NDArray[np.uint8]:
    """Render a sky without fire or smoke: fractal cloud in the light of some hour, often a sun, a dark land below.

    Returns:
        shape (288, 384, 3), uint8, BGR.
    """
    width, height = _SKY_PX
    top, horizon, lit, dark = _SKIES[int(rng.integers(len(_SKIES)))] * rng.uniform(0.75, 1.15)
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    line = float(rng.uniform(0.55, 1.1))
    picture = top + (horizon - top) * np.clip(rows / line, 0, 1) ** rng.uniform(0.6, 2.0)
    cloud = fractal(rng, width, height, stretch=rng.uniform(1.0, 4.0))
    cover = np.clip((cloud - rng.uniform(0.25, 0.6)) * rng.uniform(2.0, 6.0), 0, 1)[..., None]
    relief = np.clip(cloud - np.roll(cloud, 5, axis=0), -0.15, 0.15)[..., None] / 0.3 + 0.5
    picture = picture * (1 - cover) + (dark + (lit - dark) * relief) * cover
    if rng.random() < 0.6:
        sun = (float(rng.uniform(0.1, 0.9)) * width, float(rng.uniform(0.3, line)) * height)
        _put_sun(picture, sun, radius_px=float(rng.uniform(4, 22)), rng=rng)
    _put_land(picture, line, rng)
    drawn = np.asarray(np.clip(picture, 0, 255), np.uint8)
    return sunset(drawn, rng) if rng.random() < 0.5 else drawn


def sunset(bgr: NDArray[np.uint8], rng: Rng) -> NDArray[np.uint8]:
    """Put a picture into the light of a sun near the horizon.

    Args:
        bgr: shape (H, W, 3), uint8, **BGR**, without fire; not changed.
        rng: the only source of chance.

    Returns:
        a new picture of the same shape.
    """
    height, width = bgr.shape[:2]
    picture = bgr.astype(np.float32) / np.float32(255.0)
    horizon = float(rng.uniform(0.45, 0.95))
    sun = (float(rng.uniform(0.05, 0.95)), horizon - float(rng.uniform(-0.03, 0.3)))
    light = _light(height, width, sun, rng)
    luma = picture.mean(2) ** float(rng.uniform(0.8, 1.6))
    warmth = np.clip(
        rng.uniform(0.35, 0.8) * luma + rng.uniform(0.45, 1.0) * light - rng.uniform(0.0, 0.15),
        0,
        1,
    )
    ramp = _RAMPS[int(rng.integers(len(_RAMPS)))]
    burnt = np.stack([np.interp(warmth, _RAMP_STOPS, ramp[:, c]) for c in range(3)], -1)
    share = np.float32(rng.uniform(0.6, 1.0))
    lit = np.asarray(picture * (1 - share) + burnt * share, np.float32)
    draw = rng.random()
    if draw < 0.35:
        _mirror_in_water(lit, sun, int(horizon * height), rng)
    elif draw < 0.8:
        _darken_land(lit, int(horizon * height), rng)
    if rng.random() < 0.4:
        _stand_before(lit, rng)
    return np.asarray(np.clip(lit * 255.0, 0, 255), np.uint8)


def _light(height: int, width: int, sun: tuple[float, float], rng: Rng) -> NDArray[np.float32]:
    """Give the light of a low sun, shape (H, W), 0…1: a core, and a glow that is wider than high, some with rays."""
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None] - sun[1]
    cols = (np.linspace(0, 1, width, dtype=np.float32)[None] - sun[0]) * width / height
    far = np.sqrt((cols / rng.uniform(1.0, 3.5)) ** 2 + rows**2)
    glow = np.exp(-far / rng.uniform(0.12, 0.5))
    if rng.random() < 0.3:
        angle = np.arctan2(rows, cols)
        rays = np.sin(angle * int(rng.integers(7, 25)) + rng.uniform(0, 6)) * 0.5 + 0.5
        glow = glow * (1 - 0.35 * rays * np.clip(far * 4, 0, 1))
    if rng.random() < 0.75:
        near = np.sqrt(cols**2 + rows**2) / rng.uniform(0.02, 0.12)
        glow = np.maximum(glow, np.exp(-np.maximum(near - 1, 0) * rng.uniform(0.8, 4.0)))
    return np.asarray(glow, np.float32)


def _mirror_in_water(picture: Picture, sun: tuple[float, float], start: int, rng: Rng) -> None:
    """Turn what is below the horizon into water, in place: the sky upside down, and the sun's broken path."""
    height, width = picture.shape[:2]
    rows = min(height - start, start)
    if rows < 8:
        return
    water = picture[start : start + rows]
    noise = rng.random((rows, max(2, width // 24)), np.float32)
    ripple = cv2.resize(noise, (width, rows), interpolation=cv2.INTER_CUBIC)[..., None]
    mirrored = picture[start - rows : start][::-1] * (0.35 + 0.5 * ripple)
    water[:] = 0.3 * water * rng.uniform(0.3, 1.0) + 0.7 * mirrored
    cols = np.abs(np.linspace(0, 1, width, dtype=np.float32)[None] - sun[0])
    path_width = np.linspace(0.02, rng.uniform(0.03, 0.12), rows, dtype=np.float32)[:, None]
    path = np.exp(-((cols / path_width) ** 2))[..., None] * np.clip(2.2 * ripple - 0.7, 0, 1)
    glitter = np.array([rng.uniform(0.3, 0.9), rng.uniform(0.6, 0.97), 1.0], np.float32)
    water += (glitter - water) * path * np.float32(rng.uniform(0.4, 1.0))


def _darken_land(picture: Picture, start: int, rng: Rng) -> None:
    """Turn what is below an uneven line into a silhouette, in place."""
    height, width = picture.shape[:2]
    ridge = cv2.resize(
        rng.random((1, int(rng.integers(2, 60))), np.float32),
        (width, 1),
        interpolation=cv2.INTER_CUBIC,
    )[0]
    edge = start - ridge * rng.uniform(0.0, 0.15) * height
    below = np.arange(height, dtype=np.float32)[:, None] > edge[None]
    picture[below] *= np.float32(rng.uniform(0.03, 0.4))


def _stand_before(picture: Picture, rng: Rng) -> None:
    """Put dark twigs, leaves or roofs before the light, in place."""
    height, width = picture.shape[:2]
    leaves = fractal(rng, width, height, stretch=rng.uniform(0.5, 2.0))
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    cols = np.linspace(0, 1, width, dtype=np.float32)[None]
    # Denser towards the ground or towards one side.
    dense = rows if rng.random() < 0.6 else (cols if rng.random() < 0.5 else 1 - cols)
    alpha = np.clip((leaves + dense - rng.uniform(1.1, 1.45)) * rng.uniform(15.0, 60.0), 0, 1)
    picture *= (1 - alpha * np.float32(rng.uniform(0.8, 1.0)))[..., None]


def fractal(rng: Rng, width: int, height: int, *, stretch: float) -> NDArray[np.float32]:
    """Sum noise of halving grain, shape (height, width), 0…1."""
    field = np.zeros((height, width), np.float32)
    for octave in range(1, 7):
        cells = 2**octave
        size = (max(2, int(cells * 1.3)), max(2, int(cells * stretch)))
        noise = rng.random(size[::-1], np.float32)
        field += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) / cells**0.9
    spread = float(field.max() - field.min())
    return np.asarray((field - field.min()) / max(spread, 1e-6), np.float32)


def _put_sun(picture: Picture, centre: tuple[float, float], *, radius_px: float, rng: Rng) -> None:
    rows = np.arange(picture.shape[0], dtype=np.float32)[:, None] - centre[1]
    cols = np.arange(picture.shape[1], dtype=np.float32)[None] - centre[0]
    outside = np.maximum(np.sqrt(rows**2 + cols**2) / radius_px - 1.0, 0.0)
    light = np.exp(-outside / rng.uniform(0.6, 4.0))[..., None]
    colour = np.array([rng.uniform(60, 240), rng.uniform(180, 250), 255], np.float32)
    picture += (colour - picture) * np.clip(light, 0, 1) * rng.uniform(0.6, 1.0)


def _put_land(picture: Picture, line: float, rng: Rng) -> None:
    """Put a dark ridge below the horizon, or water that mirrors the sky."""
    height, width = picture.shape[:2]
    start = int(line * height)
    if start >= height - 8:
        return
    if rng.random() < 0.4:
        mirrored = picture[max(0, 2 * start - height) : start][::-1]
        ripple = 0.6 + 0.3 * rng.random((len(mirrored), 1, 1), np.float32)
        picture[start : start + len(mirrored)] = mirrored * ripple
        return
    ridge = cv2.resize(
        rng.random((1, int(rng.integers(3, 40))), np.float32),
        (width, 1),
        interpolation=cv2.INTER_CUBIC,
    )[0]
    edge = start - ridge * rng.uniform(4, 40)
    below = np.arange(height, dtype=np.float32)[:, None] > edge[None]
    picture[below] *= rng.uniform(0.05, 0.35)
