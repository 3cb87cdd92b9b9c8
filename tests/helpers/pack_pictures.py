"""Pictures of a pack with any truth, for tests of what training and evaluation do with them."""

from __future__ import annotations

import cv2
import numpy as np

from models.data import Picture, Truth

NAN = float("nan")


def pack_picture(
    file: str,
    present: tuple[float, float] = (0.0, 0.0),
    *,
    source: str = "a",
    kind: str = "ordinary",
    tag: str = "",
    colour: tuple[int, int, int] = (128, 128, 128),
) -> Picture:
    """Make a picture of one colour without boxes; a class counts as boxed where it is known to be absent."""
    jpeg = cv2.imencode(".jpg", np.full((40, 60, 3), colour, np.uint8))[1].tobytes()
    truth = Truth(
        present=present,
        boxes_xyxy=np.zeros((0, 4), np.float32),
        box_labels=np.zeros(0, np.int64),
        boxes_known=(present[0] == 0.0, present[1] == 0.0),
    )
    return Picture(
        file=file,
        source=source,
        cluster="1",
        kind=kind,
        tag=tag,
        width_px=60,
        height_px=40,
        truth=truth,
        jpeg=jpeg,
    )
