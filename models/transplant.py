"""Real flames cut from one picture and put into another, as a source of training. Ring: none.

A collection of fires has a place, a camera and a size of its own, and a net learns those as well. The same flames
before other places, larger, smaller, by day and by night, leave the flame as the only thing that says fire. Cuts of
pictures without fire are put in by the same code, so that a seam says nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator

# Height of the cut over the picture it is put into: a candle across the room to a fire that fills half of the view.
_HEIGHT_RATIO = (0.06, 0.5)
# A cut is enlarged at most so much: beyond that it is a blur that nobody would see on a camera.
_MOST_ENLARGED = 2.0
# A flame covers at least this share of its own box; less and the cut shows something else.
_LEAST_FLAME = 0.12


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A piece of a picture, (H, W, 3) float32 BGR 0…255, and how much of each pixel is taken along, (H, W) 0…1."""

    bgr: NDArray[np.float32]
    alpha: NDArray[np.float32]


def cut_flame(bgr: NDArray[np.uint8], box_xyxy: NDArray[np.float32]) -> Cut | None:
    """Cut a flame out: what is bright and warm inside its box.

    Args:
        bgr: shape (H, W, 3), uint8, **BGR**.
        box_xyxy: the flame's box in its pixels.

    Returns:
        the cut, or None where the box is too small or hardly holds anything like a flame.
    """
    piece = _piece(bgr, box_xyxy)
    if piece is None:
        return None
    red, green, blue = piece[..., 2], piece[..., 1], piece[..., 0]
    warm = np.clip((red - blue) / 90.0, 0, 1) + np.clip((np.minimum(red, green) - 215) / 30.0, 0, 1)
    bright = np.clip((red - 110.0) / 70.0, 0, 1)
    alpha = _soft(np.clip(warm, 0, 1) * bright, feather=False)
    return Cut(bgr=piece, alpha=alpha) if alpha.mean() > _LEAST_FLAME else None


def cut_any(bgr: NDArray[np.uint8], rng: Rng) -> Cut | None:
    """Cut some round piece out of a picture (H, W, 3), uint8, BGR, whatever it shows."""
    height, width = bgr.shape[:2]
    size = rng.uniform(0.15, 0.5, 2) * (width, height)
    corner = rng.random(2) * ((width, height) - size)
    piece = _piece(bgr, np.array([*corner, *(corner + size)], np.float32))
    if piece is None:
        return None
    luma = piece.mean(2)
    # As flames are cut: the brighter part of it, with an uneven edge.
    alpha = _soft(np.clip((luma - np.quantile(luma, 0.4)) / 40.0, 0, 1), feather=True)
    return Cut(bgr=piece, alpha=alpha)


def put_in(
    bgr: NDArray[np.uint8], cut: Cut, rng: Rng
) -> tuple[NDArray[np.uint8], tuple[float, float, float, float]]:
    """Put a cut somewhere into a picture.

    Args:
        bgr: shape (H, W, 3), uint8, **BGR**, not changed.
        cut: what to put in.
        rng: decides size, place and light.

    Returns:
        the new picture, and the box of the cut in its pixels.
    """
    height, width = bgr.shape[:2]
    rows, cols = cut.alpha.shape
    wanted = math.exp(rng.uniform(*np.log(_HEIGHT_RATIO))) * height / rows
    scale = min(wanted, _MOST_ENLARGED, 0.9 * width / cols, 0.9 * height / rows)
    size = (max(6, round(cols * scale)), max(6, round(rows * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    piece, alpha = (
        cv2.resize(cut.bgr, size, interpolation=way),
        cv2.resize(cut.alpha, size, interpolation=way),
    )
    if rng.random() < 0.5:
        piece, alpha = cv2.flip(piece, 1), cv2.flip(alpha, 1)
    left = int(rng.integers(0, max(1, width - size[0])))
    top = int(rng.integers(0, max(1, height - size[1])))
    canvas = bgr.astype(np.float32)
    if rng.random() < 0.35:
        canvas *= np.float32(rng.uniform(0.25, 0.8))
    place = canvas[top : top + size[1], left : left + size[0]]
    place += (piece - place) * alpha[: place.shape[0], : place.shape[1], None]
    seen_rows, seen_cols = np.nonzero(alpha > 0.3)
    box = (
        float(left + seen_cols.min(initial=0)),
        float(top + seen_rows.min(initial=0)),
        float(left + seen_cols.max(initial=1) + 1),
        float(top + seen_rows.max(initial=1) + 1),
    )
    return np.asarray(np.clip(canvas, 0, 255), np.uint8), box


def _piece(bgr: NDArray[np.uint8], box_xyxy: NDArray[np.float32]) -> NDArray[np.float32] | None:
    height, width = bgr.shape[:2]
    left, top = np.maximum(np.floor(box_xyxy[:2]), 0).astype(int)
    right, bottom = np.minimum(np.ceil(box_xyxy[2:]), (width, height)).astype(int)
    if right - left < 12 or bottom - top < 12:
        return None
    return bgr[top:bottom, left:right].astype(np.float32)


def _soft(alpha: NDArray[np.float32], *, feather: bool) -> NDArray[np.float32]:
    """Close holes, soften the rim, and fade towards the sides of the piece so that no straight edge shows."""
    rows, cols = alpha.shape
    grain = max(3, min(rows, cols) // 8) | 1
    closed = cv2.morphologyEx(alpha, cv2.MORPH_CLOSE, np.ones((grain, grain), np.uint8))
    soft = cv2.GaussianBlur(closed, (0, 0), max(0.8, min(rows, cols) / 40))
    rim = 0.06 if not feather else 0.25
    down = np.clip(np.minimum(np.arange(rows) + 1, rows - np.arange(rows)) / (rim * rows), 0, 1)
    along = np.clip(np.minimum(np.arange(cols) + 1, cols - np.arange(cols)) / (rim * cols), 0, 1)
    return np.asarray(soft * np.outer(down, along), np.float32)
