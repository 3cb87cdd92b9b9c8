"""Measure the classifier's staged files: on val, on the sources the folds left out, on clips, and with the detector.

Everything is measured on the ONNX files, prepared as the services prepare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models import fold_report
from models.artifact import PLANS, ArtifactPlan, read_stage
from models.data import LABELS, Correction, Picture, correct, labelled_right
from models.fold_report import RECALL, HeldOut, share, truth_of
from models.joint import JointPoint, joint_curve
from models.metrics import auc, average_precision
from models.onnx_model import OnnxModel
from models.pack_scores import detector_scores
from models.plots import draw_joint, draw_reliability
from models.rendered_effect import rendered_effect
from models.train_classifier import CONTRACT
from models.video import read_clips, watch_clips
from shared.model.recalibrate import Calibration
from shared.picture.preprocess import preprocess
from shared.rendered.scene import Scene, SceneSettings

Measures = dict[str, Any]
Floats = NDArray[np.float64]
Logits = NDArray[np.float32]
# The picture that `sim:` is judged by, and the same camera before the fire starts; both of a scene training never saw.
SIM_SEED, SIM_BURNING_S, SIM_BEFORE_S = 0, 40.0, 4.0
# Fires smaller than this share of the picture are reported on their own.
SMALL_FIRE = 0.01
# Pictures whose middle grey value is below this are night; lit rooms in the evening are not.
NIGHT_GREY = 50
# Size and quality that everything is brought to when the cue of stored size and quality is tested.
_CUE_LONG_SIDE_PX, _CUE_QUALITY = 224, 60


def evaluate_classifier(
    plan: ArtifactPlan,
    train: Sequence[Picture],
    val: Sequence[Picture],
    corrections: Mapping[str, Correction],
    clips: Path,
) -> Measures:
    """Measure both files of the classifier.

    Raises:
        FileNotFoundError: a stage before, the folds or the detector's files are not there.
    """
    calibration = read_stage(plan, "calibration.json")
    served = next(iter(plan.files))
    measures: Measures = {"split": "val", "pictures": len(val)}
    for variant in plan.files:
        logits = np.load(plan.stage / f"val_logits_{variant}.npy")
        fitted = {k: Calibration(**v) for k, v in calibration["platt"][variant].items()}
        p = np.stack([fitted[n].probabilities(logits[:, i]) for i, n in enumerate(LABELS)], 1)
        measures[variant] = ranking(logits, truth_of(val)) | {
            "corrected": corrected_ranking(logits, val, corrections),
            "ece_source_left_out": calibration["ece_source_left_out"][variant],
            "at_half": counts(p, val, np.full(len(LABELS), 0.5)),
            "at_recall": counts(p, val, thresholds_at_recall(p, val)),
            "latency_ms": latencies(plan, variant),
            "sim": _sim_probabilities(plan, variant, fitted),
        }
    measures["one_size_and_quality"] = ranking(_cue_logits(plan, served, val), truth_of(val))
    measures["clips"] = _clips(plan, served, clips)
    return measures | _held_out_measures(plan, train, val, corrections)


def ranking(logits: Logits, truth: NDArray[np.float32]) -> Measures:
    """Give AUC and AP of each class, where it is known."""
    result: Measures = {}
    for index, name in enumerate(LABELS):
        known = ~np.isnan(truth[:, index])
        scores, labels = logits[known, index], truth[known, index]
        result[name] = {
            "auc": round(auc(scores, labels), 4),
            "ap": round(average_precision(scores, labels), 4),
        }
    return result


def corrected_ranking(
    logits: Logits, pictures: Sequence[Picture], corrections: Mapping[str, Correction]
) -> Measures:
    """Give the same with the labels put right; what is dropped does not count."""
    pairs = [(i, correct(p, corrections.get(p.file))) for i, p in enumerate(pictures)]
    kept = [(i, p) for i, p in pairs if p is not None]
    changed = sum(p.file in corrections for p in pictures)
    found = ranking(logits[[i for i, _ in kept]], truth_of([p for _, p in kept]))
    return found | {"pictures_changed": changed}


def thresholds_at_recall(p: Floats, pictures: Sequence[Picture]) -> Floats:
    """Give the probability of each class that finds RECALL of its pictures."""
    truth = truth_of(pictures)
    return np.array([np.quantile(p[truth[:, i] == 1.0, i], 1 - RECALL) for i in range(len(LABELS))])


def counts(p: Floats, pictures: Sequence[Picture], thresholds: Floats) -> Measures:
    """Count what thresholds do: fires and smoke found, negatives called either, by tag, light and source."""
    truth, says = truth_of(pictures), p >= thresholds
    fire, negative = truth[:, 0] == 1.0, (truth == 0.0).all(1)
    hard = negative & np.array([picture.kind == "hard" for picture in pictures])
    small = fire & np.array([_is_small_fire(picture) for picture in pictures])
    night = np.array([_is_night(picture) for picture in pictures])
    tags = np.array([picture.tag or picture.kind for picture in pictures])
    sources = np.array([picture.source for picture in pictures])

    def called(chosen: NDArray[np.bool_], label: int = 0) -> dict[str, float]:
        return share(says[chosen, label].tolist())

    return {
        "threshold": {name: round(float(t), 4) for name, t in zip(LABELS, thresholds, strict=True)},
        "fire_found": called(fire),
        "smoke_found": called(truth[:, 1] == 1.0, 1),
        "small_fire_found": called(small),
        "fire_found_by_night": called(fire & night),
        "negatives_called_fire": called(negative),
        "negatives_called_smoke": called(negative, 1),
        "negatives_called_fire_by_night": called(negative & night),
        "lookalikes_called_fire": called(hard),
        "lookalikes_called_smoke": called(hard, 1),
        "called_fire_by_tag": {
            tag: called(negative & (tags == tag)) for tag in sorted(set(tags[negative].tolist()))
        },
        "fire_found_by_source": {
            s: called(fire & (sources == s)) for s in sorted(set(sources[fire].tolist()))
        },
    }


def _is_small_fire(picture: Picture) -> bool:
    if not picture.truth.boxes_known[0]:
        return False
    boxes = picture.truth.boxes_xyxy[picture.truth.box_labels == 0]
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).sum()
    return float(areas) < SMALL_FIRE * picture.width_px * picture.height_px


def _is_night(picture: Picture) -> bool:
    grey = cv2.cvtColor(picture.decode(), cv2.COLOR_BGR2GRAY)
    return float(np.median(grey)) < NIGHT_GREY


def latencies(plan: ArtifactPlan, variant: str) -> Measures:
    """Time each canvas: the least of three medians, because caches shared with other work only ever add."""
    model = OnnxModel(plan.variant(variant))
    return {
        f"{w}x{h}": round(min(model.latency_ms(w, h, rounds=200) for _ in range(3)), 2)
        for w, h in CONTRACT.sizes_px
    }


def _sim_probabilities(
    plan: ArtifactPlan, variant: str, fitted: Mapping[str, Calibration]
) -> Measures:
    """Classify the `sim:` scene before and after its fire has grown."""
    model, scene = OnnxModel(plan.variant(variant)), Scene(SceneSettings(seed=SIM_SEED))
    result: Measures = {}
    for moment, t_s in (("before", SIM_BEFORE_S), ("burning", SIM_BURNING_S)):
        tensor = preprocess(scene.render(t_s).bgr_hwc_u8, CONTRACT).tensor
        logits = model.run(tensor)[0][0]
        result[moment] = {
            name: round(float(fitted[name].probabilities(logits[i])), 4)
            for i, name in enumerate(LABELS)
        }
    return result


def _cue_logits(plan: ArtifactPlan, variant: str, pictures: Sequence[Picture]) -> Logits:
    """Score all pictures brought to one size and JPEG quality: what was learned from those would be lost here."""
    model = OnnxModel(plan.variant(variant))
    rows = []
    for picture in pictures:
        bgr = picture.decode()
        scale = _CUE_LONG_SIDE_PX / max(bgr.shape[:2])
        small = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _CUE_QUALITY])
        same = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)
        rows.append(model.run(preprocess(same, CONTRACT).tensor)[0][0])
    return np.asarray(rows, np.float32)


def _clips(plan: ArtifactPlan, variant: str, folder: Path) -> Measures:
    model = OnnxModel(plan.variant(variant))
    fire = Calibration(**read_stage(plan, "calibration.json")["platt"][variant]["fire"])

    def says_fire(bgr: NDArray[np.uint8]) -> bool:
        logit = model.run(preprocess(bgr, CONTRACT).tensor)[0][0, 0]
        return bool(fire.probabilities(logit) >= 0.5)

    return watch_clips(read_clips(folder), says_fire)


def _held_out_measures(
    plan: ArtifactPlan,
    train: Sequence[Picture],
    val: Sequence[Picture],
    corrections: Mapping[str, Correction],
) -> Measures:
    """Measure the folds, and the pair on the left-out sources, as labelled and put right, and draw both."""
    served = next(iter(plan.files))
    by_file = {p.file: p for p in (*train, *val)}
    right = {f: labelled_right(p, corrections.get(f)) for f, p in by_file.items()}
    folds = fold_report.held_out_folds(by_file, served)
    p = np.concatenate([held.probabilities for held in folds])
    truth = np.concatenate([held.truth for held in folds])
    draw_reliability(p, truth, plan.stage / "reliability.png")
    known = ~np.isnan(truth[:, 0])
    risk = joint_curve(p[known, 0], truth[known, 0] == 1.0)
    joint = _joint(folds, val)
    draw_joint(risk, joint, plan.stage / "joint.png")
    return {
        "folds": fold_report.report(by_file, right, list(plan.files)),
        "risk_coverage": _rows(risk),
        "joint": {
            "points": _rows(joint),
            "corrected": _rows(_joint(fold_report.held_out_folds(right, served), val)),
            "pictures": _joint_pictures(folds, val),
        },
        "rendered": rendered_effect(by_file, served),
    }


def _joint(folds: Sequence[HeldOut], val: Sequence[Picture]) -> list[JointPoint]:
    """Let the detector rule on what a fold's classifier doubts, on left-out pictures that it was not trained on."""
    plan = PLANS["detector"]
    threshold = read_stage(plan, "metrics.json")[next(iter(plan.files))]["thresholds"]["fire"]
    scores = detector_scores(plan.variant(next(iter(plan.files))), val)
    said = {p.file: bool(row[0] >= threshold) for p, row in zip(val, scores, strict=True)}
    rows = [
        (held.probabilities[i, 0], held.truth[i, 0] == 1.0, said[picture.file])
        for held in folds
        for i, picture in enumerate(held.pictures)
        if picture.file in said and not np.isnan(held.truth[i, 0])
    ]
    p, is_fire, cloud = (np.array(column) for column in zip(*rows, strict=True))
    return joint_curve(p, is_fire, cloud)


def _joint_pictures(folds: Sequence[HeldOut], val: Sequence[Picture]) -> int:
    in_val = {p.file for p in val}
    return sum(picture.file in in_val for held in folds for picture in held.pictures)


def _rows(points: Sequence[JointPoint]) -> Measures:
    return {
        f"{point.forwarded:g}": {
            key: None if np.isnan(value) else round(value, 4)
            for key, value in (("kept_error", point.kept_error), ("accuracy", point.accuracy))
        }
        for point in points
    }
