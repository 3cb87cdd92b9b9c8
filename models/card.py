"""The text of an artifact's card: the prose of `models/cards/`, filled with what its manifest holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any

from models.data import LABELS

Manifest = dict[str, Any]
Row = tuple[str, ...]

_PROSE = Path(__file__).parent / "cards"


def write_card(manifest: Manifest) -> str:
    """Write the card.

    Raises:
        KeyError: the prose asks for a figure that was not measured.
    """
    training = manifest["training"]
    fields = {
        "name": manifest["name"],
        "version": manifest["version"],
        "files": _files_table(manifest),
        "input": _input_text(manifest),
        "schedule": _schedule(training),
        "rendered": f"{training['recipe']['mix']['rendered']:.0%}",
        "pictures": str(manifest["metrics"]["pictures"]),
        "weights_file": training["weights_file"],
        "weights_sha256": training["weights_sha256"],
        "data_sha256": training["data_sha256"],
    }
    is_classifier = manifest["kind"] == "classifier"
    fields |= _classifier_fields(manifest) if is_classifier else _detector_fields(manifest)
    prose = (_PROSE / f"{manifest['name']}.md").read_text(encoding="utf-8")
    data = (_PROSE / "data.md").read_text(encoding="utf-8")
    return Template(f"{prose}\n{data}").substitute(fields)


def _schedule(training: Manifest) -> str:
    recipe = training["recipe"]
    return (
        f"{training['epochs']} epochs of {recipe['pictures_per_epoch']} pictures in batches of "
        f"{recipe['batch']}, seed {training['seed']}."
    )


def _files_table(manifest: Manifest) -> str:
    default = manifest["default_variant"]
    rows = [
        (
            f"`{entry['path']}`",
            variant,
            "yes" if variant == default else "",
            f"{entry['bytes'] / 1e6:.2f} MB",
        )
        for variant, entry in manifest["files"].items()
    ]
    return _table(("file", "variant", "default", "size"), rows)


def _input_text(manifest: Manifest) -> str:
    section = manifest["input"]
    sizes = ", ".join(f"{w} × {h}" for w, h in section["sizes_px"])
    outputs = ", ".join(f"`{o}`" for o in manifest["outputs"])
    return (
        f"Input `{section['name']}`: (N, 3, H, W) float32, {section['colour']}, (value − mean) / std with mean\n"
        f"{section['mean']} and std {section['std']} in units of 0…255.\n"
        f"Canvases (width × height): {sizes}; the one with the nearest aspect is taken and the picture is\n"
        f"letterboxed with grey {section['pad_value']}. Outputs: {outputs}; classes in the order "
        f"{', '.join(manifest['labels'])}."
    )


def _classifier_fields(manifest: Manifest) -> dict[str, str]:
    metrics, variants = manifest["metrics"], _measured(manifest)
    default = metrics[manifest["default_variant"]]
    rows = [
        *_ranking_rows(metrics, variants),
        *_half_rows(metrics, variants),
        *_speed_rows(metrics, variants),
    ]
    return {
        "results": _table(("", *variants), rows),
        "cue": _cue_text(default, metrics["one_size_and_quality"]),
        "sim": _sim_text(default["sim"]),
        "by_tag": _share_table("what", default["at_half"]["called_fire_by_tag"]),
        "by_source": _share_table("source", default["at_half"]["fire_found_by_source"]),
    }


def _measured(manifest: Manifest) -> list[str]:
    """List the variants with measures of their own; the half-precision file has its distance from fp32 only."""
    return [v for v in manifest["files"] if "latency_ms" in manifest["metrics"][v]]


def _ranking_rows(metrics: Manifest, variants: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    for name in LABELS:
        rows.append((f"AUC {name}", *(f"{metrics[v][name]['auc']:.4f}" for v in variants)))
        rows.append((f"AP {name}", *(f"{metrics[v][name]['ap']:.4f}" for v in variants)))
        errors = (f"{metrics[v]['ece_source_left_out'][name]:.3f}" for v in variants)
        rows.append((f"ECE {name}", *errors))
    return rows


def _half_rows(metrics: Manifest, variants: Sequence[str]) -> list[Row]:
    measures = (
        ("fires found at p ≥ 0.5", "fire_found"),
        ("smoke found at p ≥ 0.5", "smoke_found"),
        ("fires under 1 % of the picture found", "small_fire_found"),
        ("negatives called fire", "negatives_called_fire"),
        ("negatives called smoke", "negatives_called_smoke"),
    )
    rows = []
    for title, key in measures:
        shares = [metrics[v]["at_half"][key] for v in variants]
        rows.append((title, *(f"{s['share']:.1%} of {s['of']}" for s in shares)))
    return rows


def _speed_rows(metrics: Manifest, variants: Sequence[str]) -> list[Row]:
    sizes = metrics[variants[0]]["latency_ms"]
    return [
        (
            f"ms at {size}, one core with VNNI",
            *(f"{metrics[v]['latency_ms'][size]:.1f}" for v in variants),
        )
        for size in sizes
    ]


def _cue_text(as_stored: Manifest, same: Manifest) -> str:
    return (
        "With all pictures brought to one size and one JPEG quality (224 pixels, 60), AUC is "
        f"{same['fire']['auc']:.4f} for fire\nand {same['smoke']['auc']:.4f} for smoke; as stored "
        f"it is {as_stored['fire']['auc']:.4f} and {as_stored['smoke']['auc']:.4f}. Whatever it still takes from\n"
        "stored size and quality is at most that difference."
    )


def _sim_text(sim: Manifest) -> str:
    before, burning = sim["before"], sim["burning"]
    return (
        f"The `sim:` yard (seed 0): before ignition fire {before['fire']:.3f}, smoke {before['smoke']:.3f}; with the\n"
        f"fire grown fire {burning['fire']:.3f}, smoke {burning['smoke']:.3f}."
    )


def _detector_fields(manifest: Manifest) -> dict[str, str]:
    metrics, variants = manifest["metrics"], _measured(manifest)
    default = metrics[manifest["default_variant"]]
    operating = [
        (
            name,
            f"{default['thresholds'][name]:.3f}",
            *(f"{v:.3f}" for v in default["at_threshold"][name].values()),
        )
        for name in LABELS
    ]
    head = ("class", "threshold", "recall", "precision", "false boxes a negative")
    return {
        "results": _table(
            ("", *variants), [*_box_rows(metrics, variants), *_speed_rows(metrics, variants)]
        ),
        "operating": _table(head, operating),
        "sim": _sim_box_text(default["sim"]),
    }


def _box_rows(metrics: Manifest, variants: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    for name in LABELS:
        rows.append((f"mAP50 {name}", *(f"{metrics[v][f'map50_{name}']:.3f}" for v in variants)))
        rows.append(
            (f"mAP50-95 {name}", *(f"{metrics[v][f'map50_95_{name}']:.3f}" for v in variants))
        )
        recalls = (f"{metrics[v]['recall_at_0.1_false_boxes'][name]:.3f}" for v in variants)
        rows.append((f"recall of {name} at 0.1 false boxes a negative", *recalls))
    return rows


def _sim_box_text(sim: Manifest) -> str:
    before, burning = sim["before"]["fire"], sim["burning"]["fire"]
    agrees = "overlaps" if burning["iou_over_half"] else "does not overlap"
    return (
        f"The `sim:` yard (seed 0): best fire box before ignition {before['score']:.3f}, with the fire grown\n"
        f"{burning['score']:.3f}; that box {agrees} the true one by more than a half."
    )


def _share_table(head: str, shares: Manifest) -> str:
    rows = [(key, f"{value['share']:.1%}", str(value["of"])) for key, value in shares.items()]
    return _table((head, "share", "of"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
