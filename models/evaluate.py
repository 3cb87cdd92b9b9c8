"""Measure the staged files: `python -m models.evaluate classifier|detector`.

Leaves `metrics.json` and the plots of the card. The detector comes first: the classifier's card judges the pair.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import click

from models.artifact import PLANS, write_stage
from models.classifier_report import Measures, evaluate_classifier
from models.data import default_data_dir, load_pack, read_corrections
from models.detector_report import evaluate_detector


def evaluate(kind: str, data: Path, clips: Path) -> Measures:
    """Measure a network's staged files and leave the result for the card."""
    plan = PLANS[kind]
    val, corrections = load_pack(data, "val").pictures, read_corrections()
    if kind == "classifier":
        train = load_pack(data, "train").pictures
        measures = evaluate_classifier(plan, train, val, corrections, clips)
    else:
        measures = evaluate_detector(plan, val, corrections, clips)
    write_stage(plan, "metrics.json", measures)
    return measures


def main() -> None:
    """Read the command line and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(PLANS))
    parser.add_argument("--data", type=Path, default=default_data_dir())
    parser.add_argument("--clips", type=Path, help="folder of clips; beside the data if not given")
    given = parser.parse_args()
    measures = evaluate(given.kind, given.data, given.clips or given.data.parent / "clips")
    for variant in PLANS[given.kind].files:
        click.echo(f"{variant} {measures[variant]}")


if __name__ == "__main__":
    main()
