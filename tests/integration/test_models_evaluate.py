"""From staged files to finished cards: every figure that a card asks for is measured, on tiny networks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from models import artifact, detector_report, folds, pack_scores, publish
from models.artifact import PLANS, read_stage, write_stage
from models.calibrate import calibrate, onnx_logits
from models.classifier_report import evaluate_classifier
from models.data import Correction, Picture
from models.detector_report import evaluate_detector
from models.folds import FOLDS, UNRENDERED, plan_of, split
from models.self_test import SelfTestError
from models.training_run import log_epoch
from shared.model.manifest import load_version
from tests.helpers.pack_pictures import NAN, pack_picture
from tests.helpers.tiny_models import write_classifier, write_detector

RED, GREY, BLUE = (20, 20, 230), (128, 128, 128), (200, 60, 60)
SOURCES = sorted({s for fold in FOLDS for s in fold.left_out} | {"street", "forklift"})


def pictures_of(part: str) -> tuple[Picture, ...]:
    """For every source of fire red pictures with fire, blue ones with smoke and grey ones; else grey and blue ones."""
    made = []
    fire_sources = {s for fold in FOLDS for s in fold.fire_sources} | {"street"}
    for source in SOURCES:
        for index in range(6):
            present, colour = [((1.0, 0.0), RED), ((0.0, 1.0), BLUE), ((0.0, 0.0), GREY)][index % 3]
            kind = "pos" if 1.0 in present else "ordinary"
            if source not in fire_sources:
                present, colour, kind = (0.0, 0.0), GREY, "hard"
            if source == "indoorfire":
                present, colour, kind = (1.0, NAN), RED, "pos"
            file = f"images/{part}/{source}_{index}.jpg"
            jitter = tuple(int(c + 3 * index) for c in colour)
            made.append(pack_picture(file, present, source=source, kind=kind, colour=jitter))
    return tuple(boxed(p) for p in made)


def boxed(picture: Picture) -> Picture:
    """Give what is there a box on the left half."""
    labels = [label for label in range(2) if picture.truth.present[label] == 1.0]
    truth = replace(
        picture.truth,
        boxes_xyxy=np.asarray([[0, 0, 30, 40]] * len(labels), np.float32).reshape(-1, 4),
        box_labels=np.asarray(labels, np.int64),
        boxes_known=(True, not np.isnan(picture.truth.present[1])),
    )
    return replace(picture, truth=truth)


def stage_tiny_files(root: Path) -> None:
    tiny = {
        "classifier": write_classifier(root / "tiny"),
        "detector": write_detector(root / "tiny"),
    }
    for kind, plan in PLANS.items():
        plan.stage.mkdir(parents=True)
        for variant in plan.files:
            shutil.copy(tiny[kind] / "model.onnx", plan.variant(variant))
        recipe = {"mix": {"rendered": 0.08}, "pictures_per_epoch": 10, "batch": 2}
        training = {"data_sha256": "0" * 64, "seed": 1, "epochs": 2, "recipe": recipe}
        write_stage(plan, "training.json", training)
        log_epoch(artifact.RUNS_DIR / plan.name, {"epoch": 1, "loss": 1.0, "auc": 0.5})
    value = {"a": 0.6, "b": -11.0, "d": 1.3, "level_a": 1.2, "level_b": -8.9, "prior": 1e-4}
    write_stage(PLANS["classifier"], "value.json", value)


def keep_fold_scores(train: tuple[Picture, ...], val: tuple[Picture, ...]) -> None:
    """Leave what a fold's training would have left, scored by the tiny network."""
    for fold in (*FOLDS, UNRENDERED):
        plan, parts = plan_of(fold), split(fold, train, val, {})
        plan.stage.mkdir(parents=True)
        arrays = {}
        for variant in plan.files:
            shutil.copy(PLANS["classifier"].variant(variant), plan.variant(variant))
            arrays[f"held_{variant}"] = onnx_logits(plan.variant(variant), parts.held)
            arrays[f"known_{variant}"] = onnx_logits(plan.variant(variant), parts.known)
        arrays["held_files"] = np.array([p.file for p in parts.held])
        arrays["known_files"] = np.array([p.file for p in parts.known])
        np.savez(artifact.RUNS_DIR / plan.name / "scores.npz", **arrays)


def measure(root: Path) -> None:
    """Run all stages after training, one val label being wrong."""
    train, val = pictures_of("train"), pictures_of("val")
    wrong = {val[0].file: Correction(file=val[0].file, present=(0.0, 0.0))}
    stage_tiny_files(root)
    keep_fold_scores(train, val)
    classifier, detector = PLANS["classifier"], PLANS["detector"]
    write_stage(detector, "metrics.json", evaluate_detector(detector, val, wrong, root))
    calibrate(classifier, val)
    measured = evaluate_classifier(classifier, train, val, wrong, root)
    write_stage(classifier, "metrics.json", measured)
    (root / "weights").mkdir()
    for name in (publish.TRUNK_FILE, publish.DETECTOR_WEIGHTS_FILE):
        (root / "weights" / name).write_bytes(b"weights")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which all stages have run once."""
    root = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        for module in (artifact, detector_report, folds, publish):
            patch.setattr(module, "RUNS_DIR", root / "runs")
        patch.setattr(artifact, "ARTIFACTS_DIR", root / "artifacts")
        patch.setattr(pack_scores, "_FOLDER", root / "scores")
        measure(root)
        yield root


def test_what_is_measured_is_what_the_network_does(runs: Path) -> None:
    measured = read_stage(PLANS["classifier"], "metrics.json")
    served = measured["int8"]
    assert served["fire"]["auc"] == 1.0  # red is fire to the tiny network
    assert served["corrected"]["fire"]["auc"] < 1.0  # one red picture is none any more
    assert served["corrected"]["pictures_changed"] == 1
    assert served["at_recall"]["lookalikes_called_fire"]["share"] == 0.0
    assert measured["folds"]["sources"]["hotfire"]["fire"]["auc"] == 1.0
    assert "indoorfire" not in measured["folds"]["sources"]
    assert measured["joint"]["points"]["0"]["accuracy"] == 1.0
    assert measured["rendered"]["with"] == measured["rendered"]["without"]


def test_a_model_that_does_not_know_its_own_pictures_is_not_published(runs: Path) -> None:
    for kind, plan in PLANS.items():
        with pytest.raises(SelfTestError, match=r"calls (fire|smoke|none)-1\.jpg"):
            publish.publish(kind, runs / "weights")
        assert not (plan.target / "manifest.json").exists()


def test_what_is_published_can_be_loaded_and_its_card_has_no_gaps(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "check_self_tests", lambda *_: None)
    monkeypatch.setattr(artifact, "ARTIFACTS_DIR", tmp_path)
    for kind, plan in PLANS.items():
        folder = publish.publish(kind, runs / "weights")
        loaded = load_version(folder, plan.name, kind=plan.kind)
        assert [t.label.value for t in loaded.self_tests] == ["fire", "smoke", "none"]
        card = (folder / "CARD.md").read_text(encoding="utf-8")
        assert "$" not in card
        assert "nan" not in card.lower().replace("nanodet", "").split()
