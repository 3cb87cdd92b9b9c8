"""How long after a fire can be seen each model says so, on the clips of `clips.csv`, and how often without a fire.

A verdict is a frame over the model's own threshold, at five frames a second. Clips, like the pack, are an optional
folder beside the checkout.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

FRAMES_PER_S = 5.0
# Says of a frame (H, W, 3) uint8 BGR whether there is fire.
SaysFire = Callable[[NDArray[np.uint8]], bool]
Measures = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A film, and the second from which fire can be seen in it; None when there is none."""

    path: Path
    onset_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """The seconds of the frames looked at, shape (N,), and whether fire was said, shape (N,)."""

    at_s: NDArray[np.float64]
    says_fire: NDArray[np.bool_]

    def delay_s(self, onset_s: float) -> float | None:
        """Give the seconds from onset to the first verdict; None when it never came."""
        later = self.at_s[self.says_fire & (self.at_s >= onset_s)]
        return float(later[0] - onset_s) if len(later) else None

    def false_in(self, onset_s: float | None) -> int:
        """Count the verdicts before there was any fire."""
        return int((self.says_fire & (self.at_s < _end(onset_s))).sum())

    def quiet_s(self, onset_s: float | None) -> float:
        """Give how long there was no fire."""
        return float((self.at_s < _end(onset_s)).sum()) / FRAMES_PER_S


def read_clips(folder: Path) -> list[Clip]:
    """List the clips of a folder; none when it has no `clips.csv`."""
    listing = folder / "clips.csv"
    if not listing.is_file():
        return []
    with listing.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return [
        Clip(
            path=folder / row["file"],
            onset_s=float(row["first_fire_second"]) if row["first_fire_second"] else None,
        )
        for row in rows
        if (folder / row["file"]).is_file()
    ]


def watch(path: Path, says_fire: SaysFire) -> Verdicts:
    """Look at a film at FRAMES_PER_S."""
    pairs = [(at_s, says_fire(bgr)) for at_s, bgr in _frames(path)]
    return Verdicts(
        at_s=np.array([at_s for at_s, _ in pairs]),
        says_fire=np.array([said for _, said in pairs], bool),
    )


def watch_clips(clips: list[Clip], says_fire: SaysFire) -> Measures:
    """Give the delay on each clip with fire, and the false verdicts per minute without."""
    delays: dict[str, float | None] = {}
    false, quiet_s = 0, 0.0
    for clip in clips:
        verdicts = watch(clip.path, says_fire)
        false += verdicts.false_in(clip.onset_s)
        quiet_s += verdicts.quiet_s(clip.onset_s)
        if clip.onset_s is not None:
            delay = verdicts.delay_s(clip.onset_s)
            delays[clip.path.stem] = None if delay is None else round(delay, 2)
    per_minute = round(60.0 * false / quiet_s, 2) if quiet_s else None
    return {"delay_s": delays, "false_per_minute": per_minute, "quiet_s": round(quiet_s, 1)}


def _end(onset_s: float | None) -> float:
    return np.inf if onset_s is None else onset_s


def _frames(path: Path) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    capture = cv2.VideoCapture(str(path))
    fps = capture.get(cv2.CAP_PROP_FPS) or 15.0
    every = max(1, round(fps / FRAMES_PER_S))
    number = 0
    while capture.grab():
        if number % every == 0:
            _, bgr = capture.retrieve()
            yield number / fps, np.asarray(bgr, np.uint8)
        number += 1
    capture.release()
