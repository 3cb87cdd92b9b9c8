"""Geometry of what is drawn over pictures and as small charts. Ring: rim, pure functions.

Everything becomes attributes of SVG elements: the pages allow no inline styles.
"""

from __future__ import annotations

import base64
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge.box.live import HISTORY_S, Moment
from edge.classify.locate import HeatMap
from shared.types import Box, Detection, Label

SPARK_WIDTH, SPARK_HEIGHT = 240, 24
_GAP_S = 6.0  # a line is not drawn over a longer silence
_COLDEST = 0.08  # cells below this are left clear


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A question to the cloud on a sparkline; `is_yes` tells its answer."""

    x: float
    y: float
    is_yes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Spark:
    """A sparkline in a box of SPARK_WIDTH × SPARK_HEIGHT; `price_y` is None where nothing is asked about."""

    line: str
    area: str
    price_y: float | None
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnBox:
    """A box in pixels of the picture, with its kind (`fire` or `smoke`) and its place in per cent."""

    kind: str
    box: Box
    left: float
    top: float
    width: float
    height: float
    text: str
    is_low: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatImage:
    """A heat map as a tiny picture that the browser stretches over `x, y, width, height`, in pixels of the picture."""

    uri: str
    x: float
    y: float
    width: float
    height: float


def spark(moments: Sequence[Moment], now_mono_s: float, ask_at: float | None) -> Spark:
    """Draw two minutes of probability on a square-root scale: the quiet end is where decisions fall."""
    points = [(_spark_x(m.at_mono_s, now_mono_s), spark_y(m.presence), m) for m in moments]
    runs = _runs(points)
    line = "".join(_path(run) for run in runs)
    area = "".join(f"{_path(run)}V{SPARK_HEIGHT}H{run[0][0]:.1f}Z" for run in runs)
    dots = tuple(
        Dot(x=round(x, 1), y=round(y, 1), is_yes=moment.has_seen)
        for x, y, moment in points
        if moment.has_seen is not None
    )
    price_y = None if ask_at is None else round(spark_y(ask_at), 1)
    return Spark(line=line, area=area, price_y=price_y, dots=dots)


def spark_y(share: float) -> float:
    """Place a probability, 0…1, on the height of a sparkline."""
    return SPARK_HEIGHT - 2 - (SPARK_HEIGHT - 6) * math.sqrt(min(1.0, max(0.0, share)))


def drawn(detection: Detection, width_px: int, height_px: int, text: str) -> DrawnBox:
    """Place a detection on its picture; `is_low`: there is no room for its label above."""
    box = detection.box
    return DrawnBox(
        kind="smoke" if detection.label is Label.SMOKE else "fire",
        box=box,
        left=round(100 * box.x1 / width_px, 2),
        top=round(100 * box.y1 / height_px, 2),
        width=round(100 * (box.x2 - box.x1) / width_px, 2),
        height=round(100 * (box.y2 - box.y1) / height_px, 2),
        text=text,
        is_low=box.y1 < 0.08 * height_px,
    )


def heat_image(heat: HeatMap) -> HeatImage:
    """Colour a heat map: clear where it is cold, amber to red where it is hot."""
    p = heat.cells[..., None]
    bgra = np.concatenate(
        [
            60 - 30 * p,
            190 - 130 * p,
            np.full_like(p, 255.0),
            np.where(p < _COLDEST, 0.0, 255 * (0.12 + 0.45 * p)),
        ],
        axis=-1,
    )
    _, encoded = cv2.imencode(".png", bgra.round().clip(0, 255).astype(np.uint8))
    return HeatImage(
        uri="data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode(),
        x=round(heat.box.x1, 1),
        y=round(heat.box.y1, 1),
        width=round(heat.box.x2 - heat.box.x1, 1),
        height=round(heat.box.y2 - heat.box.y1, 1),
    )


def place_in_words(box: Box, width_px: int, height_px: int) -> str:
    """Name the ninth of the picture in which a box's middle lies, as a key of the catalogue."""
    column = ("left", "middle", "right")[_third((box.x1 + box.x2) / 2 / width_px)]
    row = ("top", "middle", "bottom")[_third((box.y1 + box.y2) / 2 / height_px)]
    return f"where.{column}_{row}"


def coverage(box: Box, width_px: int, height_px: int) -> float:
    """Tell which share of the picture a box covers, 0…1."""
    return (box.x2 - box.x1) * (box.y2 - box.y1) / (width_px * height_px)


def around(box: Box, width_px: int, height_px: int, *, aspect: float) -> Box:
    """Give the view in which a box is looked at: three times its size, with this aspect, inside the picture."""
    wide = max(3 * (box.x2 - box.x1), 3 * aspect * (box.y2 - box.y1), 0.2 * width_px)
    wide = min(wide, width_px, aspect * height_px)
    high = wide / aspect
    x1 = min(max(0.0, (box.x1 + box.x2 - wide) / 2), width_px - wide)
    y1 = min(max(0.0, (box.y1 + box.y2 - high) / 2), height_px - high)
    return Box(x1=x1, y1=y1, x2=x1 + wide, y2=y1 + high)


def _third(share: float) -> int:
    return min(2, max(0, int(3 * share)))


_Point = tuple[float, float, Moment]


def _spark_x(at_mono_s: float, now_mono_s: float) -> float:
    return SPARK_WIDTH * (1.0 - min(1.0, max(0.0, (now_mono_s - at_mono_s) / HISTORY_S)))


def _runs(points: Sequence[_Point]) -> list[list[_Point]]:
    runs: list[list[_Point]] = []
    for point in points:
        if runs and point[2].at_mono_s - runs[-1][-1][2].at_mono_s <= _GAP_S:
            runs[-1].append(point)
        else:
            runs.append([point])
    return runs


def _path(run: Sequence[_Point]) -> str:
    """Draw by steps, half as long as by places: a page of many cameras is mostly these. One point is a dot."""
    places = [(round(x, 1), round(y, 1)) for x, y, _ in run]
    steps = " ".join(
        f"{x - before_x:.3g} {y - before_y:.3g}"
        for (before_x, before_y), (x, y) in itertools.pairwise(places)
    )
    return f"M{places[0][0]:g} {places[0][1]:g}" + (f"l{steps}" if steps else "h0")
