"""Measure the detector's staged files on val and on clips, and choose its score thresholds.

Everything is measured on the ONNX files, prepared as the services prepare.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.artifact import ArtifactPlan
from models.classifier_report import SIM_BEFORE_S, SIM_BURNING_S, SIM_SEED
from models.data import LABELS, Correction, Picture, correct
from models.detections import ClassBoxes, box_metrics, class_pictures, detect_pictures
from models.fold_report import share, truth_of
from models.metrics import PictureBoxes, auc, match
from models.onnx_model import OnnxModel
from models.plots import draw_precision_recall
from models.train_detector import CONTRACT, usable
from models.training_run import RUNS_DIR, load_checkpoint
from models.video import read_clips, watch_clips
from shared.picture.preprocess import preprocess
from shared.rendered.scene import Scene, SceneSettings

Measures = dict[str, Any]
Found = Sequence[tuple[ClassBoxes, ClassBoxes]]
# The run of `make train-detector ARGS="--leave-out hotfire,cctvfire --run cloud-detector-left-out"`.
LEFT_OUT_RUN = "cloud-detector-left-out"
_FALSE_BOXES_PER_NEGATIVE = 0.1
_THRESHOLD_STEPS = np.arange(0.05, 0.95, 0.005)


def evaluate_detector(
    plan: ArtifactPlan,
    pictures: Sequence[Picture],
    corrections: Mapping[str, Correction],
    clips: Path,
) -> Measures:
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

        found = detect_pictures(detect, boxed, CONTRACT)
        measures[variant] = {k: round(v, 4) for k, v in box_metrics(found, boxed).items()}
        measures[variant]["corrected"] = _corrected(found, boxed, corrections)
        measures[variant] |= _operating_points(found, boxed)
        measures[variant]["latency_ms"] = _latencies(model)
        measures[variant]["sim"] = _sim_boxes(model)
        if variant == next(iter(plan.files)):
            curves = [class_pictures(found, boxed, label) for label in range(len(LABELS))]
            draw_precision_recall(curves, plan.stage / "precision_recall.png")
            measures["clips"] = _clips(model, measures[variant]["thresholds"]["fire"], clips)
    return measures | {"left_out": left_out_run(RUNS_DIR / LEFT_OUT_RUN)}


def left_out_run(folder: Path) -> Measures | None:
    """Read what a short training without some sources measured on them; None when none was made.

    Its log says the box measures after each epoch, its checkpoint how long it was trained.
    """
    log, checkpoint = folder / "log.csv", load_checkpoint(folder)
    if checkpoint is None or not log.is_file():
        return None
    with log.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["map50_fire"]]
    config = checkpoint["config"]
    return {
        "epochs": int(rows[-1]["epoch"]),
        "pictures_per_epoch": int(config["pictures_per_epoch"]),
    } | {key: float(value) for key, value in rows[-1].items() if key.startswith("map50") and value}


def _corrected(
    found: Found, pictures: Sequence[Picture], corrections: Mapping[str, Correction]
) -> Measures:
    """Measure the boxes again with the labels put right, on what then still has known boxes of fire."""
    pairs = [
        (boxes, right)
        for boxes, picture in zip(found, pictures, strict=True)
        if (right := correct(picture, corrections.get(picture.file))) is not None and usable(right)
    ]
    measured = box_metrics([boxes for boxes, _ in pairs], [picture for _, picture in pairs])
    changed = sum(picture.file in corrections for picture in pictures)
    return {k: round(v, 4) for k, v in measured.items()} | {"pictures_changed": changed}


def _operating_points(found: Found, pictures: Sequence[Picture]) -> Measures:
    """Choose a threshold a class: what tells pictures with it from those without best, within the allowed false boxes.

    The edge asks about what it doubts, so a missed fire costs as much as a false one; never more than 0.1 false boxes
    a negative picture.
    """
    result: Measures = {"thresholds": {}, "at_threshold": {}, "recall_at_0.1_false_boxes": {}}
    truth = truth_of(pictures)
    negative = (truth == 0.0).all(1)
    tags = np.array([picture.tag or picture.kind for picture in pictures])
    for label, name in enumerate(LABELS):
        known = class_pictures(found, pictures, label)
        best = np.array([max(boxes[label].scores, default=0.0) for boxes in found])
        quiet = _quiet_threshold(found, negative, label)
        threshold = _rounded_up(max(quiet, _balanced_threshold(best, truth[:, label])))
        says, present = best >= threshold, truth[:, label]
        result["thresholds"][name] = threshold
        result["at_threshold"][name] = {
            "recall": round(_recall(known, threshold), 4),
            "precision": round(_precision(known, threshold), 4),
            "false_boxes_per_negative": round(_false_boxes(found, negative, label, threshold), 4),
            "pictures_found": share(says[present == 1.0].tolist()),
            "negatives_called": share(says[negative].tolist()),
            "called_by_tag": {
                tag: share(says[negative & (tags == tag)].tolist())
                for tag in sorted(set(tags[negative].tolist()))
            },
        }
        seen = ~np.isnan(present)
        result["at_threshold"][name]["picture_auc"] = round(auc(best[seen], present[seen]), 4)
        result["recall_at_0.1_false_boxes"][name] = round(_recall(known, quiet), 4)
    return result


def _false_boxes(found: Found, negative: NDArray[np.bool_], label: int, threshold: float) -> float:
    scores = [
        boxes[label].scores
        for boxes, is_negative in zip(found, negative, strict=True)
        if is_negative
    ]
    return float((np.concatenate(scores) >= threshold).sum()) / len(scores)


def _quiet_threshold(found: Found, negative: NDArray[np.bool_], label: int) -> float:
    """Give the lowest threshold with no more than the allowed false boxes."""
    scores = [
        boxes[label].scores
        for boxes, is_negative in zip(found, negative, strict=True)
        if is_negative
    ]
    ordered = np.sort(np.concatenate(scores))[::-1]
    allowed = int(_FALSE_BOXES_PER_NEGATIVE * len(scores))
    return float(ordered[allowed]) + 1e-4 if len(ordered) > allowed else 0.0


def _rounded_up(threshold: float) -> float:
    """Round to three digits without letting another false box in."""
    return math.ceil(round(threshold * 1000, 6)) / 1000


def _balanced_threshold(best: NDArray[np.float64], present: NDArray[np.float32]) -> float:
    """Give the threshold with the best mean of pictures found and pictures rightly left."""
    with_it, without = best[present == 1.0], best[present == 0.0]
    balance = [(with_it >= t).mean() + (without < t).mean() for t in _THRESHOLD_STEPS]
    return float(_THRESHOLD_STEPS[int(np.argmax(balance))])


def _recall(pictures: Sequence[PictureBoxes], threshold: float) -> float:
    scores, hits = match(pictures, 0.5)
    total = sum(len(p.truth_xyxy) for p in pictures)
    return float((hits & (scores >= threshold)).sum() / total)


def _precision(pictures: Sequence[PictureBoxes], threshold: float) -> float:
    scores, hits = match(pictures, 0.5)
    kept = scores >= threshold
    return float(hits[kept].mean()) if kept.any() else 0.0


def _latencies(model: OnnxModel) -> Measures:
    """Time each canvas: the least of three medians, because caches shared with other work only ever add."""
    return {
        f"{w}x{h}": round(min(model.latency_ms(w, h, rounds=30) for _ in range(3)), 2)
        for w, h in CONTRACT.sizes_px
    }


def _clips(model: OnnxModel, threshold: float, folder: Path) -> Measures:
    def says_fire(bgr: NDArray[np.uint8]) -> bool:
        scores = model.run(preprocess(bgr, CONTRACT).tensor)[0]
        return bool(scores[0, :, 0].max() >= threshold)

    return watch_clips(read_clips(folder), says_fire)


def _sim_boxes(model: OnnxModel) -> Measures:
    """Give the best fire and smoke box on the `sim:` scene, before and after, with its overlap with the truth."""
    scene = Scene(SceneSettings(seed=SIM_SEED))
    result: Measures = {}
    for moment, t_s in (("before", SIM_BEFORE_S), ("burning", SIM_BURNING_S)):
        frame = scene.render(t_s)
        prepared = preprocess(frame.bgr_hwc_u8, CONTRACT)
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
