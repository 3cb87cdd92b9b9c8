"""Fire drawn over a picture: flame, smoke and the light they throw. Ring: domain (OpenCV arithmetic).

The same flame burns in the `sim:` camera's yard, in real pictures of the training set and, as a test flame, in a live
picture. Everything is a function of its seed and of the time.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.rendered.layers import Layer, flame_layer, smoke_layer
from shared.rendered.look import FireLook, FirePlace, draw_look, draw_place

# A flame is seen from this heat on and hides what is behind it when it is so much hotter.
_SEEN_HEAT = 0.10
_SOLID_AFTER = 0.34
# A pixel counts as fire or smoke, for the boxes, from this opacity on (0.35 and 0.22): about where a person would draw
# the line.
_FIRE_BOX_HEAT = _SEEN_HEAT + 0.35 * _SOLID_AFTER
_SMOKE_BOX_ALPHA = 0.22
# Heat 0…1 → BGR, a blackbody ramp as a camera with limited range shows it: red edge, orange body, pale core.
_PALETTE_HEAT = (0.0, 0.18, 0.38, 0.60, 0.82, 1.0)
_PALETTE_BGR = (
    (5, 8, 60),
    (8, 25, 150),
    (15, 85, 230),
    (45, 165, 255),
    (140, 228, 255),
    (232, 250, 255),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFrame:
    """A picture, shape (H, W, 3), uint8, BGR, and the truth about it: boxes in its pixels, None where there is none."""

    bgr_hwc_u8: NDArray[np.uint8]
    fire_xyxy: tuple[float, float, float, float] | None
    smoke_xyxy: tuple[float, float, float, float] | None


def add_fire(
    bgr: NDArray[np.uint8],
    *,
    rng: np.random.Generator,
    size_ratio: float | None = None,
    place: FirePlace | None = None,
    with_flame: bool = True,
    with_smoke: bool = True,
) -> RenderedFrame:
    """Draw a fire into any picture.

    Args:
        bgr: shape (H, W, 3), uint8, **BGR**, not changed.
        rng: decides the look, the moment and, where not given, the place.
        size_ratio: area of the flame's box over the picture's, 0.003…0.5; None draws one between 0.005 and 0.3.
        place: where; None draws one in the lower two thirds.
        with_flame: False leaves smoke alone.
        with_smoke: False leaves flame alone.

    Returns:
        a new picture with the boxes of what can be seen of flame and smoke.
    """
    look = draw_look(rng)
    ratio = (
        size_ratio
        if size_ratio is not None
        else math.exp(rng.uniform(math.log(0.005), math.log(0.3)))
    )
    chosen = place or draw_place(bgr, rng, look, ratio)
    if not with_flame:
        chosen = replace(chosen, flame_height_px=0.0)
    if not with_smoke:
        chosen = replace(chosen, smoke_height_px=0.0)
    return composite_fire(bgr, look=look, place=chosen, t_s=float(rng.uniform(0, 60)))


def composite_fire(
    bgr: NDArray[np.uint8], *, look: FireLook, place: FirePlace, t_s: float
) -> RenderedFrame:
    """Draw a fire of a given look at a given place and moment.

    Args:
        bgr: shape (H, W, 3), uint8, BGR, not changed.
        look: stays the same over the time of one fire.
        place: where, in pixels of `bgr`.
        t_s: seconds; the flame rises, flickers and the smoke drifts with it.

    Returns:
        a new picture and the boxes of what can be seen.
    """
    canvas = bgr.copy()
    clock_s = look.phase_s + t_s * look.flicker_per_s
    fire_xyxy = smoke_xyxy = None
    burns = place.flame_height_px >= 2.0
    if burns:
        _light_up(canvas, look, place, clock_s)
    if place.smoke_height_px >= 4.0:
        smoke = smoke_layer(look, place, clock_s)
        _blend_smoke(canvas, smoke, look, place)
        smoke_xyxy = smoke.box(canvas, threshold=_SMOKE_BOX_ALPHA)
    if burns:
        heat = flame_layer(look, place, clock_s)
        _blend_flame(canvas, heat, look)
        fire_xyxy = heat.box(canvas, threshold=_FIRE_BOX_HEAT)
    return RenderedFrame(bgr_hwc_u8=canvas, fire_xyxy=fire_xyxy, smoke_xyxy=smoke_xyxy)


def _blend_smoke(canvas: NDArray[np.uint8], smoke: Layer, look: FireLook, place: FirePlace) -> None:
    """Blend the plume over the canvas, in place; it is darker at the picture's night and lit from the fire below."""
    cut = smoke.cut(canvas)
    if cut is None:
        return
    alpha, view = cut
    # Smoke is as bright as the light that falls on it, and that is the brightness of the picture it is in.
    daylight = min(1.0, 0.25 + float(view.mean()) / 110.0)
    shade = (
        np.array([look.smoke_shade, look.smoke_shade * 0.99, look.smoke_shade * 0.97], np.float32)
        * daylight
    )
    colour = np.broadcast_to(shade, (alpha.shape[0], 1, 3)).copy()
    if place.flame_height_px > 0:
        rows = np.arange(alpha.shape[0], dtype=np.float32) + max(smoke.top_px, 0)
        near = np.exp(
            -np.abs(place.y_px - place.flame_height_px * 0.8 - rows) / (place.flame_height_px * 0.8)
        )
        colour += near[:, None, None] * look.glow * np.array([8, 45, 95], np.float32)
    _mix(view, np.broadcast_to(colour, (*alpha.shape, 3)), alpha)


def _blend_flame(canvas: NDArray[np.uint8], heat: Layer, look: FireLook) -> None:
    """Blend the flame over the canvas, in place."""
    cut = heat.cut(canvas)
    if cut is None:
        return
    visible, view = cut
    alpha = np.clip((visible - _SEEN_HEAT) / _SOLID_AFTER, 0.0, 1.0)
    index = np.clip(visible * look.exposure * 200.0, 0, 255).astype(np.uint8)
    colour = cv2.LUT(cv2.merge([index, index, index]), _palette(round(look.warmth, 2)))
    _mix(view, colour.astype(np.float32), alpha)


def _light_up(canvas: NDArray[np.uint8], look: FireLook, place: FirePlace, clock_s: float) -> None:
    """Add the fire's light to what is around it, in place: strong on bright surfaces, a faint haze elsewhere."""
    flicker = 1.0 + 0.12 * math.sin(clock_s * 9.1) + 0.08 * math.sin(clock_s * 14.7)
    reach = place.flame_height_px * (1.4 + look.width_ratio)
    height, width = canvas.shape[:2]
    step = 8
    rows, cols = max(2, height // step), max(2, width // step)
    y = (np.arange(rows, dtype=np.float32)[:, None] + 0.5) * (height / rows)
    x = (np.arange(cols, dtype=np.float32)[None, :] + 0.5) * (width / cols)
    middle = place.y_px - 0.35 * place.flame_height_px
    distance = ((x - place.x_px) ** 2 + (y - middle) ** 2) / (reach * reach)
    light = np.exp(-distance * 1.3) * look.glow * flicker
    gain = cv2.resize(light, (width, height), interpolation=cv2.INTER_LINEAR)
    lit = np.clip(gain * 255.0, 0, 255).astype(np.uint8)
    # Multiplied by the surface (what is white shines most) plus a fifth of haze.
    for channel, strength in enumerate((0.10, 0.42, 0.85)):
        plane = canvas[:, :, channel]
        shine = cv2.multiply(plane, lit, scale=strength * 0.8 / 255.0)
        haze = cv2.convertScaleAbs(lit, alpha=strength * 0.22)
        canvas[:, :, channel] = cv2.add(cv2.add(plane, shine), haze)


def _mix(view: NDArray[np.uint8], colour: NDArray[np.float32], alpha: NDArray[np.float32]) -> None:
    """Blend `colour` (h, w, 3) over a view of the canvas by `alpha` (h, w), in place."""
    base = view.astype(np.float32)
    mixed = base + (colour - base) * alpha[:, :, None]
    view[:] = np.clip(mixed, 0, 255).astype(np.uint8)


@functools.lru_cache(maxsize=128)
def _palette(warmth: float) -> NDArray[np.uint8]:
    """Tabulate heat 0…255 → BGR, shape (1, 256, 3), uint8; warmer means redder."""
    heat = np.linspace(0.0, 1.0, 256)
    shifted = np.clip(heat * (1.12 - 0.3 * warmth), 0.0, 1.0)
    stops = np.asarray(_PALETTE_BGR, np.float64)
    channels = [np.interp(shifted, _PALETTE_HEAT, stops[:, c]) for c in range(3)]
    return np.asarray(np.stack(channels, -1)[None], np.uint8)
