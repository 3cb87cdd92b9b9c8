from __future__ import annotations

import json
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch", reason="the training extra is not installed")

from models.half import VARIANT, add_half  # noqa: E402
from shared.model.detector import Detector, Running  # noqa: E402
from shared.model.manifest import load_artifact  # noqa: E402
from shared.picture.imaging import read_picture  # noqa: E402
from shared.types import ImageLimits  # noqa: E402
from tests.helpers.clock import FakeClock  # noqa: E402
from tests.helpers.pictures import calm_jpeg, fire_jpeg  # noqa: E402
from tests.helpers.tiny_models import add_self_test, write_detector  # noqa: E402


def _labels(models: Path, variant: str | None, prefer: str | None = None) -> list[str]:
    artifact = load_artifact(
        models, "cloud-detector", kind="detector", variant=variant, prefer=prefer
    )
    detector = Detector(artifact, Running(), FakeClock())
    found = []
    for jpeg in (fire_jpeg(), calm_jpeg()):
        prepared = detector.prepare(read_picture(jpeg, ImageLimits()))
        (raw,) = detector.run_batch([prepared.tensor])
        found.append(detector.finding(raw, prepared.letterbox).label.value)
    return [artifact.variant, *found]


def test_the_half_precision_file_says_what_the_whole_one_says(tmp_path):
    add_self_test(write_detector(tmp_path), "fire", fire_jpeg())
    folder = tmp_path / "cloud-detector" / "0.1.0"
    differences = add_half(folder)
    assert differences["score"] < 0.02
    assert (folder / "model.fp16.onnx").stat().st_size > 0
    assert _labels(tmp_path, VARIANT) == ["fp16", "fire", "none"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["metrics"]["fp16"]["against_fp32"] == differences


def test_a_card_prefers_it_and_a_cpu_does_not(tmp_path):
    add_half(write_detector(tmp_path))
    assert _labels(tmp_path, None)[0] == "fp32"
    assert _labels(tmp_path, None, prefer="fp16")[0] == "fp16"
    assert _labels(tmp_path, "fp32", prefer="fp16")[0] == "fp32"


def test_an_artifact_without_it_falls_back_to_its_default(tmp_path):
    write_detector(tmp_path)
    assert _labels(tmp_path, None, prefer="fp16")[0] == "fp32"


def test_a_file_that_answers_differently_is_not_written(tmp_path, monkeypatch):
    folder = write_detector(tmp_path)
    other = onnx.load(write_detector(tmp_path / "other", fire_bias=3.0) / "model.onnx")
    monkeypatch.setattr("models.half.to_half", lambda model: other)
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(RuntimeError, match="differs"):
        add_half(folder)
    assert (folder / "manifest.json").read_bytes() == before
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", "model.onnx"]
