"""What the rendered fires in training do to real pictures and to the `sim:` camera: the same fold with and without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.data import LABELS, Picture
from models.fold_report import held_out, source_rows
from models.folds import FOLDS, UNRENDERED, Fold, has_run, plan_of, read_scores
from models.onnx_model import OnnxModel
from models.train_classifier import CONTRACT
from shared.picture.preprocess import preprocess
from shared.rendered.scene import Scene, SceneSettings

Measures = dict[str, Any]
_SIM_SEED, _BURNING_S = 0, 40.0


def rendered_effect(by_file: Mapping[str, Picture], variant: str) -> Measures | None:
    """Compare the two; None when one of them has not run."""
    (twin,) = (fold for fold in FOLDS if fold.fire_sources == UNRENDERED.fire_sources)
    if not (has_run(twin) and has_run(UNRENDERED)):
        return None
    with_them, without = (_measure(fold, by_file, variant) for fold in (twin, UNRENDERED))
    return {
        "source": twin.fire_sources[0],
        "with": {name: with_them[name] for name in LABELS},
        "without": {name: without[name] for name in LABELS},
        "sim_with": with_them["sim"],
        "sim_without": without["sim"],
    }


def _measure(fold: Fold, by_file: Mapping[str, Picture], variant: str) -> Measures:
    held = held_out(fold, read_scores(fold), by_file, variant)
    row = source_rows(held)[fold.fire_sources[0]]
    burning = Scene(SceneSettings(seed=_SIM_SEED)).render(_BURNING_S).bgr_hwc_u8
    model = OnnxModel(plan_of(fold).variant(variant))
    logit = model.run(preprocess(burning, CONTRACT).tensor)[0][0, 0]
    return row | {"sim": round(float(held.calibrations[0].probabilities(logit)), 4)}
