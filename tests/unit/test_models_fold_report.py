"""A fold is calibrated on what it knows and measured on what it left out."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from models.fold_report import held_out, source_rows
from models.folds import Fold, FoldScores
from tests.helpers.pack_pictures import pack_picture

FOLD = Fold(name="mixed", fire_sources=("mixed",), negative_sources=("fog",))


def fold_scores(count: int, *, bias: float, seed: int = 0):
    """Pictures and logits of a fold whose left-out sources are shifted by `bias` against what it knows."""
    rng = np.random.default_rng(seed)
    by_file, files, logits = {}, {"held": [], "known": []}, {"held": [], "known": []}
    for part, shift in (("held", bias), ("known", 0.0)):
        for index in range(count):
            fire, smoke = float(index % 2), float(index % 3 == 0)
            file = f"images/val/{part}_{index}.jpg"
            source = ("mixed" if fire or smoke else "fog") if part == "held" else "street"
            by_file[file] = pack_picture(file, (fire, smoke), source=source, tag="fog_cloud")
            files[part].append(file)
            noise = rng.normal(0, 2, 2)
            logits[part].append(noise + shift + 3 * np.array([2 * fire - 1, 2 * smoke - 1]))
    scores = FoldScores(
        held_files=tuple(files["held"]),
        held_logits={"int8": np.asarray(logits["held"], np.float32)},
        known_files=tuple(files["known"]),
        known_logits={"int8": np.asarray(logits["known"], np.float32)},
    )
    return scores, by_file


def test_the_threshold_finds_its_share_of_the_known_fires() -> None:
    scores, by_file = fold_scores(600, bias=0.0)
    held = held_out(FOLD, scores, by_file, "int8")
    known = np.array([by_file[f].truth.present[0] for f in scores.known_files])
    p = held.calibrations[0].probabilities(scores.known_logits["int8"][known == 1.0, 0])
    assert (p >= held.threshold).mean() == pytest.approx(0.95, abs=0.01)


def test_a_shifted_source_is_badly_calibrated_until_its_own_labels_are_used() -> None:
    row = source_rows(held_out(FOLD, *fold_scores(600, bias=4.0), "int8"))["mixed"]["fire"]
    assert row["ece"] > 0.1
    assert row["ece_after_labels"] < 0.6 * row["ece"]
    assert row["auc"] > 0.95


def test_a_source_like_the_others_is_not_spoilt_by_its_own_labels() -> None:
    row = source_rows(held_out(FOLD, *fold_scores(600, bias=0.0), "int8"))["mixed"]["fire"]
    assert row["ece_after_labels"] < row["ece"] + 0.03


def test_a_source_of_fires_only_has_no_row() -> None:
    fold = Fold(name="mixed", fire_sources=("mixed",))
    scores, by_file = fold_scores(40, bias=0.0)
    fires = tuple(f for f in scores.held_files if by_file[f].truth.present[0] == 1.0)
    chosen = [scores.held_files.index(f) for f in fires]
    only = FoldScores(
        held_files=fires,
        held_logits={"int8": scores.held_logits["int8"][chosen]},
        known_files=scores.known_files,
        known_logits=scores.known_logits,
    )
    assert source_rows(held_out(fold, only, by_file, "int8")) == {}
