from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge.classify.classifier import Classifier, LoadedClassifier
from shared.error_code import ErrorCode
from shared.errors import ModelError
from shared.model.inference import Session, best_cpu_variant, check_finite, refuse_two_runtimes
from shared.model.manifest import Artifact, load_artifact
from shared.picture.imaging import read_picture
from shared.types import ImageLimits
from tests.helpers.frames import frame
from tests.helpers.pictures import calm_jpeg, fire_jpeg, unsure_jpeg
from tests.helpers.tiny_models import write_classifier


def _artifact(models: Path) -> Artifact:
    return load_artifact(models, "edge-classifier", kind="classifier", variant="fp32")


def _with_bytes(models: Path, model_bytes: bytes) -> Artifact:
    good = _artifact(models)
    return Artifact(good.manifest, good.variant, model_bytes)


def test_two_runtimes_in_one_environment_are_refused():
    with pytest.raises(ModelError) as caught:
        refuse_two_runtimes(["onnxruntime", "onnxruntime-gpu"])
    assert caught.value.code is ErrorCode.RUNTIME_CONFLICT


@pytest.mark.parametrize("installed", [["onnxruntime"], ["onnxruntime-gpu"], []])
def test_one_runtime_is_enough(installed):
    assert refuse_two_runtimes(installed) is None


def test_a_provider_that_does_not_load_is_refused_instead_of_falling_back(models):
    with pytest.raises(ModelError) as caught:
        Session(_artifact(models), device="cuda")
    assert caught.value.code is ErrorCode.MODEL_REFUSED
    assert "CUDAExecutionProvider" in caught.value.detail


def test_bytes_that_are_no_model_are_refused(models):
    with pytest.raises(ModelError) as caught:
        Session(_with_bytes(models, b"not a model"))
    assert caught.value.code is ErrorCode.MODEL_REFUSED


def test_a_model_with_other_outputs_than_its_manifest_is_refused(tmp_path):
    folder = write_classifier(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["outputs"] = ["probabilities"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="probabilities"):
        Session(_artifact(tmp_path))


def test_every_canvas_has_run_in_every_batch_size_before_anybody_asks(models, monkeypatch):
    shapes, run = [], Session.run

    def noting(session: Session, tensor: np.ndarray) -> dict[str, np.ndarray]:
        shapes.append(tensor.shape)
        return run(session, tensor)

    monkeypatch.setattr(Session, "run", noting)
    artifact = _artifact(models)
    Session(artifact, batch_sizes=(1, 2))
    sizes_px = artifact.manifest.input.sizes_px
    assert sorted(shapes) == sorted((n, 3, h, w) for w, h in sizes_px for n in (1, 2))


def test_a_tensor_of_the_wrong_shape_is_a_failed_run(models):
    with pytest.raises(ModelError) as caught:
        Session(_artifact(models)).run(np.zeros((1, 1, 8, 8), np.float32))
    assert caught.value.code is ErrorCode.MODEL_FAILED


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_output_that_is_not_finite_is_a_failed_run(value):
    with pytest.raises(ModelError) as caught:
        check_finite({"scores": np.array([0.5, value], np.float32)})
    assert caught.value.code is ErrorCode.MODEL_FAILED


@pytest.mark.parametrize(
    ("line", "variant"),
    [
        ("flags\t\t: fpu sse avx512_vnni avx2", "int8"),
        ("flags : fpu avx_vnni", "int8"),
        ("Features : fp asimd asimddp", "int8"),
        ("flags : fpu sse avx2", "fp32"),
        ("model name : avx512_vnni", "fp32"),
        ("", "fp32"),
    ],
)
def test_int8_is_chosen_where_the_cpu_has_dot_products(tmp_path, line, variant):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor : 0\n{line}\n")
    assert best_cpu_variant(cpuinfo) == variant


def test_a_cpu_that_tells_nothing_gets_fp32(tmp_path):
    assert best_cpu_variant(tmp_path / "nowhere") == "fp32"


@pytest.mark.parametrize(
    ("jpeg", "low", "high"),
    [(fire_jpeg(), 0.99, 1.0), (calm_jpeg(), 0.0, 0.05), (unsure_jpeg(), 0.4, 0.6)],
)
def test_the_classifier_gives_calibrated_probabilities(models, jpeg, low, high):
    seen = Classifier(LoadedClassifier(_artifact(models)), at_once=1).classify(
        frame(of=read_picture(jpeg, ImageLimits()))
    )
    assert low <= seen.fire <= high


def test_the_calibration_of_the_manifest_is_applied(tmp_path):
    folder = write_classifier(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["calibration"]["fp32"]["fire"] = {"scale": 1.0, "bias": -100.0}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    seen = Classifier(LoadedClassifier(_artifact(tmp_path)), at_once=1).classify(
        frame(of=read_picture(fire_jpeg(), ImageLimits()))
    )
    assert seen.fire < 1e-6


def test_a_reused_buffer_does_not_carry_one_picture_into_the_next(models):
    classifier = Classifier(LoadedClassifier(_artifact(models)), at_once=1)
    fire, calm = (frame(of=read_picture(j, ImageLimits())) for j in (fire_jpeg(), calm_jpeg()))
    before = classifier.classify(calm)
    classifier.classify(fire)
    assert classifier.classify(calm) == before
