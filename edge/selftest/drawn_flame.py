"""The flame of a test alarm, drawn into a camera's live picture and marked as a test there. Ring: adapter (OpenCV)."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from shared.picture.imaging import decode, jpeg_picture
from shared.rendered.composite import composite_fire
from shared.rendered.look import FirePlace, draw_look
from shared.types import Box, Picture

_MARK = "TEST - NO REAL FIRE"
# Height of the flame over the picture's. Smaller is missed on some cameras, which would say nothing about the chain;
# larger covers what a person wants to see beside it.
_FLAME_RATIO = 0.45
_SPOTS = ((0.5, 0.85), (0.3, 0.85), (0.7, 0.85), (0.5, 0.6), (0.15, 0.85), (0.85, 0.85))
"""Where the foot of the flame may stand, as shares of width and height, in the order of preference."""
# Of what is seen of the flame; from half on it counts for nothing, see `edge.zones.zones`.
_HIDDEN_SHARE = 0.4
# Of the picture's width to each side: the classifier sees in cells of a tenth to a fifth.
_SEEN_WIDER_RATIO = 0.1


def free_spot(picture: Picture, hidden_share: Callable[[Box, Picture], float]) -> FirePlace | None:
    """Choose where the flame stands: the first of the places that are hidden least; None when all are too much.

    Args:
        picture: of the camera.
        hidden_share: tells how much of a box lies in the camera's ignored or private zones, 0…1.
    """
    shares = [(hidden_share(box, picture), place) for place, box in _spots(picture)]
    share, place = min(shares, key=lambda found: found[0])
    return place if share < _HIDDEN_SHARE else None


def _spots(picture: Picture) -> list[tuple[FirePlace, Box]]:
    """List the places for the flame, each with the box in which it will be seen, in pixels of the picture."""
    height_px = _FLAME_RATIO * picture.height_px
    half_px = 0.4 * height_px + _SEEN_WIDER_RATIO * picture.width_px
    found = []
    for x_ratio, y_ratio in _SPOTS:
        x_px, y_px = x_ratio * picture.width_px, y_ratio * picture.height_px
        place = FirePlace(
            x_px=x_px, y_px=y_px, flame_height_px=height_px, smoke_height_px=0.9 * y_px
        )
        x1, x2 = max(0.0, x_px - half_px), min(float(picture.width_px), x_px + half_px)
        box = Box(x1=x1, y1=y_px - height_px, x2=x2, y2=y_px)
        found.append((place, box))
    return found


def draw_test(picture: Picture, place: FirePlace, *, seed: int, t_s: float) -> Picture:
    """Draw a flame that flickers, and the mark.

    Args:
        picture: of the camera.
        place: of the flame.
        seed: decides how it looks; the same over one test.
        t_s: seconds since the test began.

    Raises:
        ImageError(IMAGE_DAMAGED): the picture cannot be decoded.
    """
    bgr = decode(picture).bgr_hwc_u8
    look = draw_look(np.random.default_rng(seed))
    drawn = composite_fire(bgr, look=look, place=place, t_s=t_s).bgr_hwc_u8
    scale = picture.height_px / 480
    thickness = max(1, round(2 * scale))
    height_px = round(36 * scale)
    cv2.rectangle(drawn, (0, 0), (picture.width_px, height_px), (0, 0, 0), cv2.FILLED)
    at = (round(10 * scale), round(26 * scale))
    white = (255, 255, 255)
    cv2.putText(drawn, _MARK, at, cv2.FONT_HERSHEY_SIMPLEX, 0.8 * scale, white, thickness)
    return jpeg_picture(drawn)
