"""Small pictures for the wall, made once a frame however many people look. Ring: adapter (codec)."""

from __future__ import annotations

import threading
from collections import OrderedDict

import cv2
import numpy as np

from shared.imaging import decode, encode_jpeg
from shared.types import Picture

_QUALITY = 72  # a flame of a few pixels still shows; 80 is a third larger
_MOST_KEPT = 64  # 8 cameras, two sizes, and the frames of an event that is being looked at


class Thumbnails:
    """Scales pictures down and keeps the last ones; safe for use by many threads."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    def get(self, frame_id: str, picture: Picture, width_px: int) -> bytes:
        """Give a picture as JPEG at most `width_px` wide.

        Cost: a JPEG is decoded at an eighth to a half of its size; 720p to 480 px takes about 3 ms.

        Raises:
            ImageError(IMAGE_DAMAGED)
        """
        key = (frame_id, width_px)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
        made = shrink(picture, width_px)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return made


def shrink(picture: Picture, width_px: int) -> bytes:
    """Scale a picture to at most this width, as JPEG.

    Raises:
        ImageError(IMAGE_DAMAGED)
    """
    wide = min(width_px, picture.width_px)
    size = (wide, max(1, round(picture.height_px * wide / picture.width_px)))
    pixels = decode(picture, at_least_px=size).bgr_hwc_u8
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return encode_jpeg(np.asarray(resized, dtype=np.uint8), _QUALITY)
