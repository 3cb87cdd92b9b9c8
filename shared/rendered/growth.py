"""A fire that grows from nothing in any picture, with its truth, for tests and measurements. Ring: domain.

A function of its seed and of the time, like the rendered scene: no clock, no file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.rendered.composite import RenderedFrame, composite_fire
from shared.rendered.look import FireLook, FirePlace, draw_look

_SWAY_PERIODS_S = (
    3.7,
    5.3,
)  # of a pole in the wind; no common multiple, so that no frame comes back


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowingFire:
    """One fire: what it looks like, where it burns, when it starts and how fast it grows.

    `x`, `y`: middle of its foot as shares of the picture. `grown`: the flame's height when grown, as a share of the
    picture's height; it is reached `growth_s` after `ignite_at_s`, evenly from nothing.
    """

    look: FireLook
    x: float
    y: float
    grown: float
    ignite_at_s: float
    growth_s: float
    with_smoke: bool

    def draw(self, bgr: NDArray[np.uint8], t_s: float) -> RenderedFrame:
        """Draw the fire as it is at a moment into a picture, shape (H, W, 3), uint8, BGR, not changed."""
        share = min(1.0, (t_s - self.ignite_at_s) / self.growth_s)
        if share <= 0.0:
            return RenderedFrame(bgr_hwc_u8=bgr, fire_xyxy=None, smoke_xyxy=None)
        height, width = bgr.shape[:2]
        flame_px = self.grown * share * height
        place = FirePlace(
            x_px=self.x * width,
            y_px=self.y * height,
            flame_height_px=flame_px,
            smoke_height_px=1.6 * flame_px if self.with_smoke else 0.0,
        )
        return composite_fire(bgr, look=self.look, place=place, t_s=t_s)


def draw_growing_fire(rng: np.random.Generator, *, ignite_at_s: float) -> GrowingFire:
    """Draw a fire at random: grown in 6…16 s to 25…50 % of the picture's height, every other with smoke."""
    return GrowingFire(
        look=draw_look(rng),
        x=float(rng.uniform(0.2, 0.8)),
        y=float(rng.uniform(0.55, 0.95)),
        grown=float(rng.uniform(0.25, 0.5)),
        ignite_at_s=ignite_at_s,
        growth_s=float(rng.uniform(6.0, 16.0)),
        with_smoke=bool(rng.random() < 0.5),
    )


def sway(frame: RenderedFrame, t_s: float, reach: float) -> RenderedFrame:
    """Show a picture as a camera on a swaying pole does, its truth along with it.

    Args:
        frame: what the camera would show if it stood still; not changed.
        t_s: the moment; the same moment gives the same picture.
        reach: how far it sways to each side, as a share of the picture's sides; 0 changes nothing.

    Returns:
        a picture of the same size, cut a little from the inside and shifted.
    """
    height, width = frame.bgr_hwc_u8.shape[:2]
    x, y = (math.sin(2.0 * math.pi * t_s / period_s) for period_s in _SWAY_PERIODS_S)
    zoom, left, top = 1.0 + 2.0 * reach, reach * width * (1.0 + x), reach * height * (1.0 + y)
    shift = np.array([[zoom, 0.0, -left], [0.0, zoom, -top]], np.float32)
    moved = cv2.warpAffine(frame.bgr_hwc_u8, shift, (width, height), flags=cv2.INTER_LINEAR)

    def placed(
        box: tuple[float, float, float, float] | None,
    ) -> tuple[float, float, float, float] | None:
        if box is None:
            return None
        x1, x2 = (min(max(zoom * v - left, 0.0), width) for v in box[::2])
        y1, y2 = (min(max(zoom * v - top, 0.0), height) for v in box[1::2])
        return x1, y1, x2, y2

    return RenderedFrame(
        bgr_hwc_u8=np.asarray(moved, np.uint8),
        fire_xyxy=placed(frame.fire_xyxy),
        smoke_xyxy=placed(frame.smoke_xyxy),
    )
