"""Draw the pictures on which a model and the labels disagree most: `python -m models.contact_sheet`.

Sheets to look at, a number on each picture, the files of the numbers in a list beside them; below `models/runs`, never
shipped. What eyes find wrong goes into `models/data/corrections.csv`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from models.artifact import PLANS, shipped
from models.data import LABELS, Picture, default_data_dir, load_pack, read_corrections
from models.distil import Said, student_words, teacher_words
from models.training_run import RUNS_DIR

_TILE_PX, _CAPTION_PX = 230, 34
_COLUMNS, _ROWS = 6, 5
_SEED = 5
_COLOURS = ((0, 0, 255), (255, 160, 0))  # BGR: fire red, smoke blue


def disagreement(picture: Picture, said: tuple[float, float]) -> float:
    """Tell how far a model is from what is known of a picture, 0…1: the worse of the two labels."""
    known = (
        abs(p - y) for p, y in zip(said, picture.truth.present, strict=True) if not np.isnan(y)
    )
    return max(known, default=0.0)


def worst(pictures: Sequence[Picture], said: Said, most: int) -> list[Picture]:
    """Order pictures by disagreement and keep the first."""
    return sorted(pictures, key=lambda p: -disagreement(p, said[p.file]))[:most]


def at_random(pictures: Sequence[Picture], most: int) -> list[Picture]:
    """Draw pictures with fire or smoke: what share of them is labelled wrong can be told from no other choice."""
    shown = [p for p in pictures if 1.0 in p.truth.present]
    chosen = np.random.default_rng(_SEED).permutation(len(shown))[:most]
    return [shown[int(i)] for i in chosen]


def draw_sheets(pictures: Sequence[Picture], said: Said, folder: Path) -> None:
    """Write `sheet-1.png` and so on, and `files.txt` with number, file and labels."""
    folder.mkdir(parents=True, exist_ok=True)
    a_sheet = _COLUMNS * _ROWS
    for first in range(0, len(pictures), a_sheet):
        tiles = [
            _tile(first + i, picture, said[picture.file])
            for i, picture in enumerate(pictures[first : first + a_sheet])
        ]
        tiles += [np.zeros_like(tiles[0])] * (a_sheet - len(tiles))
        rows = [np.hstack(tiles[r * _COLUMNS : (r + 1) * _COLUMNS]) for r in range(_ROWS)]
        cv2.imwrite(str(folder / f"sheet-{first // a_sheet + 1}.png"), np.vstack(rows))
    lines = [f"{i} {p.file} {_label_text(p)}" for i, p in enumerate(pictures)]
    (folder / "files.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _tile(number: int, picture: Picture, said: tuple[float, float]) -> NDArray[np.uint8]:
    bgr = picture.decode()
    scale = _TILE_PX / max(bgr.shape[:2])
    small = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tile = np.zeros((_TILE_PX + _CAPTION_PX, _TILE_PX, 3), np.uint8)
    for label, box in zip(picture.truth.box_labels, picture.truth.boxes_xyxy, strict=True):
        x0, y0, x1, y1 = (round(float(v) * scale) for v in box)
        cv2.rectangle(small, (x0, y0), (x1, y1), _COLOURS[label], 1)
    tile[: small.shape[0], : small.shape[1]] = small[:_TILE_PX, :_TILE_PX]
    texts = (
        f"{number} {picture.source}",
        f"{_label_text(picture)} said {said[0]:.2f} {said[1]:.2f}",
    )
    for line, text in enumerate(texts):
        at = (2, _TILE_PX + 13 + 16 * line)
        cv2.putText(tile, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return tile


def _label_text(picture: Picture) -> str:
    states = ("?" if np.isnan(y) else f"{y:.0f}" for y in picture.truth.present)
    return " ".join(f"{name} {state}" for name, state in zip(LABELS, states, strict=True))


def main() -> None:
    """Read the command line and draw the worst of both models on both splits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=default_data_dir(), help="folder of the pack")
    parser.add_argument("--most", type=int, default=100, help="pictures a model and split")
    parser.add_argument(
        "--corrected", action="store_true", help="rank by the corrected labels instead"
    )
    parser.add_argument("--random", action="store_true", help="not the worst, but any")
    given = parser.parse_args()
    corrections = read_corrections() if given.corrected else {}
    classifier, detector = PLANS["classifier"], PLANS["detector"]
    tuned_on = load_pack(given.data, "val").pictures
    for split in ("val", "train"):
        as_labelled = load_pack(given.data, split).pictures
        shown = load_pack(given.data, split, corrections=corrections).pictures
        words = {
            "classifier": student_words(
                shipped(classifier) / classifier.files["int8"], as_labelled, tuned_on
            ),
            "detector": teacher_words(
                shipped(detector) / detector.files["fp32"], as_labelled, tuned_on
            ),
        }
        for name, said in words.items():
            state = "random" if given.random else "after" if given.corrected else "before"
            folder = RUNS_DIR / "contact-sheets" / state / f"{name}-{split}"
            chosen = (
                worst(shown, said, given.most) if not given.random else at_random(shown, given.most)
            )
            draw_sheets(chosen, said, folder)
            click.echo(folder)


if __name__ == "__main__":
    main()
