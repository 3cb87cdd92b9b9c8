"""The text of an artifact's card: the prose of `models/cards/`, filled with what its manifest holds."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import Any

from models.card_tables import table
from models.classifier_card import classifier_fields
from models.detector_card import detector_fields

Manifest = dict[str, Any]

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
        "files": _filestable(manifest),
        "input": _input_text(manifest),
        "schedule": _schedule(training),
        "rendered": f"{training['recipe']['mix']['rendered']:.0%}",
        "pictures": str(manifest["metrics"]["pictures"]),
        "weights_file": training["weights_file"],
        "weights_sha256": training["weights_sha256"],
        "data_sha256": training["data_sha256"],
    }
    is_classifier = manifest["kind"] == "classifier"
    fields |= classifier_fields(manifest) if is_classifier else detector_fields(manifest)
    prose = (_PROSE / f"{manifest['name']}.md").read_text(encoding="utf-8")
    data = (_PROSE / "data.md").read_text(encoding="utf-8")
    return Template(f"{prose}\n{data}").substitute(fields)


def _schedule(training: Manifest) -> str:
    recipe = training["recipe"]
    return (
        f"{training['epochs']} epochs of {recipe['pictures_per_epoch']} pictures in batches of "
        f"{recipe['batch']}, seed {training['seed']}."
    )


def _filestable(manifest: Manifest) -> str:
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
    return table(("file", "variant", "default", "size"), rows)


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
