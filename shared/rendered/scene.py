"""A rendered yard in which a fire starts: what the `sim:` camera shows. Ring: domain (NumPy, OpenCV arithmetic).

With it the pair can be tried on a machine with no camera and no data. A function of its seed and of the time: nothing
here reads a clock or a file.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.rendered.composite import RenderedFrame, composite_fire
from shared.rendered.look import FireLook, FirePlace
from shared.rendered.yard import paint_yard


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneSettings:
    """Size, seed and story of a scene. The fire starts `ignite_at_s` after time zero and is grown `growth_s` later."""

    width_px: int = 1280
    height_px: int = 720
    seed: int = 0
    ignite_at_s: float = 8.0
    growth_s: float = 30.0


class Scene:
    """A yard seen by a fixed camera. `render` is safe to call from several threads; the state is read only."""

    def __init__(self, settings: SceneSettings) -> None:
        """Paint the background once; about 60 ms for 720p."""
        self._settings = settings
        rng = np.random.default_rng([settings.seed, 7])
        self._background = paint_yard(settings.width_px, settings.height_px, rng)
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
