"""The pictures that travel with an artifact and whose answer is known: rendered, so that they are free to ship.

A service that loads a model shows it these first and refuses it when it says something else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.rendered.composite import add_fire
from shared.rendered.scene import Scene, SceneSettings
from shared.types import Label

FOLDER = "selftest"
# The yard that `sim:` shows, which training never saw.
_YARD = SceneSettings(width_px=640, height_px=360, seed=0)
_BEFORE_S, _BURNING_S = 4.0, 40.0
_SMOKE_SEED = 22
_QUALITY = 90
# What a model says of a picture (H, W, 3) uint8 BGR.
Names = Callable[[NDArray[np.uint8]], Label]


class SelfTestError(Exception):
    """A model does not know one of its own pictures; it must not be published."""


def render_self_tests() -> dict[str, NDArray[np.uint8]]:
    """Render one picture a label; the name begins with the label that must come out."""
    yard = Scene(_YARD)
    before = yard.render(_BEFORE_S).bgr_hwc_u8
    smoke = add_fire(before, rng=np.random.default_rng(_SMOKE_SEED), with_flame=False)
    return {
        "fire-1.jpg": yard.render(_BURNING_S).bgr_hwc_u8,
        "smoke-1.jpg": smoke.bgr_hwc_u8,
        "none-1.jpg": before,
    }


def write_self_tests(folder: Path) -> list[Path]:
    """Write the pictures as JPEG into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, bgr in render_self_tests().items():
        path = folder / name
        path.write_bytes(
            cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
        )
        paths.append(path)
    return paths


def label_of_file(path: Path) -> Label:
    """Read the label that a picture's name promises."""
    return Label(path.name.partition("-")[0])


def check_self_tests(paths: list[Path], names: Names, model: str) -> None:
    """Show a model its pictures.

    Raises:
        SelfTestError: it names one of them wrongly.
    """
    for path in paths:
        said = names(np.asarray(cv2.imread(str(path)), np.uint8))
        if said is not label_of_file(path):
            raise SelfTestError(f"{model} calls {path.name} {said.value}")
