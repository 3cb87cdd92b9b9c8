"""Labels of the pack that eyes found wrong, and how they are put right: `corrections.csv` beside this file.

A row names a picture, then either `drop` or `relabel` with the true `fire` and `smoke` (1, 0, or ? for nobody knows)
and, where they were drawn anew, the boxes of a class: `fire 12 30 80 90; smoke 0 0 200 150`, corners in stored pixels.
Training always applies them. The validation split is measured as labelled first, and as corrected beside it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from models.data.truth import LABELS, DataError, Picture, Truth

CORRECTIONS_FILE = Path(__file__).parent / "corrections.csv"
_COLUMNS = ("file", "action", "fire", "smoke", "boxes", "why")
_STATES = {"1": 1.0, "0": 0.0, "?": math.nan}
LabelledBox = tuple[int, tuple[float, float, float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What is true of one picture; `present` None drops it, `boxes` replace those of the classes they name."""

    file: str
    present: tuple[float, float] | None
    boxes: tuple[LabelledBox, ...] = ()


def read_corrections(path: Path = CORRECTIONS_FILE) -> Mapping[str, Correction]:
    """Read the corrections by file.

    Raises:
        DataError: the file is missing, or a row cannot be understood; all bad rows at once.
    """
    if not path.is_file():
        raise DataError(f"{path} is not there")
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != _COLUMNS:
            raise DataError(f"{path}: the columns must be {', '.join(_COLUMNS)}")
        rows = list(reader)
    found: dict[str, Correction] = {}
    problems: list[str] = []
    for line, row in enumerate(rows, start=2):
        try:
            if row["file"] in found:
                raise ValueError("is there twice")
            found[row["file"]] = _correction(row)
        except ValueError as err:
            problems.append(f"line {line}: {row['file']}: {err}")
    if problems:
        raise DataError(f"{path}: " + "; ".join(problems[:10]))
    return MappingProxyType(found)


def correct(picture: Picture, correction: Correction | None) -> Picture | None:
    """Put a picture right; None where it is to be dropped.

    A class that is gone loses its boxes. One that is new or that nobody knows has no known boxes until they are given.
    """
    if correction is None:
        return picture
    if correction.present is None:
        return None
    given = {label for label, _ in correction.boxes}
    kept = [
        (int(label), tuple(box))
        for label, box in zip(picture.truth.box_labels, picture.truth.boxes_xyxy, strict=True)
        if correction.present[label] == 1.0 and label not in given
    ]
    boxes = [*kept, *correction.boxes]
    known = [
        _boxes_known(picture, label, correction.present[label], given)
        for label in range(len(LABELS))
    ]
    truth = Truth(
        present=correction.present,
        boxes_xyxy=np.asarray([box for _, box in boxes], np.float32).reshape(-1, 4),
        box_labels=np.asarray([label for label, _ in boxes], np.int64),
        boxes_known=(known[0], known[1]),
    )
    return replace(picture, truth=truth, kind=_kind(picture, truth))


def labelled_right(picture: Picture, correction: Correction | None) -> Picture:
    """Put a picture right for measuring: one that is to be dropped stays, with nothing known of it."""
    right = correct(picture, correction)
    if right is not None:
        return right
    nothing = Truth(
        present=(math.nan, math.nan),
        boxes_xyxy=np.zeros((0, 4), np.float32),
        box_labels=np.zeros(0, np.int64),
        boxes_known=(False, False),
    )
    return replace(picture, truth=nothing)


def _boxes_known(picture: Picture, label: int, present: float, given: set[int]) -> bool:
    if present == 0.0 or label in given:
        return True
    was_there = picture.truth.present[label] == 1.0
    return present == 1.0 and was_there and picture.truth.boxes_known[label]


def _kind(picture: Picture, truth: Truth) -> str:
    if 1.0 in truth.present:
        return "pos"
    # What once passed for fire or smoke looks like it.
    return "hard" if picture.kind == "pos" else picture.kind


def _correction(row: Mapping[str, str]) -> Correction:
    if row["action"] == "drop":
        return Correction(file=row["file"], present=None)
    if row["action"] != "relabel":
        raise ValueError(f"action is {row['action']!r}, known are drop and relabel")
    if row["fire"] not in _STATES or row["smoke"] not in _STATES:
        raise ValueError(f"labels are {row['fire']!r} and {row['smoke']!r}, known are 1, 0 and ?")
    boxes = tuple(_box(text) for text in row["boxes"].split(";") if text.strip())
    present = (_STATES[row["fire"]], _STATES[row["smoke"]])
    if any(present[label] != 1.0 for label, _ in boxes):
        raise ValueError("has boxes of a class that is not there")
    return Correction(file=row["file"], present=present, boxes=boxes)


def _box(text: str) -> LabelledBox:
    name, *corners = text.split()
    if name not in LABELS or len(corners) != 4:
        raise ValueError(f"{text.strip()!r} is not a class and four corners")
    x0, y0, x1, y1 = (float(c) for c in corners)
    if not (0 <= x0 < x1 and 0 <= y0 < y1):
        raise ValueError(f"{text.strip()!r} has no area")
    return LABELS.index(name), (x0, y0, x1, y1)
