"""Assemble the artifact from what the stages left: `python -m models.publish classifier|detector`.

Writes `models/artifacts/<name>/<version>/`: the ONNX files, `manifest.json`, `CARD.md`, its plots and the pictures of
the self-test.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from models.artifact import (
    PLANS,
    ArtifactPlan,
    file_section,
    input_section,
    labels,
    place,
    read_stage,
    self_test_section,
    sha256_of,
)
from models.card import write_card
from models.data import default_weights_dir
from models.detections import NMS_IOU
from models.networks import DETECTOR_WEIGHTS_FILE, TRUNK_FILE
from models.onnx_model import OnnxModel
from models.self_test import FOLDER, Names, check_self_tests, label_of_file, write_self_tests
from models.train_classifier import CONTRACT as CLASSIFIER_CONTRACT
from models.train_detector import CONTRACT as DETECTOR_CONTRACT
from models.training_run import RUNS_DIR
from shared.model.recalibrate import Calibration
from shared.picture.preprocess import preprocess
from shared.types import Label

_PICTURES = {
    "classifier": ("reliability.png", "joint.png"),
    "detector": ("precision_recall.png",),
}


def build_manifest(plan: ArtifactPlan, weights: Path) -> dict[str, Any]:
    """Build an artifact's manifest, schema 1, from the staged files and measures."""
    is_classifier = plan.kind == "classifier"
    metrics = read_stage(plan, "metrics.json")
    training = read_stage(plan, "training.json")
    weights_file = weights / (TRUNK_FILE if is_classifier else DETECTOR_WEIGHTS_FILE)
    variants = {v: file for v, file in plan.files.items() if plan.variant(v).is_file()}
    default = next(iter(plan.files))
    calibration = read_stage(plan, "calibration.json")["platt"] if is_classifier else {}
    thresholds = {"fire": 0.5, "smoke": 0.5} if is_classifier else metrics[default]["thresholds"]
    return {
        "schema": 1,
        "name": plan.name,
        "version": plan.version,
        "kind": plan.kind,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "labels": labels(),
        "files": {v: file_section(plan.variant(v), file) for v, file in variants.items()},
        "default_variant": default,
        "input": input_section(CLASSIFIER_CONTRACT if is_classifier else DETECTOR_CONTRACT),
        "outputs": list(plan.outputs),
        "calibration": calibration,
        "thresholds": thresholds,
        "nms_iou": None if is_classifier else NMS_IOU,
        "value": read_stage(plan, "value.json") if is_classifier else None,
        "selftest": [
            self_test_section(path, label_of_file(path).value)
            for path in write_self_tests(plan.stage / FOLDER)
        ],
        "training": {
            **training,
            "weights_file": weights_file.name,
            "weights_sha256": sha256_of(weights_file),
        },
        "metrics": metrics,
    }


def publish(kind: str, weights: Path) -> Path:
    """Put the artifact of a network in its place.

    Raises:
        FileNotFoundError: a stage has not run, or the pretrained weights are not there to be named.
        SelfTestError: a file does not know the pictures that every service will show it.
    """
    plan = PLANS[kind]
    manifest = build_manifest(plan, weights)
    tests = [plan.stage / entry["file"] for entry in manifest["selftest"]]
    for variant in manifest["files"]:
        check_self_tests(tests, _names(plan, variant, manifest), f"{plan.name} {variant}")
    curves = RUNS_DIR / plan.name / "curves.png"
    pictures = [plan.stage / name for name in _PICTURES[plan.kind]]
    return place(plan, manifest, write_card(manifest), [curves, *pictures])


def _names(plan: ArtifactPlan, variant: str, manifest: dict[str, Any]) -> Names:
    """Give how a service names a picture: the classes over their threshold, fire before smoke."""
    model, limits = OnnxModel(plan.variant(variant)), manifest["thresholds"]
    contract = CLASSIFIER_CONTRACT if plan.kind == "classifier" else DETECTOR_CONTRACT
    calibration = manifest["calibration"].get(variant)

    def names(bgr: NDArray[np.uint8]) -> Label:
        answer = model.run(preprocess(bgr, contract).tensor)[0][0]
        scores = answer.max(0) if plan.kind == "detector" else answer
        for index, label in enumerate((Label.FIRE, Label.SMOKE)):
            score = float(scores[index])
            if calibration:
                own = Calibration(**calibration[label.value])
                score = float(own.probabilities(np.array(score)))
            if score >= limits[label.value]:
                return label
        return Label.NONE

    return names


def main() -> None:
    """Read the command line and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(PLANS))
    parser.add_argument("--weights", type=Path, default=default_weights_dir())
    arguments = parser.parse_args()
    click.echo(publish(arguments.kind, arguments.weights))


if __name__ == "__main__":
    main()
