"""`emberlink-edge classify`: the classifier alone, on files. Ring: rim."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from edge.classify.classifier import Classifier, LoadedClassifier
from shared.clock import SystemClock
from shared.command.each_picture import for_each_picture
from shared.command.terminal import RATE, explained
from shared.errors import FireError
from shared.ids import new_id
from shared.model.inference import best_cpu_variant
from shared.model.manifest import load_artifact, shipped_models
from shared.picture.annotate import annotate
from shared.picture.gather import Gathered
from shared.picture.imaging import decode
from shared.types import Frame, ImageLimits, Picture


@click.command("classify")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON line a picture.")
@click.option("--save", type=click.Path(path_type=Path), help="Folder for annotated pictures.")
@click.option(
    "--video-fps",
    type=RATE,
    default=2.0,
    show_default=True,
    help="Frames a second taken from videos.",
)
@click.option("--variant", type=click.Choice(["int8", "fp32"]), help="Which file of the model.")
@click.option("--models", type=click.Path(path_type=Path), help="Folder of model artifacts.")
def classify_command(
    files: tuple[Path, ...],
    as_json: bool,
    save: Path | None,
    video_fps: float,
    variant: str | None,
    models: Path | None,
) -> None:
    """Classify pictures, folders and videos.

    Exit 1 when some of them could not be used.
    """
    with explained():
        limits = ImageLimits()
        classifier = load_classifier(models, variant)
        failed = for_each_picture(
            files,
            limits=limits,
            video_fps=video_fps,
            as_json=as_json,
            save=save,
            look=lambda found: _look(classifier, found),
        )
    sys.exit(1 if failed else 0)


def load_classifier(models: Path | None, variant: str | None) -> Classifier:
    """Load the classifier of a folder, or the shipped one."""
    artifact = load_artifact(
        models or shipped_models(),
        "edge-classifier",
        kind="classifier",
        variant=variant or best_cpu_variant(),
    )
    return Classifier(LoadedClassifier(artifact), at_once=1)


def _look(classifier: Classifier, found: Gathered) -> tuple[dict[str, Any], str, Any]:
    picture = _picture(found)
    now_at = SystemClock().now_at()
    frame = Frame(frame_id=new_id(now_at), camera=None, picture=picture, captured_at=now_at)
    started_s = time.perf_counter()
    seen = classifier.classify(frame)
    fields = {
        "fire": round(seen.fire, 4),
        "smoke": round(seen.smoke, 4),
        "confidence": round(seen.confidence, 4),
        "label": seen.label.value,
        "latency_ms": round(1000 * (time.perf_counter() - started_s), 2),
    }
    text = f"{seen.label.value:5}  fire {seen.fire:.3f}  smoke {seen.smoke:.3f}"
    headline = f"{seen.label.value}  fire {seen.fire:.2f}  smoke {seen.smoke:.2f}"
    return (
        fields,
        text,
        lambda: annotate(decode(picture).bgr_hwc_u8, headline, seen.label, seen.where),
    )


def _picture(found: Gathered) -> Picture:
    if isinstance(found.picture, FireError):
        raise found.picture
    return found.picture
