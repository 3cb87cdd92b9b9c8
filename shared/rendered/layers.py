"""The shapes of a rendered flame and of its smoke at one moment, as layers. Ring: domain (OpenCV arithmetic)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.rendered.look import FireLook, FirePlace
from shared.rendered.noise import sample_noise

# Flame and smoke are computed on small fields and enlarged: they are soft, a camera blurs them anyway, and 720p stays
# under 40 ms of one core. Smaller looks blocky, larger costs with the square.
_FLAME_FIELD_PX = 120
_SMOKE_FIELD_PX = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A part of a picture: `alpha` (h, w) 0…1 and its place, x and y of the top-left corner (may be negative)."""

    alpha: NDArray[np.float32]
    left_px: int
    top_px: int

    def cut(
        self, canvas: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | None:
        """Cut to the canvas: the visible part of `alpha` and the view of the canvas below it, or None."""
        height, width = canvas.shape[:2]
        left, top = max(0, self.left_px), max(0, self.top_px)
        right = min(width, self.left_px + self.alpha.shape[1])
        bottom = min(height, self.top_px + self.alpha.shape[0])
        if right <= left or bottom <= top:
            return None
        rows = slice(top - self.top_px, bottom - self.top_px)
        cols = slice(left - self.left_px, right - self.left_px)
        return self.alpha[rows, cols], canvas[top:bottom, left:right]

    def box(
        self, canvas: NDArray[np.uint8], *, threshold: float
    ) -> tuple[float, float, float, float] | None:
        """Give the box, xyxy canvas pixels, of what is at least this opaque and inside the canvas."""
        cut = self.cut(canvas)
        if cut is None:
            return None
        seen = cut[0] >= threshold
        rows, cols = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        if rows.size < 2 or cols.size < 2:
            return None
        left, top = max(0, self.left_px), max(0, self.top_px)
        return (
            float(left + cols[0]),
            float(top + rows[0]),
            float(left + cols[-1] + 1),
            float(top + rows[-1] + 1),
        )


def flame_layer(look: FireLook, place: FirePlace, clock_s: float) -> Layer:
    """Compute the heat of the flame, 0…1.3, enlarged to its size on the picture."""
    # The field is wider than the flame so that a leaning tip is not cut off.
    aspect = look.width_ratio * 1.7
    rows = max(8, min(_FLAME_FIELD_PX, int(place.flame_height_px)))
    cols = max(8, min(2 * _FLAME_FIELD_PX, int(rows * aspect)))
    v = np.linspace(1.0, 0.0, rows, dtype=np.float32)[:, None]
    u = np.linspace(-1.7, 1.7, cols, dtype=np.float32)[None, :]
    coarse = sample_noise(u * 0.16 + 0.3, v * 0.30 + clock_s * 0.42, rows, cols)
    fine = sample_noise(u * 0.42 + 0.7, v * 0.62 + clock_s * 0.85, rows, cols)
    bent = u - look.lean * v**1.6 + (coarse - 0.5) * (0.35 + 1.9 * v)
    tips = _tongues(bent, look.tongues, clock_s)
    body = 1.0 - np.abs(bent) / (0.98 * np.sqrt(np.maximum(1.06 - v, 0.0)) + 1e-3)
    reach = (tips - v) * 2.4
    heat = np.minimum(body * 1.7, reach + 0.55) + (fine - 0.52) * (0.7 + 1.3 * v)
    heat *= np.minimum(1.0, (1.02 - v) * 5.0) * np.minimum(1.0, 0.25 + v * 14.0)
    width = max(2, round(place.flame_height_px * aspect))
    height = max(2, round(place.flame_height_px))
    sized = cv2.resize(np.clip(heat, 0.0, 1.3), (width, height), interpolation=cv2.INTER_LINEAR)
    if look.blur_px > 0.3:
        sized = cv2.GaussianBlur(sized, (0, 0), look.blur_px)
    return Layer(
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


def smoke_layer(look: FireLook, place: FirePlace, clock_s: float) -> Layer:
    """Compute the opacity of the plume, 0…1, enlarged to its size on the picture."""
    height = max(4, round(place.smoke_height_px))
    width = max(4, round(height * (0.5 + 0.9 * look.smoke_spread)))
    rows = max(8, min(_SMOKE_FIELD_PX, height))
    cols = max(8, min(_SMOKE_FIELD_PX, width))
    v = np.linspace(1.0, 0.0, rows, dtype=np.float32)[:, None]
    u = np.linspace(-1.0, 1.0, cols, dtype=np.float32)[None, :]
    drift = sample_noise(u * 0.10 + 0.1, v * 0.22 + clock_s * 0.07, rows, cols)
    puffs = sample_noise(u * 0.22 + 0.5, v * 0.40 + clock_s * 0.15, rows, cols)
    detail = sample_noise(u * 0.55 + 0.2, v * 0.95 + clock_s * 0.22, rows, cols)
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
    return Layer(
        alpha=np.asarray(np.clip(sized, 0.0, 1.0), np.float32),
        left_px=round(place.x_px - width / 2),
        top_px=round(foot - height),
    )
