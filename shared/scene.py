"""A rendered yard in which a fire starts, and the flame that is drawn into it. Ring: domain (NumPy, OpenCV arithmetic).

The `sim:` camera shows `Scene`, so that the pair can be tried on a machine with no camera and no data. The same flame,
`add_fire`, is put over real pictures without fire as one source of the training set and as a test flame over a live
picture. Everything is a function of its seed and of the time: nothing here reads a clock or a file.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_TILE_PX = 256
# Flame and smoke are computed on small fields and enlarged: they are soft, a camera blurs them anyway, and 720p stays
# under 40 ms of one core. Smaller looks blocky, larger costs with the square.
_FLAME_FIELD_PX = 120
_SMOKE_FIELD_PX = 96
# A pixel counts as fire or smoke, for the boxes, from this opacity on: about where a person would draw the line.
_FIRE_BOX_ALPHA = 0.35
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
class SceneSettings:
    """Size, seed and story of a scene. The fire starts `ignite_at_s` after time zero and is grown `growth_s` later."""

    width_px: int = 1280
    height_px: int = 720
    seed: int = 0
    ignite_at_s: float = 8.0
    growth_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFrame:
    """A picture, shape (H, W, 3), uint8, BGR, and the truth about it: boxes in its pixels, None where there is none."""

    bgr_hwc_u8: NDArray[np.uint8]
    fire_xyxy: tuple[float, float, float, float] | None
    smoke_xyxy: tuple[float, float, float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FireLook:
    """How one fire looks; it stays the same while the fire burns.

    Ratios are 0…1 unless said. `warmth` tints from yellow (0) to deep orange (1); `exposure` (0.6…1.5) is how far the
    core is burnt out; `width_ratio` is width over height of the flame; `lean` bends the tip to the side, −1…1;
    `tongues` is how many tips it has; `smoke_shade` is the grey of the smoke, 0…255; `blur_px` softens the whole fire.
    """

    phase_s: float
    warmth: float
    exposure: float
    width_ratio: float
    lean: float
    tongues: float
    flicker_per_s: float
    glow: float
    smoke_shade: float
    smoke_density: float
    smoke_spread: float
    blur_px: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FirePlace:
    """Where a fire burns: middle of its foot and heights above it, in pixels; 0 leaves that part out."""

    x_px: float
    y_px: float
    flame_height_px: float
    smoke_height_px: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """A part of a picture: `alpha` (h, w) 0…1 and its place, x and y of the top-left corner (may be negative)."""

    alpha: NDArray[np.float32]
    left_px: int
    top_px: int


def draw_look(rng: np.random.Generator) -> FireLook:
    """Draw the look of a fire."""
    return FireLook(
        phase_s=float(rng.uniform(0, 1000)),
        warmth=float(rng.uniform(0, 1)),
        exposure=float(rng.uniform(0.7, 1.5)),
        width_ratio=float(rng.uniform(0.45, 1.6)),
        lean=float(rng.normal(0, 0.35)),
        tongues=float(rng.uniform(1.0, 4.0)),
        flicker_per_s=float(rng.uniform(0.8, 1.6)),
        glow=float(rng.uniform(0.1, 0.9)),
        smoke_shade=float(rng.uniform(35, 205)),
        smoke_density=float(rng.uniform(0.45, 0.95)),
        smoke_spread=float(rng.uniform(0.35, 1.0)),
        blur_px=float(rng.uniform(0.0, 1.6)),
    )


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
    chosen = place or _draw_place(bgr, rng, look, ratio)
    chosen = FirePlace(
        x_px=chosen.x_px,
        y_px=chosen.y_px,
        flame_height_px=chosen.flame_height_px if with_flame else 0.0,
        smoke_height_px=chosen.smoke_height_px if with_smoke else 0.0,
    )
    return composite_fire(bgr, look=look, place=chosen, t_s=float(rng.uniform(0, 60)))


def _draw_place(
    bgr: NDArray[np.uint8], rng: np.random.Generator, look: FireLook, size_ratio: float
) -> FirePlace:
    height, width = bgr.shape[:2]
    flame = math.sqrt(size_ratio * width * height / look.width_ratio)
    return FirePlace(
        x_px=float(rng.uniform(0.1, 0.9)) * width,
        y_px=float(rng.uniform(0.4, 1.0)) * height,
        flame_height_px=min(flame, 0.95 * height),
        smoke_height_px=float(rng.uniform(0.25, 1.0)) * height,
    )


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
    flame = _flame(look, place, clock_s) if place.flame_height_px >= 2.0 else None
    if flame is not None:
        _light_up(canvas, look, place, clock_s)
    if place.smoke_height_px >= 4.0:
        smoke = _smoke(look, place, clock_s)
        _blend_smoke(canvas, smoke, look, place)
        smoke_xyxy = _box(smoke, _SMOKE_BOX_ALPHA, canvas)
    if flame is not None:
        alpha = _blend_flame(canvas, flame, look)
        fire_xyxy = _box(alpha, _FIRE_BOX_ALPHA, canvas)
    return RenderedFrame(bgr_hwc_u8=canvas, fire_xyxy=fire_xyxy, smoke_xyxy=smoke_xyxy)


def _flame(look: FireLook, place: FirePlace, clock_s: float) -> _Layer:
    """Compute the heat field, 0…1, enlarged to its size on the picture."""
    # The field is wider than the flame so that a leaning tip is not cut off.
    aspect = look.width_ratio * 1.7
    rows = max(8, min(_FLAME_FIELD_PX, int(place.flame_height_px)))
    cols = max(8, min(2 * _FLAME_FIELD_PX, int(rows * aspect)))
    v = np.linspace(1.0, 0.0, rows, dtype=np.float32)[:, None]
    u = np.linspace(-1.7, 1.7, cols, dtype=np.float32)[None, :]
    coarse = _sample(u * 0.16 + 0.3, v * 0.30 + clock_s * 0.42, rows, cols)
    fine = _sample(u * 0.42 + 0.7, v * 0.62 + clock_s * 0.85, rows, cols)
    bent = u - look.lean * v**1.6 + (coarse - 0.5) * (0.35 + 1.9 * v)
    tips = _tongues(bent[-1] if bent.shape[0] == 1 else bent, look.tongues, clock_s)
    body = 1.0 - np.abs(bent) / (0.98 * np.sqrt(np.maximum(1.06 - v, 0.0)) + 1e-3)
    reach = (tips - v) * 2.4
    heat = np.minimum(body * 1.7, reach + 0.55) + (fine - 0.52) * (0.7 + 1.3 * v)
    heat *= np.minimum(1.0, (1.02 - v) * 5.0) * np.minimum(1.0, 0.25 + v * 14.0)
    width = max(2, round(place.flame_height_px * aspect))
    height = max(2, round(place.flame_height_px))
    sized = cv2.resize(np.clip(heat, 0.0, 1.3), (width, height), interpolation=cv2.INTER_LINEAR)
    if look.blur_px > 0.3:
        sized = cv2.GaussianBlur(sized, (0, 0), look.blur_px)
    return _Layer(
        alpha=np.asarray(sized, np.float32),
        left_px=round(place.x_px - width / 2),
        top_px=round(place.y_px - height),
    )


def _tongues(bent: NDArray[np.float32], count: float, clock_s: float) -> NDArray[np.float32]:
    """Give the height that the flame reaches over each place of its foot, 0…1."""
    wave = (
        np.sin(bent * count * 1.9 + clock_s * 2.1) * 0.5
        + np.sin(bent * count * 3.7 - clock_s * 3.3) * 0.3
    )
    pulse = 0.05 * math.sin(clock_s * 7.3) + 0.05 * math.sin(clock_s * 11.9)
    return np.asarray(0.66 + 0.2 * wave + pulse, np.float32)


def _smoke(look: FireLook, place: FirePlace, clock_s: float) -> _Layer:
    """Compute the opacity of the plume, 0…1, enlarged to its size on the picture."""
    height = max(4, round(place.smoke_height_px))
    width = max(4, round(height * (0.5 + 0.9 * look.smoke_spread)))
    rows = max(8, min(_SMOKE_FIELD_PX, height))
    cols = max(8, min(_SMOKE_FIELD_PX, width))
    v = np.linspace(1.0, 0.0, rows, dtype=np.float32)[:, None]
    u = np.linspace(-1.0, 1.0, cols, dtype=np.float32)[None, :]
    drift = _sample(u * 0.10 + 0.1, v * 0.22 + clock_s * 0.07, rows, cols)
    puffs = _sample(u * 0.22 + 0.5, v * 0.40 + clock_s * 0.15, rows, cols)
    detail = _sample(u * 0.55 + 0.2, v * 0.95 + clock_s * 0.22, rows, cols)
    bent = u - look.lean * 0.7 * v + (drift - 0.5) * 1.3 * v
    spread = 0.16 + 0.62 * v
    body = 1.0 - (bent / spread) ** 2
    texture = (puffs - 0.5) * 1.5 + (detail - 0.5) * 0.9
    density = np.clip(body * 1.1 + texture, 0.0, 1.0)
    # Thin at the very foot (hidden by the flame, if any) and thinning out with height; never cut off at the sides.
    density *= np.clip(v * 7.0, 0.0, 1.0) * np.clip((1.0 - v) * 2.2, 0.0, 1.0) ** 0.7
    density *= np.clip((1.0 - np.abs(u)) * 5.0, 0.0, 1.0)
    sized = cv2.resize(density * look.smoke_density, (width, height), interpolation=cv2.INTER_CUBIC)
    foot = place.y_px - 0.35 * place.flame_height_px
    return _Layer(
        alpha=np.asarray(np.clip(sized, 0.0, 1.0), np.float32),
        left_px=round(place.x_px - width / 2),
        top_px=round(foot - height),
    )


def _blend_smoke(
    canvas: NDArray[np.uint8], smoke: _Layer, look: FireLook, place: FirePlace
) -> None:
    """Blend the plume over the canvas, in place; it is darker at the picture's night and lit from the fire below."""
    cut = _cut(smoke, canvas)
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


def _blend_flame(canvas: NDArray[np.uint8], heat: _Layer, look: FireLook) -> _Layer:
    """Blend the flame over the canvas, in place; returns its opacity as a layer of the same place."""
    opacity = np.clip((heat.alpha - 0.10) / 0.34, 0.0, 1.0)
    layer = _Layer(alpha=opacity, left_px=heat.left_px, top_px=heat.top_px)
    cut = _cut(heat, canvas)
    if cut is None:
        return layer
    visible_heat, view = cut
    alpha = np.clip((visible_heat - 0.10) / 0.34, 0.0, 1.0)
    index = np.clip(visible_heat * look.exposure * 200.0, 0, 255).astype(np.uint8)
    colour = cv2.LUT(cv2.merge([index, index, index]), _palette(round(look.warmth, 2)))
    _mix(view, colour.astype(np.float32), alpha)
    return layer


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


def _cut(
    layer: _Layer, canvas: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | None:
    """Cut a layer to the canvas: its visible part and the view of the canvas below it, or None."""
    height, width = canvas.shape[:2]
    left, top = max(0, layer.left_px), max(0, layer.top_px)
    right = min(width, layer.left_px + layer.alpha.shape[1])
    bottom = min(height, layer.top_px + layer.alpha.shape[0])
    if right <= left or bottom <= top:
        return None
    rows = slice(top - layer.top_px, bottom - layer.top_px)
    cols = slice(left - layer.left_px, right - layer.left_px)
    return layer.alpha[rows, cols], canvas[top:bottom, left:right]


def _mix(view: NDArray[np.uint8], colour: NDArray[np.float32], alpha: NDArray[np.float32]) -> None:
    """Blend `colour` (h, w, 3) over a view of the canvas by `alpha` (h, w), in place."""
    base = view.astype(np.float32)
    mixed = base + (colour - base) * alpha[:, :, None]
    view[:] = np.clip(mixed, 0, 255).astype(np.uint8)


def _box(
    layer: _Layer, threshold: float, canvas: NDArray[np.uint8]
) -> tuple[float, float, float, float] | None:
    """Give the box, xyxy canvas pixels, of what is at least this opaque and inside the canvas."""
    cut = _cut(layer, canvas)
    if cut is None:
        return None
    seen = cut[0] >= threshold
    rows, cols = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    if rows.size < 2 or cols.size < 2:
        return None
    left, top = max(0, layer.left_px), max(0, layer.top_px)
    return (
        float(left + cols[0]),
        float(top + rows[0]),
        float(left + cols[-1] + 1),
        float(top + rows[-1] + 1),
    )


@functools.lru_cache(maxsize=128)
def _palette(warmth: float) -> NDArray[np.uint8]:
    """Tabulate heat 0…255 → BGR, shape (1, 256, 3), uint8; warmer means redder."""
    heat = np.linspace(0.0, 1.0, 256)
    shifted = np.clip(heat * (1.12 - 0.3 * warmth), 0.0, 1.0)
    stops = np.asarray(_PALETTE_BGR, np.float64)
    channels = [np.interp(shifted, _PALETTE_HEAT, stops[:, c]) for c in range(3)]
    return np.asarray(np.stack(channels, -1)[None], np.uint8)


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


def _sample(
    u: NDArray[np.float32], v: NDArray[np.float32] | float, rows: int, cols: int
) -> NDArray[np.float32]:
    """Read the noise tile at u, v (in tiles, any real number), broadcast to (rows, cols)."""
    x = np.broadcast_to((u % 1.0) * _TILE_PX, (rows, cols)).astype(np.float32)
    y = np.broadcast_to((v % 1.0) * _TILE_PX, (rows, cols)).astype(np.float32)
    return np.asarray(
        cv2.remap(_noise_tile(), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32
    )


class Scene:
    """A yard seen by a fixed camera. `render` is safe to call from several threads; the state is read only."""

    def __init__(self, settings: SceneSettings) -> None:
        """Paint the background once; about 60 ms for 720p."""
        self._settings = settings
        rng = np.random.default_rng([settings.seed, 7])
        self._background = _paint_yard(settings, rng)
        self._grain = _paint_grain(settings, rng)
        self._look = _scene_look(rng)
        width, height = settings.width_px, settings.height_px
        self._foot_x_px = float(rng.uniform(0.3, 0.7)) * width
        self._foot_y_px = float(rng.uniform(0.74, 0.84)) * height
        self._grown_px = float(rng.uniform(0.30, 0.40)) * height

    def render(self, t_s: float) -> RenderedFrame:
        """Render the scene at a moment.

        Args:
            t_s: seconds since the scene began, ≥ 0; any order, the same moment gives the same picture.

        Returns:
            a new picture of the size in the settings; boxes are None before the fire is alight.

        Cost: about 25 ms of one core at 1280 × 720 with the fire grown.
        """
        grown = self._grown(t_s)
        frame = RenderedFrame(bgr_hwc_u8=self._background, fire_xyxy=None, smoke_xyxy=None)
        if grown > 0.0:
            place = FirePlace(
                x_px=self._foot_x_px,
                y_px=self._foot_y_px,
                flame_height_px=self._grown_px * grown,
                smoke_height_px=self._settings.height_px * min(1.0, 0.15 + 0.75 * grown),
            )
            frame = composite_fire(self._background, look=self._look, place=place, t_s=t_s)
        return RenderedFrame(
            bgr_hwc_u8=self._add_grain(frame.bgr_hwc_u8, t_s),
            fire_xyxy=frame.fire_xyxy,
            smoke_xyxy=frame.smoke_xyxy,
        )

    def _grown(self, t_s: float) -> float:
        """Give the flame's height over its grown height, 0…1: a slow start, then fast, then steady."""
        burning_s = t_s - self._settings.ignite_at_s
        if burning_s <= 0.0:
            return 0.0
        share = min(1.0, burning_s / self._settings.growth_s)
        return 0.08 + 0.92 * share * share * (3.0 - 2.0 * share)

    def _add_grain(self, bgr: NDArray[np.uint8], t_s: float) -> NDArray[np.uint8]:
        """Add the sensor's noise: kept noise fields, one for each of eight moments, shifted."""
        moment = int(t_s * 25.0) * 2654435761 % (1 << 32)
        height, width = bgr.shape[:2]
        y, x = moment % 61, (moment >> 8) % 61
        brighter = self._grain[y : y + height, x : x + width]
        darker = self._grain[60 - y : 60 - y + height, 60 - x : 60 - x + width]
        return np.asarray(cv2.subtract(cv2.add(bgr, brighter), darker), np.uint8)


def _scene_look(rng: np.random.Generator) -> FireLook:
    return FireLook(
        phase_s=float(rng.uniform(0, 1000)),
        warmth=float(rng.uniform(0.3, 0.7)),
        exposure=float(rng.uniform(1.0, 1.25)),
        width_ratio=float(rng.uniform(0.7, 1.0)),
        lean=float(rng.uniform(-0.3, 0.3)),
        tongues=float(rng.uniform(2.0, 3.5)),
        flicker_per_s=1.2,
        glow=float(rng.uniform(0.5, 0.8)),
        smoke_shade=float(rng.uniform(60, 120)),
        smoke_density=float(rng.uniform(0.75, 0.92)),
        smoke_spread=float(rng.uniform(0.5, 0.9)),
        blur_px=0.8,
    )


def _paint_grain(settings: SceneSettings, rng: np.random.Generator) -> NDArray[np.uint8]:
    shape = (settings.height_px + 64, settings.width_px + 64, 3)
    noise = np.abs(rng.standard_normal(shape, dtype=np.float32)) * 2.2
    return noise.astype(np.uint8)


def _paint_yard(settings: SceneSettings, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Paint a loading yard: sky, hall with a gate, asphalt, containers, pallets, then the camera's own softness."""
    width, height = settings.width_px, settings.height_px
    daylight = float(rng.uniform(0.6, 1.2))
    canvas = np.zeros((height, width, 3), np.float32)
    horizon = int(height * rng.uniform(0.30, 0.38))
    _paint_sky(canvas, horizon, daylight, rng)
    ground = int(height * rng.uniform(0.56, 0.62))
    canvas[horizon:ground] = _tone((78, 84, 82), daylight)
    _paint_ground(canvas, ground, daylight, rng)
    _paint_hall(canvas, horizon, ground, daylight, rng)
    _paint_containers(canvas, ground, daylight, rng)
    _paint_pallets(canvas, ground, daylight, rng)
    _paint_lines(canvas, ground, daylight)
    _vignette(canvas)
    soft = cv2.GaussianBlur(canvas, (0, 0), max(0.6, width / 1400.0))
    return np.asarray(np.clip(soft, 0, 255), np.uint8)


def _tone(bgr: tuple[float, float, float], daylight: float) -> NDArray[np.float32]:
    return np.asarray(bgr, np.float32) * np.float32(daylight)


def _cloud(rows: int, cols: int, rng: np.random.Generator, scale: float) -> NDArray[np.float32]:
    """Sample a stretch of noise, shape (rows, cols), 0…1."""
    u = np.linspace(0, scale * cols / max(rows, 1), cols, dtype=np.float32)[None, :] + np.float32(
        rng.random()
    )
    v = np.linspace(0, scale, rows, dtype=np.float32)[:, None] + np.float32(rng.random())
    return _sample(u, v, rows, cols)


def _paint_sky(
    canvas: NDArray[np.float32], horizon: int, daylight: float, rng: np.random.Generator
) -> None:
    width = canvas.shape[1]
    top, low = _tone((196, 178, 160), daylight), _tone((224, 218, 210), daylight)
    share = np.linspace(0, 1, horizon, dtype=np.float32)[:, None, None]
    clouds = _cloud(horizon, width, rng, 0.35)[:, :, None]
    canvas[:horizon] = top * (1 - share) + low * share + (clouds - 0.5) * 26 * daylight


def _paint_ground(
    canvas: NDArray[np.float32], ground: int, daylight: float, rng: np.random.Generator
) -> None:
    height, width = canvas.shape[:2]
    rows = height - ground
    asphalt = _tone((92, 94, 96), daylight)
    patches = _cloud(rows, width, rng, 0.6)[:, :, None]
    gravel = rng.standard_normal((rows, width, 1), dtype=np.float32)
    nearer = np.linspace(0.86, 1.06, rows, dtype=np.float32)[:, None, None]
    canvas[ground:] = asphalt * nearer + (patches - 0.5) * 34 * daylight + gravel * 5.0 * daylight


def _paint_hall(
    canvas: NDArray[np.float32],
    horizon: int,
    ground: int,
    daylight: float,
    rng: np.random.Generator,
) -> None:
    """Paint a hall of corrugated sheet with a roller gate, a door and a band of windows."""
    width = canvas.shape[1]
    left, right = int(width * rng.uniform(0.0, 0.12)), int(width * rng.uniform(0.82, 1.0))
    roof = int(horizon * rng.uniform(0.35, 0.6))
    hues = ((150, 146, 138), (138, 150, 158), (160, 150, 128), (120, 132, 128))
    wall = _tone(hues[int(rng.integers(len(hues)))], daylight)
    columns = np.arange(right - left, dtype=np.float32)
    pitch = max(5.0, width / 110.0)
    ribs = (np.sin(columns * (2 * math.pi / pitch)) * 9.0 * daylight)[None, :, None]
    dirt = _cloud(ground - roof, right - left, rng, 0.5)[:, :, None]
    shade = np.linspace(1.0, 0.84, ground - roof, dtype=np.float32)[:, None, None]
    canvas[roof:ground, left:right] = wall * shade + ribs + (dirt - 0.5) * 20 * daylight
    canvas[roof : roof + max(2, ground // 70), left:right] = _tone((70, 70, 72), daylight)
    span = right - left
    for place in (0.08, 0.66):
        x0 = left + int(span * (place + rng.uniform(0, 0.05)))
        x1, y0 = x0 + int(span * 0.22), ground - int((ground - roof) * 0.62)
        gate = _tone((112, 108, 104), daylight)
        slats = np.sin(
            np.arange(ground - y0, dtype=np.float32) * (2 * math.pi / max(4.0, pitch * 0.7))
        )
        canvas[y0:ground, x0:x1] = gate + (slats * 8 * daylight)[:, None, None]
        cv2.rectangle(canvas, (x0, y0), (x1, ground), _scalar(_tone((52, 54, 56), daylight)), 2)
    window_y = roof + int((ground - roof) * 0.14)
    for k in range(6):
        x0 = left + int(span * (0.05 + 0.155 * k))
        x1, y1 = x0 + int(span * 0.09), window_y + int((ground - roof) * 0.11)
        pane = _tone((120, 112, 96), daylight * float(rng.uniform(0.5, 1.1)))
        cv2.rectangle(canvas, (x0, window_y), (x1, y1), _scalar(pane), -1)


def _paint_containers(
    canvas: NDArray[np.float32], ground: int, daylight: float, rng: np.random.Generator
) -> None:
    """Paint one or two shipping containers against the hall."""
    height, width = canvas.shape[:2]
    paints = ((118, 70, 42), (60, 92, 60), (70, 70, 120), (128, 120, 104))
    for _ in range(int(rng.integers(1, 3))):
        x0 = int(width * rng.uniform(0.0, 0.8))
        x1 = min(width, x0 + int(width * rng.uniform(0.14, 0.22)))
        y1 = ground + int(height * rng.uniform(0.02, 0.08))
        y0 = y1 - int(height * rng.uniform(0.13, 0.18))
        paint = _tone(paints[int(rng.integers(len(paints)))], daylight)
        ribs = np.sin(np.arange(x1 - x0, dtype=np.float32) * (2 * math.pi / max(4.0, width / 150)))
        canvas[y0:y1, x0:x1] = paint + (ribs * 10 * daylight)[None, :, None]
        canvas[y1 : y1 + max(2, height // 90), x0:x1] *= 0.55


def _paint_pallets(
    canvas: NDArray[np.float32], ground: int, daylight: float, rng: np.random.Generator
) -> None:
    """Paint stacks of cartons and pallets on the yard."""
    height, width = canvas.shape[:2]
    for _ in range(int(rng.integers(4, 8))):
        depth = float(rng.uniform(0.1, 0.75))
        size = int(height * (0.035 + 0.06 * depth))
        x0 = int(rng.uniform(0, 0.95) * width)
        y1 = ground + int((height - ground) * depth)
        for level in range(int(rng.integers(1, 4))):
            y = y1 - level * size
            wood = _tone((92, 126, 150), daylight * float(rng.uniform(0.75, 1.05)))
            cv2.rectangle(canvas, (x0, y - size), (x0 + int(size * 1.4), y), _scalar(wood), -1)
            cv2.rectangle(canvas, (x0, y - size), (x0 + int(size * 1.4), y), _scalar(wood * 0.6), 1)
        canvas[y1 : y1 + max(1, size // 8), x0 : x0 + int(size * 1.4)] *= 0.6


def _paint_lines(canvas: NDArray[np.float32], ground: int, daylight: float) -> None:
    """Paint worn parking lines that run to a vanishing point."""
    height, width = canvas.shape[:2]
    paint = _scalar(_tone((150, 156, 158), daylight))
    for share in (-0.3, 0.05, 0.4, 0.75, 1.1):
        far = (int(width * (0.5 + (share - 0.4) * 0.45)), ground + (height - ground) // 6)
        near = (int(width * share), height)
        cv2.line(canvas, far, near, paint, max(1, height // 240), cv2.LINE_AA)


def _vignette(canvas: NDArray[np.float32]) -> None:
    height, width = canvas.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    canvas *= (1.0 - 0.16 * (x * x + y * y))[:, :, None]


def _scalar(bgr: NDArray[np.float32]) -> tuple[float, float, float]:
    return float(bgr[0]), float(bgr[1]), float(bgr[2])
