"""Measure the staged files on the validation split: `python -m models.evaluate classifier|detector`.

Everything is measured on the ONNX files, prepared as the services prepare, and left as `metrics.json` with two small
plots for the card.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from models.artifact import PLANS, ArtifactPlan, read_stage, write_stage
from models.data import LABELS, Picture, default_data_dir, load_pack
from models.detections import (
    ClassBoxes,
    box_metrics,
    class_pictures,
    detect_pictures,
)
from models.metrics import PictureBoxes, auc, average_precision, match
from models.onnx_model import OnnxModel
from models.plots import draw_precision_recall, draw_reliability
from models.train_classifier import CONTRACT as CLASSIFIER_CONTRACT
from models.train_detector import CONTRACT as DETECTOR_CONTRACT
from models.train_detector import usable
from shared.preprocess import preprocess
from shared.recalibrate import Calibration
from shared.scene import Scene, SceneSettings

Measures = dict[str, Any]
# The picture that `sim:` is judged by, and the same camera before the fire starts; both of a scene training never saw.
SIM_SEED, SIM_BURNING_S, SIM_BEFORE_S = 0, 40.0, 4.0
# Fires smaller than this share of the picture are reported on their own.
_SMALL_FIRE = 0.01
# Steps at which the size and quality cue is tested: everything brought to one size and one JPEG quality.
_CUE_LONG_SIDE_PX, _CUE_QUALITY = 224, 60
_FALSE_BOXES_PER_NEGATIVE = 0.1


def evaluate_classifier(plan: ArtifactPlan, pictures: Sequence[Picture]) -> Measures:
    """Measure both files of the classifier."""
    platts = read_stage(plan, "calibration.json")
    truth = np.asarray([p.truth.present for p in pictures], np.float32)
    measures: Measures = {"split": "val", "pictures": len(pictures)}
    for variant in plan.files:
        logits = np.load(plan.stage / f"val_logits_{variant}.npy")
        fitted = {k: Calibration(**v) for k, v in platts["platt"][variant].items()}
        p = np.stack([fitted[name].probabilities(logits[:, i]) for i, name in enumerate(LABELS)], 1)
        measures[variant] = _ranking(logits, truth)
        measures[variant]["ece_source_left_out"] = platts["ece_source_left_out"][variant]
        measures[variant]["at_half"] = _at_half(p, truth, pictures)
        measures[variant]["latency_ms"] = _latencies(plan, variant)
        measures[variant]["sim"] = _sim_probabilities(plan, variant, fitted)
        left_out = np.load(plan.stage / f"val_left_out_{variant}.npy")
        if variant == next(iter(plan.files)):
            draw_reliability(left_out, truth, plan.stage / "reliability.png")
            measures["one_size_and_quality"] = _ranking(_cue_logits(plan, variant, pictures), truth)
    return measures


def _ranking(logits: NDArray[np.float32], truth: NDArray[np.float32]) -> Measures:
    result: Measures = {}
    for index, name in enumerate(LABELS):
        known = ~np.isnan(truth[:, index])
        scores, labels = logits[known, index], truth[known, index]
        result[name] = {
            "auc": round(auc(scores, labels), 4),
            "ap": round(average_precision(scores, labels), 4),
        }
    return result


def _at_half(
    p: NDArray[np.float64], truth: NDArray[np.float32], pictures: Sequence[Picture]
) -> Measures:
    """Count what a threshold of one half does: fires and smoke found, negatives called fire, by kind and tag."""
    result: Measures = {}
    for index, name in enumerate(LABELS):
        result[f"{name}_found"] = _share(p[truth[:, index] == 1.0, index])
    small = [
        i
        for i, picture in enumerate(pictures)
        if truth[i, 0] == 1.0
        and picture.truth.boxes_known[0]
        and _fire_share(picture) < _SMALL_FIRE
    ]
    result["small_fire_found"] = _share(p[small, 0]) | {"pictures": len(small)}
    negative = (truth == 0.0).all(1)
    tags = np.array([picture.tag or picture.kind for picture in pictures])
    result["negatives_called_fire"] = _share(p[negative, 0])
    result["negatives_called_smoke"] = _share(p[negative, 1])
    result["called_fire_by_tag"] = {
        tag: _share(p[negative & (tags == tag), 0]) for tag in sorted(set(tags[negative].tolist()))
    }
    sources = np.array([picture.source for picture in pictures])
    result["fire_found_by_source"] = {
        s: _share(p[(truth[:, 0] == 1.0) & (sources == s), 0])
        for s in sorted(set(sources[truth[:, 0] == 1.0].tolist()))
    }
    return result


def _share(p: NDArray[np.float64]) -> dict[str, float]:
    return {"share": round(float((p >= 0.5).mean()), 4) if len(p) else float("nan"), "of": len(p)}


def _fire_share(picture: Picture) -> float:
    """Give the area of all fire boxes over the picture's."""
    boxes = picture.truth.boxes_xyxy[picture.truth.box_labels == 0]
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).sum()
    return float(areas) / (picture.width_px * picture.height_px)


def _latencies(plan: ArtifactPlan, variant: str) -> Measures:
    """Time each canvas: the least of three medians, because other work on the machine only ever adds."""
    model = OnnxModel(plan.variant(variant))
    contract = CLASSIFIER_CONTRACT if plan.kind == "classifier" else DETECTOR_CONTRACT
    rounds = 200 if plan.kind == "classifier" else 30
    return {
        f"{w}x{h}": round(min(model.latency_ms(w, h, rounds=rounds) for _ in range(3)), 2)
        for w, h in contract.sizes_px
    }


def _sim_probabilities(
    plan: ArtifactPlan, variant: str, fitted: dict[str, Calibration]
) -> Measures:
    """Classify the `sim:` scene before and after its fire has grown."""
    model, scene = OnnxModel(plan.variant(variant)), Scene(SceneSettings(seed=SIM_SEED))
    result: Measures = {}
    for moment, t_s in (("before", SIM_BEFORE_S), ("burning", SIM_BURNING_S)):
        logits = model.run(preprocess(scene.render(t_s).bgr_hwc_u8, CLASSIFIER_CONTRACT).tensor)[0][
            0
        ]
        result[moment] = {
            name: round(float(fitted[name].probabilities(logits[i])), 4)
            for i, name in enumerate(LABELS)
        }
    return result


def _cue_logits(
    plan: ArtifactPlan, variant: str, pictures: Sequence[Picture]
) -> NDArray[np.float32]:
    """Score all pictures brought to one size and JPEG quality: what was learned from those would be lost here."""
    model = OnnxModel(plan.variant(variant))
    rows = []
    for picture in pictures:
        bgr = picture.decode()
        scale = _CUE_LONG_SIDE_PX / max(bgr.shape[:2])
        small = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _CUE_QUALITY])
        same = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)
        rows.append(model.run(preprocess(same, CLASSIFIER_CONTRACT).tensor)[0][0])
    return np.asarray(rows, np.float32)


def evaluate_detector(plan: ArtifactPlan, pictures: Sequence[Picture]) -> Measures:
    """Measure the files of the detector, and choose its score thresholds from the default one."""
    boxed = [p for p in pictures if usable(p)]
    measures: Measures = {"split": "val", "pictures": len(boxed)}
    for variant in plan.files:
        model = OnnxModel(plan.variant(variant))

        def detect(
            tensor: NDArray[np.float32], model: OnnxModel = model
        ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            scores, boxes = model.run(tensor)
            return scores, boxes

        found = detect_pictures(detect, boxed, DETECTOR_CONTRACT)
        measures[variant] = {k: round(v, 4) for k, v in box_metrics(found, boxed).items()}
        measures[variant] |= _operating_points(found, boxed)
        measures[variant]["latency_ms"] = _latencies(plan, variant)
        measures[variant]["sim"] = _sim_boxes(model)
        if variant == next(iter(plan.files)):
            curves = [class_pictures(found, boxed, label) for label in range(len(LABELS))]
            draw_precision_recall(curves, plan.stage / "precision_recall.png")
    return measures


def _operating_points(
    found: Sequence[tuple[ClassBoxes, ClassBoxes]], pictures: Sequence[Picture]
) -> Measures:
    """Choose a threshold a class: the best F1, but never more than 0.1 false boxes a negative picture."""
    result: Measures = {"thresholds": {}, "at_threshold": {}, "recall_at_0.1_false_boxes": {}}
    negatives = [
        boxes for boxes, picture in zip(found, pictures, strict=True) if picture.is_negative
    ]
    for label, name in enumerate(LABELS):
        known = class_pictures(found, pictures, label)
        false_scores = np.sort(np.concatenate([boxes[label].scores for boxes in negatives]))[::-1]
        allowed = int(_FALSE_BOXES_PER_NEGATIVE * len(negatives))
        quiet = float(false_scores[allowed]) + 1e-4 if len(false_scores) > allowed else 0.0
        threshold = round(max(quiet, _best_f1_threshold(known)), 3)
        result["thresholds"][name] = threshold
        result["at_threshold"][name] = {
            "recall": round(_recall(known, threshold), 4),
            "precision": round(_precision(known, threshold), 4),
            "false_boxes_per_negative": round(
                float((false_scores >= threshold).sum()) / len(negatives), 4
            ),
        }
        result["recall_at_0.1_false_boxes"][name] = round(_recall(known, quiet), 4)
    return result


def _best_f1_threshold(pictures: Sequence[PictureBoxes]) -> float:
    scores, hits = match(pictures, 0.5)
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(hits[order])
    total = sum(len(p.truth_xyxy) for p in pictures)
    f1 = 2 * found / (np.arange(1, len(order) + 1) + total)
    return float(scores[order][int(f1.argmax())])


def _recall(pictures: Sequence[PictureBoxes], threshold: float) -> float:
    scores, hits = match(pictures, 0.5)
    total = sum(len(p.truth_xyxy) for p in pictures)
    return float((hits & (scores >= threshold)).sum() / total)


def _precision(pictures: Sequence[PictureBoxes], threshold: float) -> float:
    scores, hits = match(pictures, 0.5)
    kept = scores >= threshold
    return float(hits[kept].mean()) if kept.any() else float("nan")


def _sim_boxes(model: OnnxModel) -> Measures:
    """Give the best fire and smoke box on the `sim:` scene, before and after, with its overlap with the truth."""
    scene = Scene(SceneSettings(seed=SIM_SEED))
    result: Measures = {}
    for moment, t_s in (("before", SIM_BEFORE_S), ("burning", SIM_BURNING_S)):
        frame = scene.render(t_s)
        prepared = preprocess(frame.bgr_hwc_u8, DETECTOR_CONTRACT)
        scores, boxes = model.run(prepared.tensor)
        source = prepared.letterbox.to_source(boxes[0])
        result[moment] = {}
        for label, (name, truth) in enumerate(
            zip(LABELS, (frame.fire_xyxy, frame.smoke_xyxy), strict=True)
        ):
            best = int(scores[0, :, label].argmax())
            truths = np.asarray([truth] if truth else [], np.float32).reshape(-1, 4)
            one = PictureBoxes(
                boxes_xyxy=source[best : best + 1],
                scores=scores[0, best : best + 1, label],
                truth_xyxy=truths,
            )
            _, hits = match([one], 0.5)
            result[moment][name] = {
                "score": round(float(one.scores[0]), 4),
                "iou_over_half": bool(hits[0]),
            }
    return result


def evaluate(kind: str, data: Path) -> Measures:
    """Measure a network's staged files and leave the result for the card."""
    plan = PLANS[kind]
    pictures = load_pack(data, "val").pictures
    measure = evaluate_classifier if kind == "classifier" else evaluate_detector
    measures = measure(plan, pictures)
    write_stage(plan, "metrics.json", measures)
    return measures


def main() -> None:
    """Read the command line and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(PLANS))
    parser.add_argument("--data", type=Path, default=default_data_dir())
    arguments = parser.parse_args()
    measures = evaluate(arguments.kind, arguments.data)
    for variant in PLANS[arguments.kind].files:
        click.echo(f"{variant} {measures[variant]}")


if __name__ == "__main__":
    main()
