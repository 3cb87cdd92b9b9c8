"""Draw a verdict on a picture, for `--save`. Ring: adapter (OpenCV)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.types import Detection, Label

_COLOUR_BGR = {Label.FIRE: (48, 64, 235), Label.SMOKE: (40, 170, 245), Label.NONE: (110, 150, 90)}


def annotate(
    bgr_hwc_u8: NDArray[np.uint8], headline: str, label: Label, detections: Sequence[Detection] = ()
) -> NDArray[np.uint8]:
    """Draw boxes and a headline on a copy.

    Args:
        bgr_hwc_u8: shape (H, W, 3), uint8, BGR.
        headline: one line of ASCII text for the top left corner.
        label: chooses the colour of the headline.
        detections: boxes in pixels of this picture.
    """
    drawn = bgr_hwc_u8.copy()
    unit = max(1.0, min(drawn.shape[:2]) / 360)
    for detection in detections:
        box, colour = detection.box, _COLOUR_BGR[detection.label]
        corners = (round(box.x1), round(box.y1)), (round(box.x2), round(box.y2))
        cv2.rectangle(drawn, *corners, colour, max(1, round(1.5 * unit)), cv2.LINE_AA)
        text = f"{detection.label.value} {detection.score:.2f}"
        _write(
            drawn,
            text,
            (round(box.x1), max(round(14 * unit), round(box.y1 - 4 * unit))),
            colour,
            unit,
        )
    _write(drawn, headline, (round(6 * unit), round(18 * unit)), _COLOUR_BGR[label], unit)
    return drawn


def _write(
    bgr: NDArray[np.uint8],
    text: str,
    at_px: tuple[int, int],
    colour: tuple[int, int, int],
    unit: float,
) -> None:
    font, scale, weight = cv2.FONT_HERSHEY_SIMPLEX, 0.45 * unit, max(1, round(unit))
    (width, height), below = cv2.getTextSize(text, font, scale, weight)
    x, y = at_px
    pad = round(3 * unit)
    cv2.rectangle(
        bgr, (x - pad, y - height - pad), (x + width + pad, y + below), colour, cv2.FILLED
    )
    cv2.putText(bgr, text, (x, y), font, scale, (255, 255, 255), weight, cv2.LINE_AA)
