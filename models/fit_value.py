"""Fit what a question to the cloud is worth: `python -m models.fit_value`.

The `price` policy calibrates the edge's score x, the logit of "fire or smoke" of the int8 file itself, into the chance
that a frame shows the start of a fire: z = a · x + b + d · max(0, x − resting x). The validation pictures are ordered
into streams: a camera that rests on one negative sees either another negative (a look-alike comes up) or a fire. Clips,
where there are some, add real onsets. The chance is then moved to a stated prior of the field; a wrong prior shifts all
quiet frames alike, which the price of the budget absorbs.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from models.artifact import PLANS, ArtifactPlan, read_stage, write_stage
from models.calibrate import onnx_logits
from models.data import LABELS, Picture, default_data_dir, load_pack
from models.onnx_model import OnnxModel
from models.train_classifier import CONTRACT
from shared.picture.preprocess import preprocess

Floats = NDArray[np.float64]
# One frame in ten thousand shows the start of a fire: nine seconds a day of a camera at one frame a second. No site is
# that unlucky for long; a smaller prior would only lower every quiet frame alike.
FIELD_PRIOR = 1e-4
# Of the frames without fire, this share comes soon after a change of scene (lamp, sunset, vehicle); a guess.
ONSET_SHARE = 0.05
# A steady high score must stay worth something when it no longer rises.
LEAST_LEVEL_SLOPE = 0.4
EARLY_S = 30.0  # only the start of a fire is worth asking about
RESTING_S = 120.0  # the policy's memory of the resting score
QUIET_X = -6.0  # where the policy thinks an unknown camera rests
CLIP_FPS = 2.0
_STEPS = 20_000
_RATE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Frames: score, rise above rest, whether a fire starts, and how much each counts."""

    x: Floats
    rise: Floats
    is_fire: Floats
    weight: Floats


def scores(logits: NDArray[np.floating], platt: dict[str, dict[str, float]]) -> Floats:
    """Turn logits, shape (N, 2), into the logit of the likelier class after calibration, shape (N,)."""
    columns = [
        platt[label]["scale"] * logits[:, index].astype(np.float64) + platt[label]["bias"]
        for index, label in enumerate(LABELS)
    ]
    return np.asarray(np.clip(np.max(columns, axis=0), -30.0, 30.0), np.float64)


def streams_of(x: Floats, is_fire: NDArray[np.bool_], rng: np.random.Generator) -> Samples:
    """Order pictures into streams: each after the rest of a camera that shows a random negative."""
    quiet = x[~is_fire]
    fires = x[is_fire]
    rest_of_fires, rest_of_onsets = rng.choice(quiet, len(fires)), rng.choice(quiet, len(quiet))
    onset_rise = np.maximum(0.0, quiet - rest_of_onsets)
    return Samples(
        x=np.concatenate([fires, quiet, quiet]),
        rise=np.concatenate(
            [np.maximum(0.0, fires - rest_of_fires), np.zeros(len(quiet)), onset_rise]
        ),
        is_fire=np.concatenate([np.ones(len(fires)), np.zeros(2 * len(quiet))]),
        weight=np.concatenate(
            [
                np.full(len(fires), 1.0 / len(fires)),
                np.full(len(quiet), (1.0 - ONSET_SHARE) / len(quiet)),
                np.full(len(quiet), ONSET_SHARE / len(quiet)),
            ]
        ),
    )


def clip_samples(
    folder: Path, plan: ArtifactPlan, platt: dict[str, dict[str, float]]
) -> list[Samples]:
    """Score the clips listed in `clips.csv`; the first seconds of a fire count as positives, later ones not at all."""
    listing = folder / "clips.csv"
    if not listing.is_file():
        return []
    model = OnnxModel(plan.variant("int8"))
    with listing.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        _clip(folder / row["file"], row["first_fire_second"], model, platt)
        for row in rows
        if (folder / row["file"]).is_file()
    ]


def fit(samples: Samples, *, uses_rise: bool) -> tuple[float, float, float]:
    """Fit (a, b, d) by projected gradient steps (Adam) on the weighted log loss; a ≥ 0.4, d ≥ 0."""
    design = np.stack([samples.x, np.ones_like(samples.x), samples.rise], 1)
    theta, first, second = (
        np.array([0.6, -2.0, 0.3 if uses_rise else 0.0]),
        np.zeros(3),
        np.zeros(3),
    )
    for step in range(1, _STEPS + 1):
        chance = 1.0 / (1.0 + np.exp(-np.clip(design @ theta, -40.0, 40.0)))
        slope = design.T @ (samples.weight * (chance - samples.is_fire))
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        move = (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-9)
        theta = theta - _RATE / np.sqrt(1.0 + step / 500) * move
        theta[0] = max(theta[0], LEAST_LEVEL_SLOPE)
        theta[2] = max(theta[2], 0.0) if uses_rise else 0.0
    return float(theta[0]), float(theta[1]), float(theta[2])


def fit_value(plan: ArtifactPlan, pictures: tuple[Picture, ...], clips: Path) -> dict[str, float]:
    """Fit both forms and leave them for the manifest."""
    platt = read_stage(plan, "calibration.json")["platt"]["int8"]
    logits = onnx_logits(plan.variant("int8"), pictures)
    truth = np.asarray([p.truth.present for p in pictures], np.float32)
    is_fire = np.nanmax(np.nan_to_num(truth, nan=0.0), axis=1) > 0.5
    is_known = is_fire | ~np.isnan(truth).any(axis=1)
    x = scores(logits, platt)[is_known]
    parts = [streams_of(x, is_fire[is_known], np.random.default_rng(0))]
    parts += clip_samples(clips, plan, platt)
    samples = Samples(
        **{name: np.concatenate([getattr(p, name) for p in parts]) for name in asdict(parts[0])}
    )
    a, b, d = fit(samples, uses_rise=True)
    level_a, level_b, _ = fit(samples, uses_rise=False)
    # The fit saw fires and quiet frames as often as each other; the field does not.
    shift = float(np.log(FIELD_PRIOR / (1.0 - FIELD_PRIOR)))
    value = {"a": a, "b": b + shift, "d": d, "level_a": level_a, "level_b": level_b + shift}
    value = {key: round(number, 4) for key, number in value.items()} | {"prior": FIELD_PRIOR}
    write_stage(plan, "value.json", value)
    return value


def _clip(
    path: Path, first_fire: str, model: OnnxModel, platt: dict[str, dict[str, float]]
) -> Samples:
    x, at_s = _clip_scores(path, model, platt)
    resting, rise = QUIET_X, []
    for score in x:
        rise.append(max(0.0, score - resting))
        resting += (score - resting) / (RESTING_S * CLIP_FPS)
    start_s = float(first_fire) if first_fire else np.inf
    is_fire = (at_s >= start_s) & (at_s < start_s + EARLY_S)
    # A clip counts as much as five pictures of its kind: its frames are nearly copies of each other.
    weight = np.full(len(x), 5.0 / 400.0 / max(1, len(x)))
    return Samples(x=x, rise=np.array(rise), is_fire=is_fire.astype(np.float64), weight=weight)


def _clip_scores(
    path: Path, model: OnnxModel, platt: dict[str, dict[str, float]]
) -> tuple[Floats, Floats]:
    capture = cv2.VideoCapture(str(path))
    fps = capture.get(cv2.CAP_PROP_FPS) or 15.0
    every = max(1, round(fps / CLIP_FPS))
    logits, times, number = [], [], 0
    while capture.grab():
        if number % every == 0:
            _, bgr = capture.retrieve()
            tensor = preprocess(np.asarray(bgr, np.uint8), CONTRACT).tensor
            logits.append(model.run(tensor)[0][0])
            times.append(number / fps)
        number += 1
    capture.release()
    return scores(np.asarray(logits, np.float32), platt), np.array(times)


def main() -> None:
    """Read the command line and fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=default_data_dir())
    parser.add_argument(
        "--clips", type=Path, help="Folder of clips with clips.csv; beside the data."
    )
    arguments = parser.parse_args()
    clips = arguments.clips or arguments.data.parent / "clips"
    value = fit_value(PLANS["classifier"], load_pack(arguments.data, "val").pictures, clips)
    click.echo(" ".join(f"{key} {number:g}" for key, number in value.items()))


if __name__ == "__main__":
    main()
