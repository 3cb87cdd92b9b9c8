"""What the detector's card says of its measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.card_tables import Row, clip_lines, measured_variants, share_text, speed_rows, table
from models.data import LABELS

Measures = Mapping[str, Any]


def detector_fields(manifest: Measures) -> dict[str, str]:
    """Give the texts that the detector's prose asks for."""
    metrics, variants = manifest["metrics"], measured_variants(manifest)
    default = metrics[manifest["default_variant"]]
    clips, quiet = clip_lines(metrics["clips"])
    rows = [*_box_rows(metrics, variants), *speed_rows(metrics, variants)]
    return {
        "results": table(("", *variants), rows),
        "changed": str(default["corrected"]["pictures_changed"]),
        "operating": _operating_table(default),
        "by_tag": _tag_table(default),
        "sim": _sim_box_text(default["sim"]),
        "clips": table(("clip", "first box of fire after"), clips),
        "quiet": quiet,
        "left_out": _left_out_text(metrics["left_out"]),
    }


def _left_out_text(run: Measures | None) -> str:
    if run is None:
        return "No run without a source was made for this version."
    boxes = "; ".join(
        f"{name} mAP50 {run[f'map50_{name}']:.3f}, mAP50-95 {run[f'map50_95_{name}']:.3f}"
        for name in LABELS
    )
    return (
        f"A short training from COCO weights ({run['epochs']} epochs of {run['pictures_per_epoch']} pictures) without "
        f"hotfire and\ncctvfire, judged on all pictures of those two: {boxes}."
    )


def _operating_table(default: Measures) -> str:
    head = (
        "class",
        "threshold",
        "recall of boxes",
        "precision",
        "false boxes a negative",
        "pictures found",
        "negatives called",
        "AUC of pictures",
    )
    rows = []
    for name in LABELS:
        at = default["at_threshold"][name]
        rows.append(
            (
                name,
                f"{default['thresholds'][name]:.3f}",
                f"{at['recall']:.3f}",
                f"{at['precision']:.3f}",
                f"{at['false_boxes_per_negative']:.3f}",
                share_text(at["pictures_found"]),
                share_text(at["negatives_called"]),
                f"{at['picture_auc']:.4f}",
            )
        )
    return table(head, rows)


def _tag_table(default: Measures) -> str:
    fire, smoke = (default["at_threshold"][name]["called_by_tag"] for name in LABELS)
    rows = [
        (tag, f"{fire[tag]['share']:.1%}", f"{smoke[tag]['share']:.1%}", str(fire[tag]["of"]))
        for tag in fire
    ]
    return table(("what", "called fire", "called smoke", "of"), rows)


def _box_rows(metrics: Measures, variants: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    for name in LABELS:
        rows.append((f"mAP50 {name}", *(f"{metrics[v][f'map50_{name}']:.3f}" for v in variants)))
        right = (f"{metrics[v]['corrected'][f'map50_{name}']:.3f}" for v in variants)
        rows.append((f"mAP50 {name}, labels corrected", *right))
        rows.append(
            (f"mAP50-95 {name}", *(f"{metrics[v][f'map50_95_{name}']:.3f}" for v in variants))
        )
        recalls = (f"{metrics[v]['recall_at_0.1_false_boxes'][name]:.3f}" for v in variants)
        rows.append((f"recall of {name} at 0.1 false boxes a negative", *recalls))
    return rows


def _sim_box_text(sim: Measures) -> str:
    before, burning = sim["before"]["fire"], sim["burning"]["fire"]
    agrees = "overlaps" if burning["iou_over_half"] else "does not overlap"
    return (
        f"The `sim:` yard (seed 0): best fire box before ignition {before['score']:.3f}, with the fire grown\n"
        f"{burning['score']:.3f}; that box {agrees} the true one by more than a half."
    )
