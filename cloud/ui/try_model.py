"""What *Try* shows of one picture. Ring: rim, pure functions."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cloud.engine import Inspected
from shared.types import Picture
from shared.ui.speech import Speech

_LOW_PERCENT = 8.0  # a label above a box that high up would leave the picture


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedBox:
    """A box with its place in per cent of the picture."""

    kind: str
    left: float
    top: float
    width: float
    height: float
    text: str
    is_low: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage's share of the time, 0…100, where it begins, and its words."""

    name: Markup
    left: float
    width: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One picture, with what was found in it."""

    kind: str
    headline: Markup
    share: str
    boxes: tuple[TriedBox, ...]
    boxes_text: Markup
    picture_uri: str
    width_px: int
    height_px: int
    waited: Markup
    took: Markup
    stages: tuple[Stage, ...]
    model: str
    cost: str


def show_tried(inspected: Inspected, picture: Picture, small: bytes, speech: Speech) -> Tried:
    """Take an answer apart for the page; `small` is the picture as JPEG, as it is shown."""
    result, stage_ms = inspected.result, inspected.stage_ms
    label = str(result["label"])
    model = result["model"]
    return Tried(
        kind="calm" if label == "none" else label,
        headline=speech.t(f"try.{label}"),
        share=speech.percent(result["confidence"]),
        boxes=tuple(_box(found, picture, speech) for found in result["detections"]),
        boxes_text=speech.t("try.boxes", n=len(result["detections"])),
        picture_uri=f"data:image/jpeg;base64,{base64.b64encode(small).decode()}",
        width_px=picture.width_px,
        height_px=picture.height_px,
        waited=speech.t("try.waited", ms=speech.milliseconds(stage_ms.get("queue", 0.0) / 1000)),
        took=speech.t("try.took", ms=speech.milliseconds(result["latency_ms"] / 1000)),
        stages=_stages(stage_ms, speech),
        model=f"{model['name']} {model['version']} ({model['sha256_12']})",
        cost=speech.number(result["cost"], 2),
    )


def _box(found: Mapping[str, Any], picture: Picture, speech: Speech) -> TriedBox:
    x1, y1, x2, y2 = found["box_xyxy"]
    top = 100 * y1 / picture.height_px
    return TriedBox(
        kind=str(found["label"]),
        left=round(100 * x1 / picture.width_px, 2),
        top=round(top, 2),
        width=round(100 * (x2 - x1) / picture.width_px, 2),
        height=round(100 * (y2 - y1) / picture.height_px, 2),
        text=f"{speech.t('try.' + found['label'])} {speech.percent(found['score'])}",
        is_low=top < _LOW_PERCENT,
    )


def _stages(stage_ms: Mapping[str, float], speech: Speech) -> tuple[Stage, ...]:
    whole = sum(stage_ms.values()) or 1.0
    shown, left = [], 0.0
    for name, ms in stage_ms.items():
        width = 100 * ms / whole
        text = speech.milliseconds(ms / 1000)
        words = speech.known(f"stage.{name}", name)
        shown.append(Stage(name=words, left=round(left, 2), width=round(width, 2), text=text))
        left += width
    return tuple(shown)
