"""Scores are computed once a picture and model file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from models import pack_scores
from tests.helpers.pack_pictures import pack_picture


@pytest.fixture
def asked(monkeypatch, tmp_path) -> list[list[str]]:
    """What the model was asked for, instead of a model."""
    calls: list[list[str]] = []

    def logits(path: Path, pictures):
        calls.append([p.file for p in pictures])
        return np.array([[len(p.file), 0.5] for p in pictures], np.float32)

    monkeypatch.setattr(pack_scores, "onnx_logits", logits)
    monkeypatch.setattr(pack_scores, "_FOLDER", tmp_path / "scores")
    return calls


def test_only_pictures_that_were_not_scored_yet_are_scored(tmp_path, asked) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"one")
    a, b, c = (pack_picture(name) for name in ("a.jpg", "bb.jpg", "ccc.jpg"))
    first = pack_scores.classifier_scores(model, [a, b])
    second = pack_scores.classifier_scores(model, [c, a])
    np.testing.assert_array_equal(first[:, 0], [5, 6])
    np.testing.assert_array_equal(second[:, 0], [7, 5])
    assert asked == [["a.jpg", "bb.jpg"], ["ccc.jpg"]]


def test_another_model_file_is_asked_again(tmp_path, asked) -> None:
    for content in (b"one", b"two"):
        (tmp_path / "model.onnx").write_bytes(content)
        pack_scores.classifier_scores(tmp_path / "model.onnx", [pack_picture("a.jpg")])
    assert asked == [["a.jpg"], ["a.jpg"]]
