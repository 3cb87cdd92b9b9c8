"""Small pictures for the pages, made once however many people look. Ring: adapter (codec)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

import cv2
import numpy as np
from cv2.typing import MatLike

from edge.ui.drawing import around
from shared.picture.imaging import decode, encode_jpeg
from shared.picture.shrink import QUALITY, shrink
from shared.types import Box, Picture

_RED_BGR, _AMBER_BGR, _BLACK_BGR = (61, 74, 255), (92, 180, 255), (0, 0, 0)
_DASH_PX = 9
_MOST_KEPT = 128  # 8 cameras, and the frames of an event that is being looked at; 3 MB


class Thumbnails:
    """Scales pictures down and keeps the last ones; safe for use by many threads."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def get(self, frame_id: str, picture: Picture, width_px: int) -> bytes:
        """Give a picture as JPEG at most `width_px` wide.

        Cost: a JPEG is decoded at an eighth to a half of its size; 720p to 480 px takes about 3 ms.

        Raises:
            ImageError(IMAGE_DAMAGED)
        """
        return self.made((frame_id, str(width_px)), lambda: shrink(picture, width_px))

    def made(self, key: tuple[str, str], make: Callable[[], bytes]) -> bytes:
        """Give what was made under a key, or make it now."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
        made = make()
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return made


def crop_around(
    picture: Picture, box: Box | None, *, size_px: tuple[int, int], is_smoke: bool
) -> bytes:
    """Cut out what is around a box and draw the box, as JPEG of this size; without a box the whole middle.

    The line is dashed for smoke, so that it is told apart without its colour.

    Raises:
        ImageError(IMAGE_DAMAGED)
    """
    bgr = decode(picture).bgr_hwc_u8
    whole = Box(x1=0, y1=0, x2=picture.width_px, y2=picture.height_px)
    view = around(box or whole, picture.width_px, picture.height_px, aspect=size_px[0] / size_px[1])
    x1, y1, x2, y2 = (round(v) for v in (view.x1, view.y1, view.x2, view.y2))
    cut = cv2.resize(bgr[y1:y2, x1:x2], size_px, interpolation=cv2.INTER_AREA)
    if box is not None:
        scale = size_px[0] / (view.x2 - view.x1)
        corners = [
            round((v - o) * scale) for v, o in zip(_corners(box), (x1, y1, x1, y1), strict=True)
        ]
        _draw_box(cut, corners, is_dashed=is_smoke)
    return encode_jpeg(np.asarray(cut, dtype=np.uint8), QUALITY)


def _corners(box: Box) -> tuple[float, float, float, float]:
    return box.x1, box.y1, box.x2, box.y2


def _draw_box(bgr: MatLike, corners: list[int], *, is_dashed: bool) -> None:
    x1, y1, x2, y2 = corners
    cv2.rectangle(bgr, (x1, y1), (x2, y2), _BLACK_BGR, 5)
    if not is_dashed:
        cv2.rectangle(bgr, (x1, y1), (x2, y2), _RED_BGR, 2)
        return
    for x in range(x1, x2, 2 * _DASH_PX):
        for y in (y1, y2):
            cv2.line(bgr, (x, y), (min(x + _DASH_PX, x2), y), _AMBER_BGR, 2)
    for y in range(y1, y2, 2 * _DASH_PX):
        for x in (x1, x2):
            cv2.line(bgr, (x, y), (x, min(y + _DASH_PX, y2)), _AMBER_BGR, 2)
