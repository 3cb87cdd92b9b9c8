"""How a rendered fire looks and where it burns, given or drawn at random. Ring: domain."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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


def draw_place(
    bgr: NDArray[np.uint8], rng: np.random.Generator, look: FireLook, size_ratio: float
) -> FirePlace:
    """Draw a place in the lower two thirds of a picture, for a flame whose box is so large a share of its area."""
    height, width = bgr.shape[:2]
    flame = math.sqrt(size_ratio * width * height / look.width_ratio)
    return FirePlace(
        x_px=float(rng.uniform(0.1, 0.9)) * width,
        y_px=float(rng.uniform(0.4, 1.0)) * height,
        flame_height_px=min(flame, 0.95 * height),
        smoke_height_px=float(rng.uniform(0.25, 1.0)) * height,
    )
