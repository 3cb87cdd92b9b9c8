from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.error_code import ErrorCode
from shared.errors import ModelError
from shared.model.manifest import Artifact, load_artifact
from tests.helpers.pictures import calm_jpeg, fire_jpeg
from tests.helpers.tiny_models import add_self_test, write_classifier, write_detector


def _load(models: Path, **arguments: Any) -> Artifact:
    return load_artifact(models, "edge-classifier", **{"kind": "classifier", **arguments})


def _change(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _refusal(models: Path, **arguments: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        _load(models, **arguments)
    return caught.value


def test_an_artifact_is_named_by_its_hash(tmp_path):
    folder = write_classifier(tmp_path)
    entry = json.loads((folder / "manifest.json").read_text())["files"]["fp32"]
    assert _load(tmp_path, variant="fp32").identity.sha256_12 == entry["sha256"][:12]


def test_the_bytes_that_were_verified_are_the_bytes_that_are_used(tmp_path):
    folder = write_classifier(tmp_path)
    before = (folder / "model.onnx").read_bytes()
    artifact = _load(tmp_path)
    (folder / "model.onnx").write_bytes(b"swapped")
    assert artifact.model_bytes == before


def test_the_newest_version_is_taken_by_its_numbers(tmp_path):
    for version in ("0.9.0", "0.10.0", "0.2.0"):
        write_classifier(tmp_path, version=version)
    assert _load(tmp_path).identity.version == "0.10.0"


def test_nothing_of_that_name_is_not_ready(tmp_path):
    assert _refusal(tmp_path).code is ErrorCode.MODEL_NOT_READY


def test_a_file_that_was_changed_is_refused(tmp_path):
    folder = write_classifier(tmp_path)
    model = bytearray((folder / "model.onnx").read_bytes())
    model[len(model) // 2] ^= 1
    (folder / "model.onnx").write_bytes(model)
    assert "sha256" in _refusal(tmp_path).detail


def test_a_file_that_was_cut_is_refused(tmp_path):
    folder = write_classifier(tmp_path)
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:-1])
    assert "bytes" in _refusal(tmp_path).detail


def test_a_file_that_is_missing_is_refused(tmp_path):
    missing = write_classifier(tmp_path) / "model.onnx"
    missing.unlink()
    refusal = _refusal(tmp_path)
    assert refusal.code is ErrorCode.MODEL_REFUSED
    assert refusal.detail == f"{missing}: No such file or directory"


def test_a_detector_is_no_classifier(tmp_path):
    write_detector(tmp_path)
    with pytest.raises(ModelError, match="kind"):
        load_artifact(tmp_path, "cloud-detector", kind="classifier")


def test_a_variant_that_is_not_there_is_refused(tmp_path):
    write_classifier(tmp_path)
    assert "fp16" in _refusal(tmp_path, variant="fp16").detail


@pytest.mark.parametrize("path", ["../model.onnx", "/etc/passwd", "a/b.onnx", "..", ""])
def test_a_file_outside_its_folder_is_refused(tmp_path, path):
    folder = write_classifier(tmp_path)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    _change(folder, files={name: {**entry, "path": path} for name, entry in files.items()})
    assert _refusal(tmp_path).code is ErrorCode.MODEL_REFUSED


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ["smoke", "fire"]},
        {"labels": ["fire"]},
        {"thresholds": {"fire": 0.5}},
        {"calibration": {}},
        {"calibration": {"int8": {"fire": {"scale": 1, "bias": 0}}}},
        {"name": "another"},
        {"version": "9.9.9"},
        {"schema": 2},
        {"surprise": 1},
        {"files": {}},
        {"nms_iou": 2},
    ],
)
def test_a_manifest_that_says_something_else_is_refused(tmp_path, changes):
    _change(write_classifier(tmp_path), **changes)
    assert _refusal(tmp_path).code is ErrorCode.MODEL_REFUSED


@pytest.mark.parametrize(
    "changes",
    [
        {"colour": "HSV"},
        {"std": [255.0, 255.0, 0.0]},
        {"std": [255.0, 255.0]},
        {"mean": [0.0, 0.0]},
        {"sizes_px": []},
        {"sizes_px": [[128, 0]]},
        {"sizes_px": [[128, 100_000]]},
        {"pad_value": 256},
        {"name": ""},
        {"layout": "NHWC"},
    ],
)
def test_an_input_contract_that_cannot_be_kept_is_refused(tmp_path, changes):
    folder = write_classifier(tmp_path)
    section = json.loads((folder / "manifest.json").read_text())["input"]
    _change(folder, input={**section, **changes})
    assert _refusal(tmp_path).code is ErrorCode.MODEL_REFUSED


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": NaN}', "\x00"])
def test_a_manifest_that_is_none_is_refused(tmp_path, text):
    (write_classifier(tmp_path) / "manifest.json").write_text(text)
    assert _refusal(tmp_path).code is ErrorCode.MODEL_REFUSED


def test_self_test_pictures_are_verified_and_kept(tmp_path):
    folder = write_classifier(tmp_path)
    add_self_test(folder, "fire", fire_jpeg())
    add_self_test(folder, "none", calm_jpeg())
    tests = _load(tmp_path).self_tests
    assert [(t.name, t.label.value) for t in tests] == [
        ("selftest/fire-1.jpg", "fire"),
        ("selftest/none-2.jpg", "none"),
    ]
    assert tests[0].encoded == fire_jpeg()


def test_a_self_test_picture_that_was_changed_is_refused(tmp_path):
    add_self_test(write_classifier(tmp_path), "fire", fire_jpeg()).write_bytes(calm_jpeg())
    assert "sha256" in _refusal(tmp_path).detail


def test_a_self_test_picture_that_is_huge_is_refused_before_it_is_read(tmp_path):
    picture = add_self_test(write_classifier(tmp_path), "fire", fire_jpeg())
    with picture.open("wb") as file:
        file.truncate(3_000_000)
    assert "at most" in _refusal(tmp_path).detail


@pytest.mark.parametrize("file", ["../secret.jpg", "selftest/../../x", "fire-1.jpg", "selftest/.x"])
def test_a_self_test_outside_its_folder_is_refused(tmp_path, file):
    folder = write_classifier(tmp_path)
    _change(folder, selftest=[{"file": file, "sha256": "0" * 64, "label": "fire"}])
    assert _refusal(tmp_path).code is ErrorCode.MODEL_REFUSED
