"""The fire and smoke pack: its manifest, its COCO files and its pictures, read and checked against each other.

The pack is an optional folder beside the checkout; nothing of it is ever copied into the repository. A pack that
does not fit together is refused before an hour of training is spent on it.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from models.data.corrections import Correction, correct
from models.data.truth import LABELS, DataError, Picture, Truth

# COCO category id → our label index.
_CATEGORIES = {1: 0, 2: 1}
_COCO_FILES = {
    "train": ("instances_train.json", "instances_train_fireonly.json"),
    "val": ("instances_val.json", "instances_val_fireonly.json"),
}
_NO_CORRECTIONS: Mapping[str, Correction] = MappingProxyType({})
Split = Literal["train", "val"]


def default_data_dir() -> Path:
    """Give the data folder: `EMBERLINK_DATA`, else beside the checkout."""
    return Path(os.environ.get("EMBERLINK_DATA", "../shared/data/fire-smoke"))


def default_weights_dir() -> Path:
    """Give the folder of pretrained weights: `EMBERLINK_WEIGHTS`, else beside the checkout."""
    return Path(os.environ.get("EMBERLINK_WEIGHTS", "../shared/pretrained"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """One split of the pack in memory (JPEG bytes, about 200 MB for train)."""

    root: Path
    split: Split
    pictures: tuple[Picture, ...]
    sha256: str
    skipped: tuple[str, ...]


def load_pack(
    root: Path,
    split: Split,
    *,
    skip_unreadable: bool = False,
    corrections: Mapping[str, Correction] = _NO_CORRECTIONS,
) -> Pack:
    """Read one split and check that manifest, COCO files and pictures agree.

    Args:
        root: data folder with `manifest.csv`, `annotations/` and `images/`.
        split: which part.
        skip_unreadable: leave pictures out that cannot be read, and name them, instead of refusing.
        corrections: by file, from `read_corrections`; those of the other split are passed over.

    Raises:
        DataError: the folder, a file or a picture is missing, unreadable or contradicts another, or a correction names
            a picture that is not there; all problems at once.
    """
    rows = _read_manifest(root, split)
    _check_corrections(corrections, split, rows)
    boxes = _read_boxes(root, split, {row["file"]: row for row in rows})
    pictures, skipped = [], []
    for row in tqdm(rows, desc=f"read {split}", unit="picture", leave=False):
        problem, jpeg = _read_jpeg(root, row)
        if problem:
            skipped.append(problem)
            continue
        as_labelled = _picture(row, boxes.get(row["file"], []), jpeg)
        picture = correct(as_labelled, corrections.get(row["file"]))
        if picture is not None:
            pictures.append(picture)
    if skipped and not skip_unreadable:
        raise DataError(
            _list_problems(
                f"{len(skipped)} pictures cannot be read (--skip-unreadable leaves them out)",
                skipped,
            )
        )
    digest = hashlib.sha256((root / "manifest.csv").read_bytes()).hexdigest()
    return Pack(
        root=root, split=split, pictures=tuple(pictures), sha256=digest, skipped=tuple(skipped)
    )


def _read_manifest(root: Path, split: Split) -> list[dict[str, str]]:
    path = root / "manifest.csv"
    if not path.is_file():
        raise DataError(f"{path} is not there; name the data folder with --data or EMBERLINK_DATA")
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == split]
    bad = [
        f"{r['file']}: {k} is {r[k]!r}" for r in rows for k in LABELS if r[k] not in ("0", "1", "")
    ]
    if bad or not rows:
        raise DataError(
            _list_problems(
                f"{path}: no rows of split {split}" if not rows else f"{path}: bad labels", bad
            )
        )
    return rows


def _check_corrections(
    corrections: Mapping[str, Correction], split: Split, rows: Sequence[dict[str, str]]
) -> None:
    known = {row["file"] for row in rows}
    lost = [f for f in corrections if f.startswith(f"images/{split}/") and f not in known]
    if lost:
        raise DataError(_list_problems("corrections of pictures that are not in the pack", lost))


def _read_boxes(
    root: Path, split: Split, rows: dict[str, dict[str, str]]
) -> dict[str, list[tuple[int, list[float]]]]:
    """Read both COCO files: file → (label index, x, y, w, h)."""
    boxes: dict[str, list[tuple[int, list[float]]]] = defaultdict(list)
    problems: list[str] = []
    for name in _COCO_FILES[split]:
        path = root / "annotations" / name
        if not path.is_file():
            raise DataError(f"{path} is not there")
        coco: dict[str, Any] = json.loads(path.read_bytes())
        problems += _check_categories(path, coco)
        files = {image["id"]: image["file_name"] for image in coco["images"]}
        problems += [
            f"{path.name}: {file} is not in the manifest"
            for file in files.values()
            if file not in rows
        ]
        for note in coco["annotations"]:
            if note["image_id"] not in files or note["category_id"] not in _CATEGORIES:
                problems.append(
                    f"{path.name}: annotation {note['id']} is of an unknown picture or class"
                )
                continue
            boxes[files[note["image_id"]]].append((_CATEGORIES[note["category_id"]], note["bbox"]))
    if problems:
        raise DataError(_list_problems("the COCO files do not match the manifest", problems))
    return boxes


def _check_categories(path: Path, coco: dict[str, Any]) -> list[str]:
    return [
        f"{path.name}: class {c['id']} is {c['name']!r}, known are 1 = fire, 2 = smoke"
        for c in coco["categories"]
        if c["id"] not in _CATEGORIES or LABELS[_CATEGORIES[c["id"]]] != c["name"]
    ]


def _read_jpeg(root: Path, row: dict[str, str]) -> tuple[str, bytes]:
    """Read the bytes of a picture; the first value says what is wrong with it, if anything."""
    try:
        jpeg = (root / row["file"]).read_bytes()
    except OSError as err:
        return f"{row['file']}: {err.strerror}", b""
    if not jpeg.startswith(b"\xff\xd8") or b"\xff\xd9" not in jpeg[-64:]:
        return f"{row['file']}: not a complete JPEG", b""
    return "", jpeg


def _picture(row: dict[str, str], boxes: Sequence[tuple[int, list[float]]], jpeg: bytes) -> Picture:
    corners = [[x, y, x + w, y + h] for _, (x, y, w, h) in boxes]
    known = row["boxed_classes"].split("+") if row["boxed_classes"] else []
    present = [float(row[label]) if row[label] else float("nan") for label in LABELS]
    is_negative = present == [0.0, 0.0]
    truth = Truth(
        present=(present[0], present[1]),
        boxes_xyxy=np.asarray(corners, np.float32).reshape(-1, 4),
        box_labels=np.asarray([label for label, _ in boxes], np.int64),
        boxes_known=("fire" in known or is_negative, "smoke" in known or is_negative),
    )
    return Picture(
        file=row["file"],
        source=row["source"],
        cluster=row["cluster"],
        kind=row["kind"],
        tag=row["tag"],
        width_px=int(row["width"]),
        height_px=int(row["height"]),
        truth=truth,
        jpeg=jpeg,
    )


def _list_problems(head: str, problems: Sequence[str], most: int = 10) -> str:
    shown = "".join(f"\n  {p}" for p in problems[:most])
    rest = f"\n  … and {len(problems) - most} more" if len(problems) > most else ""
    return head + shown + rest
