"""Assemble the artifact from what the stages left: `python -m models.publish classifier|detector`.

Writes `models/artifacts/<name>/<version>/`: the ONNX files, `manifest.json`, `CARD.md` and two small plots.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from models.artifact import (
    PLANS,
    ArtifactPlan,
    file_section,
    input_section,
    labels,
    place,
    read_stage,
    sha256_of,
)
from models.card import write_card
from models.data import default_weights_dir
from models.detections import NMS_IOU
from models.networks import DETECTOR_WEIGHTS_FILE, TRUNK_FILE
from models.train_classifier import CONTRACT as CLASSIFIER_CONTRACT
from models.train_detector import CONTRACT as DETECTOR_CONTRACT
from models.training_run import RUNS_DIR


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
    """
    plan = PLANS[kind]
    manifest = build_manifest(plan, weights)
    curves = RUNS_DIR / plan.name / "curves.png"
    second = plan.stage / ("reliability.png" if kind == "classifier" else "precision_recall.png")
    return place(plan, manifest, write_card(manifest), [curves, second])


def main() -> None:
    """Read the command line and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(PLANS))
    parser.add_argument("--weights", type=Path, default=default_weights_dir())
    arguments = parser.parse_args()
    click.echo(publish(arguments.kind, arguments.weights))


if __name__ == "__main__":
    main()
