"""What the classifier's card says of its measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.card_tables import Row, clip_lines, measured_variants, share_text, speed_rows, table
from models.data import LABELS

Measures = Mapping[str, Any]


def classifier_fields(manifest: Measures) -> dict[str, str]:
    """Give the texts that the classifier's prose asks for."""
    metrics, variants = manifest["metrics"], measured_variants(manifest)
    default = metrics[manifest["default_variant"]]
    clips, quiet = clip_lines(metrics["clips"])
    rows = [
        *_ranking_rows(metrics, variants),
        *_count_rows(metrics, variants),
        *speed_rows(metrics, variants),
    ]
    return {
        "results": table(("", *variants), rows),
        "changed": str(default["corrected"]["pictures_changed"]),
        "cue": _cue_text(default, metrics["one_size_and_quality"]),
        "sim": _sim_text(default["sim"]),
        "by_tag": _tag_table(default),
        "by_source": _share_table("source", default["at_half"]["fire_found_by_source"]),
        "folds": _fold_table(metrics["folds"], variants),
        "fold_lookalikes": _fold_lookalikes(metrics["folds"]),
        "rendered_effect": _rendered_text(metrics["rendered"]),
        "joint": _joint_table(metrics),
        "joint_pictures": str(metrics["joint"]["pictures"]),
        "joint_verdict": _joint_verdict(metrics["joint"]),
        "clips": table(("clip", "first fire verdict after"), clips),
        "quiet": quiet,
    }


def _ranking_rows(metrics: Measures, variants: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    for name in LABELS:
        rows.append((f"AUC {name}", *(f"{metrics[v][name]['auc']:.4f}" for v in variants)))
        right = (f"{metrics[v]['corrected'][name]['auc']:.4f}" for v in variants)
        rows.append((f"AUC {name}, labels corrected", *right))
        rows.append((f"AP {name}", *(f"{metrics[v][name]['ap']:.4f}" for v in variants)))
        errors = (f"{metrics[v]['ece_source_left_out'][name]:.3f}" for v in variants)
        rows.append((f"ECE {name}", *errors))
    return rows


def _count_rows(metrics: Measures, variants: Sequence[str]) -> list[Row]:
    measures = (
        ("fires found at p ≥ 0.5", "at_half", "fire_found"),
        ("smoke found at p ≥ 0.5", "at_half", "smoke_found"),
        ("fires under 1 % of the picture found", "at_half", "small_fire_found"),
        ("fires found by night", "at_half", "fire_found_by_night"),
        ("negatives called fire", "at_half", "negatives_called_fire"),
        ("negatives called smoke", "at_half", "negatives_called_smoke"),
        ("negatives called fire by night", "at_half", "negatives_called_fire_by_night"),
        ("look-alikes called fire", "at_half", "lookalikes_called_fire"),
        (
            "look-alikes called fire where 95 % of fires are found",
            "at_recall",
            "lookalikes_called_fire",
        ),
        (
            "look-alikes called smoke where 95 % of smoke is found",
            "at_recall",
            "lookalikes_called_smoke",
        ),
    )
    return [
        (title, *(share_text(metrics[v][point][key]) for v in variants))
        for title, point, key in measures
    ]


def _tag_table(default: Measures) -> str:
    half, recall = (default[k]["called_fire_by_tag"] for k in ("at_half", "at_recall"))
    head = ("what", "at p ≥ 0.5", f"at p ≥ {default['at_recall']['threshold']['fire']:.2f}", "of")
    rows = [
        (tag, f"{half[tag]['share']:.1%}", f"{recall[tag]['share']:.1%}", str(half[tag]["of"]))
        for tag in half
    ]
    return table(head, rows)


def _share_table(head: str, shares: Measures) -> str:
    rows = [(key, f"{value['share']:.1%}", str(value["of"])) for key, value in shares.items()]
    return table((head, "share", "of"), rows)


def _fold_table(folds: Measures, variants: Sequence[str]) -> str:
    folds = _with_corrected(folds)
    head = ["source left out", "pictures"]
    keys = (
        ("AUC", "auc", 3),
        ("AUC, labels corrected", "auc_corrected", 3),
        ("AUC, other negatives", "auc_known_negatives", 3),
        ("ECE", "ece", 3),
        ("ECE after 50 labels", "ece_after_labels", 3),
    )
    head += [f"{title} {name}" for name in LABELS for title, _, _ in keys]
    rows = [
        (
            source,
            str(row["pictures"]),
            *(
                f"{row[name][key]:.{digits}f}" if name in row else ""
                for name in LABELS
                for _, key, digits in keys
            ),
        )
        for source, row in folds["sources"].items()
    ]
    rows.append(
        ("mean", "", *(f"{folds['mean'][name][key]:.3f}" for name in LABELS for _, key, _ in keys))
    )
    served, reference = variants[0], variants[-1]
    lost = {n: folds["mean_auc"][reference][n] - folds["mean_auc"][served][n] for n in LABELS}
    missing = folds["not_run"]
    lacking = f"\n\nNot run for this version: {', '.join(missing)}." if missing else ""
    return table(head, rows) + (
        f"{lacking}\n\nThe AUC that {served} loses against {reference} on these sources: fire {lost['fire']:.4f}, "
        f"smoke {lost['smoke']:.4f}."
    )


def _with_corrected(folds: Measures) -> Measures:
    """Put the AUC by the corrected labels beside the one by the labels as they came."""
    right = folds["corrected"]

    def joined(row: Measures, other: Measures) -> Measures:
        both = [name for name in LABELS if name in row and name in other]
        beside = {n: {**row[n], "auc_corrected": other[n]["auc"]} for n in both}
        return {**row, **beside}

    sources = {s: joined(row, right["sources"][s]) for s, row in folds["sources"].items()}
    return {**folds, "sources": sources, "mean": joined(folds["mean"], right["mean"])}


def _fold_lookalikes(folds: Measures) -> str:
    found, right = folds["lookalikes"], folds["corrected"]["lookalikes"]
    rows = [(tag, f"{row['share']:.1%}", str(row["of"])) for tag, row in found["by_tag"].items()]
    return (
        f"At the threshold that finds 95 % of the fires of the sources trained on, {share_text(found['called_fire'])} "
        f"left-out\nnegatives are called fire, and {share_text(found['fires_found'])} left-out fires are found; with "
        f"the labels corrected\n{share_text(right['called_fire'])} and {share_text(right['fires_found'])}:\n\n"
    ) + table(("what", "called fire", "of"), rows)


def _rendered_text(rendered: Measures | None) -> str:
    if rendered is None:
        return (
            "The effect of the rendered fires on real pictures was not measured for this version."
        )
    with_them, without = rendered["with"], rendered["without"]
    pairs = "; ".join(
        f"{name} {with_them[name]['auc']:.4f} with and {without[name]['auc']:.4f} without"
        for name in LABELS
    )
    return (
        f"Rendered fires in training, judged on the left-out source {rendered['source']} (AUC): {pairs}. The\n"
        f"fire of the `sim:` yard gets p = {rendered['sim_with']:.3f} with and {rendered['sim_without']:.3f} without."
    )


def _joint_table(metrics: Measures) -> str:
    points, risk = metrics["joint"]["points"], metrics["risk_coverage"]
    rows = [
        (
            f"{float(forwarded):.0%}",
            "" if risk[forwarded]["kept_error"] is None else f"{risk[forwarded]['kept_error']:.1%}",
            f"{point['accuracy']:.1%}",
        )
        for forwarded, point in points.items()
    ]
    return table(("forwarded", "error among what the edge keeps", "accuracy of the pair"), rows)


def _joint_verdict(joint: Measures) -> str:
    def said(points: Measures) -> str:
        edge, pair, cloud = (points[k]["accuracy"] for k in ("0", "0.2", "1"))
        return (
            f"right on {pair:.1%}, the edge alone on {edge:.1%} and the cloud alone on {cloud:.1%}"
        )

    return (
        f"With 20 % forwarded the pair is {said(joint['points'])}. With the labels corrected it is\n"
        f"{said(joint['corrected'])}."
    )


def _cue_text(as_stored: Measures, same: Measures) -> str:
    return (
        "With all pictures brought to one size and one JPEG quality (224 pixels, 60), AUC is "
        f"{same['fire']['auc']:.4f} for fire\nand {same['smoke']['auc']:.4f} for smoke; as stored "
        f"it is {as_stored['fire']['auc']:.4f} and {as_stored['smoke']['auc']:.4f}. Whatever it still takes from\n"
        "stored size and quality is at most that difference."
    )


def _sim_text(sim: Measures) -> str:
    before, burning = sim["before"], sim["burning"]
    return (
        f"The `sim:` yard (seed 0): before ignition fire {before['fire']:.3f}, smoke {before['smoke']:.3f}; with the\n"
        f"fire grown fire {burning['fire']:.3f}, smoke {burning['smoke']:.3f}."
    )
