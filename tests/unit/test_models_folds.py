"""A fold never trains on what it is judged by."""

from __future__ import annotations

from collections import Counter

import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from models.data import Correction
from models.folds import FOLDS, Fold, read_scores, split
from tests.helpers.pack_pictures import pack_picture

SOURCES = sorted({source for fold in FOLDS for source in fold.left_out} | {"street", "houses"})
TRAIN = [pack_picture(f"images/train/{source}_1.jpg", source=source) for source in SOURCES]
VAL = [pack_picture(f"images/val/{source}_1.jpg", source=source) for source in SOURCES]


@pytest.mark.parametrize("fold", FOLDS, ids=lambda fold: fold.name)
def test_nothing_of_a_left_out_source_is_trained_on_or_tuned_on(fold: Fold) -> None:
    parts = split(fold, TRAIN, VAL, {})
    assert not fold.left_out & {p.source for p in (*parts.seen, *parts.known)}
    assert {p.source for p in parts.held} == fold.left_out
    assert {p.file for p in parts.held} >= {
        f"images/{part}/{s}_1.jpg" for s in fold.left_out for part in ("train", "val")
    }


@pytest.mark.parametrize("fold", FOLDS, ids=lambda fold: fold.name)
def test_no_picture_is_in_two_parts_of_a_fold(fold: Fold) -> None:
    parts = split(fold, TRAIN, VAL, {})
    counts = Counter(p.file for p in (*parts.seen, *parts.held, *parts.known))
    assert set(counts.values()) == {1}
    assert all(p.file.startswith("images/val/") for p in parts.known)


def test_corrections_reach_what_is_trained_on_and_not_what_is_judged_by() -> None:
    drops = {p.file: Correction(file=p.file, present=None) for p in (*TRAIN, *VAL)}
    parts = split(FOLDS[0], TRAIN, VAL, drops)
    assert not parts.seen
    assert len(parts.held) == 2 * len(FOLDS[0].left_out)


def test_every_source_of_fire_is_left_out_exactly_once() -> None:
    left_out = Counter(source for fold in FOLDS for source in fold.fire_sources)
    assert left_out == dict.fromkeys(
        ("hotfire", "liuzifan", "fireaonru", "cctvfire", "kagglefire", "indoorfire", "limjongun"), 1
    )


def test_scores_of_a_fold_that_has_not_run_are_asked_for_by_name() -> None:
    with pytest.raises(FileNotFoundError, match="make folds"):
        read_scores(Fold(name="never-ran", fire_sources=("hotfire",)))
