"""What is known about a picture of the pack, and the picture itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

LABELS = ("fire", "smoke")


class DataError(Exception):
    """The data folder cannot be used as it is; the text says what is wrong and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is known about one picture.

    `present` is per label (fire, smoke): 1, 0 or NaN where it is not known. `boxes_xyxy` (N, 4) float32 are pixels of
    the picture they came with, `box_labels` (N,) int64 index LABELS. `boxes_known` says per label whether all its boxes
    were drawn; where not, absence of a box means nothing.
    """

    present: tuple[float, float]
    boxes_xyxy: NDArray[np.float32]
    box_labels: NDArray[np.int64]
    boxes_known: tuple[bool, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture of the pack: where it comes from, its truth in stored pixels, and its JPEG bytes."""

    file: str
    source: str
    cluster: str
    kind: str
    tag: str
    width_px: int
    height_px: int
    truth: Truth
    jpeg: bytes = field(repr=False)

    @property
    def is_negative(self) -> bool:
        """Tell whether neither fire nor smoke is in it, for certain."""
        return self.truth.present == (0.0, 0.0)

    def decode(self) -> NDArray[np.uint8]:
        """Decode to (H, W, 3) uint8 BGR.

        Raises:
            DataError: OpenCV cannot read it.
        """
        decoded = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        if decoded is None:
            raise DataError(f"{self.file}: not a readable picture")
        return np.asarray(decoded, np.uint8)
