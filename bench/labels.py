"""The validation pictures of the optional data, with what they show by the corrected labels."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

DATA = Path("../shared/data")
_CORRECTIONS = Path(__file__).parents[1] / "models" / "data" / "corrections.csv"


def list_labelled(data: Path) -> Iterator[tuple[Path, str, str]]:
    """List (picture, fire, smoke), both "1", "0", or something else where nobody knows."""
    corrected = {row["file"]: row for row in _rows(_CORRECTIONS)}
    for row in _val(data):
        label = corrected.get(row["file"], row)
        yield data / "fire-smoke" / row["file"], label["fire"], label["smoke"]


def list_negatives(data: Path) -> list[Path]:
    """List the pictures that show neither fire nor smoke, as they were labelled at first."""
    pack = data / "fire-smoke"
    return [pack / row["file"] for row in _val(data) if row["fire"] == row["smoke"] == "0"]


def list_sure_negatives(data: Path) -> list[Path]:
    """List those of them that show nothing by the corrected labels, too: a plume among them is no false alarm."""
    nothing = {path for path, fire, smoke in list_labelled(data) if fire == smoke == "0"}
    return [path for path in list_negatives(data) if path in nothing]


def _val(data: Path) -> Iterator[dict[str, str]]:
    rows = _rows(data / "fire-smoke" / "manifest.csv")
    return (row for row in rows if row["split"] == "val")


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)
