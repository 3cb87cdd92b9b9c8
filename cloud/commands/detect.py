"""`emberlink-cloud detect`: the detector alone, on files. Ring: rim."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from cloud.wire import detection_as_dict
from shared.clock import SystemClock
from shared.command.each_picture import for_each_picture
from shared.command.terminal import RATE, explained
from shared.errors import FireError
from shared.model.detector import Detector, Running
from shared.model.manifest import load_artifact, shipped_models
from shared.picture.annotate import annotate
from shared.picture.gather import Gathered
from shared.picture.imaging import decode
from shared.types import ImageLimits


@click.command("detect")
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
@click.option("--variant", help="Which file of the model, fp32 or int8.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--models", type=click.Path(path_type=Path), help="Folder of model artifacts.")
def detect_command(
    files: tuple[Path, ...],
    as_json: bool,
    save: Path | None,
    video_fps: float,
    variant: str | None,
    device: str,
    models: Path | None,
) -> None:
    """Detect fire and smoke in pictures, folders and videos.

    Exit 1 when some of them could not be used.
    """
    with explained():
        limits = ImageLimits()
        detector = _detector(models, variant, device)
        failed = for_each_picture(
            files,
            limits=limits,
            video_fps=video_fps,
            as_json=as_json,
            save=save,
            look=lambda found: _look(detector, found),
        )
    sys.exit(1 if failed else 0)


def _detector(models: Path | None, variant: str | None, device: str) -> Detector:
    artifact = load_artifact(
        models or shipped_models(), "cloud-detector", kind="detector", variant=variant
    )
    return Detector(artifact, Running(device=device), SystemClock())


def _look(detector: Detector, found: Gathered) -> tuple[dict[str, Any], str, Any]:
    if isinstance(found.picture, FireError):
        raise found.picture
    picture = found.picture
    started_s = time.perf_counter()
    prepared = detector.prepare(picture)
    finding = detector.finding(detector.run_batch([prepared.tensor])[0], prepared.letterbox)
    fields = {
        "width": picture.width_px,
        "height": picture.height_px,
        "detections": [detection_as_dict(d) for d in finding.detections],
        "latency_ms": round(1000 * (time.perf_counter() - started_s), 2),
    }
    boxes = ", ".join(
        f"{d.label.value} {d.score:.2f} {d.box.as_list()}" for d in finding.detections
    )
    text = f"{finding.label.value:5}  {boxes or 'no boxes'}"
    headline = f"{finding.label.value}  {len(finding.detections)} boxes"
    return (
        fields,
        text,
        lambda: annotate(decode(picture).bgr_hwc_u8, headline, finding.label, finding.detections),
    )
