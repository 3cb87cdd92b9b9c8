"""Small copies of pictures, for pages. Ring: adapter (codec)."""

from __future__ import annotations

import cv2
import numpy as np

from shared.picture.imaging import decode, encode_jpeg
from shared.types import Picture

QUALITY = 72  # JPEG of small copies: a flame of a few pixels still shows; 80 is a third larger


def shrink(picture: Picture, width_px: int) -> bytes:
    """Scale a picture to at most this width, as JPEG.

    Raises:
        ImageError(IMAGE_DAMAGED)
    """
    wide = min(width_px, picture.width_px)
    size = (wide, max(1, round(picture.height_px * wide / picture.width_px)))
    pixels = decode(picture, at_least_px=size).bgr_hwc_u8
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return encode_jpeg(np.asarray(resized, dtype=np.uint8), QUALITY)
