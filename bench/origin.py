"""`python -m bench.origin [--data DIR] [--sheet FILE]`: how well origins are found, and what opens no event.

Rendered fires that grow from nothing over real pictures without fire, still and swaying, go through the box's own line:
classifier, evidence, events, pre-roll, walk. The truth is known: the second it starts, and its box in every frame. Then
one clip whose fire begins in view, and half an hour of stills without fire, as one camera and each as a camera of its
own. Quality only, no timing: the numbers are the same on a busy machine. Writes `results.json`.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.labels import DATA, list_negatives, list_sure_negatives
from bench.numbers import Number, median, print_table, write_results
from edge.classify.classifier import Classifier, LoadedClassifier
from edge.decide.policies import PolicyName
from edge.forward.local_client import LocalClient
from edge.origin.tracing import find_origin, load_look
from edge.replay.plane import ReplayPlane
from edge.replay.recording import read_moment, read_recordings
from edge.replay.replay import Recording, ReplayedEvent
from edge.wiring.decisions import value_model
from shared.boxes import iou_matrix
from shared.model.inference import best_cpu_variant
from shared.model.manifest import load_artifact, shipped_models
from shared.picture.imaging import decode, jpeg_picture, read_picture
from shared.rendered.composite import RenderedFrame
from shared.rendered.growth import draw_growing_fire, sway
from shared.types import ImageLimits, Picture

_BEGINS_AT = datetime(2026, 3, 10, 12, tzinfo=UTC)
_FPS = 2.0
_COMPOSITES = 30
_IGNITE_AT_S = 25.0
_LENGTH_S = 45.0
_SWAY = 0.01  # of the picture's sides, five pixels here: a pole in the wind
_HELD_S = 4.0
_HELD_IN_ALL_S = 1800.0
_STILLS = int(_HELD_IN_ALL_S / _HELD_S)
_CALLS_A_DAY = 5000
_CLIP, _CLIP_FIRE_S = "indoor_battery_ignites.mp4", 3.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One composite: what became of it. `error_s` is None when no event opened after the fire began."""

    name: str
    error_s: float | None
    iou: float
    is_early: bool
    picture: NDArray[np.uint8]


class Stage:
    """The models, loaded once, and the plane that recordings are played to."""

    def __init__(self) -> None:
        """Load what is shipped."""
        models = shipped_models()
        artifact = load_artifact(
            models, "edge-classifier", kind="classifier", variant=best_cpu_variant()
        )
        self._classifier = Classifier(LoadedClassifier(artifact), at_once=1)
        self._client = LocalClient(models)
        look = load_look(models)
        self._plane = ReplayPlane(
            model=artifact.identity,
            value=value_model(artifact.manifest.value),
            begins_at=_BEGINS_AT,
            daily_limit=_CALLS_A_DAY,
            trace=functools.partial(find_origin, look=look),
        )

    def close(self) -> None:
        """End the classifier's thread."""
        self._classifier.stop()

    def show(self, name: str, pictures: Iterable[Picture]) -> tuple[ReplayedEvent, ...]:
        """Play pictures at two a second; gives the events."""
        return self.play(self.read(name, pictures))

    def read(self, name: str, pictures: Iterable[Picture]) -> Recording:
        """Classify pictures, two a second; the detector looks at those that a policy asks about."""
        moments = [
            read_moment(picture, number / _FPS, self._classifier, self._client, _BEGINS_AT)
            for number, picture in enumerate(pictures)
        ]
        return Recording(
            name=name,
            moments=moments,
            length_s=len(moments) / _FPS,
            is_labelled=False,
            first_fire_s=None,
        )

    def play_clip(self, clip: Path) -> tuple[ReplayedEvent, ...]:
        """Play a clip; gives the events."""
        (recording,) = read_recordings([clip], self._classifier, self._client, _BEGINS_AT, _FPS, {})
        return self.play(recording)

    def play(self, recording: Recording) -> tuple[ReplayedEvent, ...]:
        """Play a recording to a camera that saw nothing before; gives the events."""
        return self._plane.play(recording, PolicyName.PRICE).events


def stills_that_open(stage: Stage, shown: Recording) -> int:
    """Count the stills of a recording that open an event on a camera of their own."""
    moments, each = list(shown.moments), int(_HELD_S * _FPS)
    alone = [replace(shown, moments=moments[n : n + each]) for n in range(0, len(moments), each)]
    return sum(bool(stage.play(recording)) for recording in alone)


def read_bgr(path: Path) -> NDArray[np.uint8]:
    """Read a picture, shape (H, W, 3), uint8, BGR."""
    return decode(read_picture(path.read_bytes(), ImageLimits())).bgr_hwc_u8


def composite(path: Path, number: int) -> list[RenderedFrame]:
    """Draw a growing fire over a picture, every other one swaying; frames with their truth, two a second."""
    fire = draw_growing_fire(np.random.default_rng([number, 11]), ignite_at_s=_IGNITE_AT_S)
    background = read_bgr(path)
    times = [index / _FPS for index in range(int(_LENGTH_S * _FPS))]
    return [sway(fire.draw(background, t_s), t_s, _SWAY if number % 2 else 0.0) for t_s in times]


def trace_composite(stage: Stage, path: Path, number: int) -> Found:
    """Play one composite and hold the origin against the truth.

    The box counts against the flame's or the plume's, whichever it fits: an origin may be smoke.
    """
    frames = composite(path, number)
    events = stage.show(path.name, [jpeg_picture(frame.bgr_hwc_u8) for frame in frames])
    is_early = any(event.first_seen_s < _IGNITE_AT_S for event in events)
    event = next((e for e in events if e.first_seen_s >= _IGNITE_AT_S and e.origin), None)
    if event is None or event.origin is None:
        return Found(
            name=path.name,
            error_s=None,
            iou=0.0,
            is_early=is_early,
            picture=frames[-1].bgr_hwc_u8,
        )
    frame = frames[round(event.origin.at_s * _FPS)]
    iou = _best_iou(event.origin.box_xyxy, frame)
    error_s = event.origin.at_s - _IGNITE_AT_S
    drawn = _draw(frame, event.origin.box_xyxy, f"{number} {error_s:+.1f} s  IoU {iou:.2f}")
    return Found(name=path.name, error_s=error_s, iou=iou, is_early=is_early, picture=drawn)


def _best_iou(box_xyxy: list[float] | None, frame: RenderedFrame) -> float:
    truths = [box for box in (frame.fire_xyxy, frame.smoke_xyxy) if box is not None]
    if box_xyxy is None or not truths:
        return 0.0
    found = np.array([box_xyxy], np.float32)
    return float(iou_matrix(found, np.array(truths, np.float32)).max())


def _draw(frame: RenderedFrame, box_xyxy: list[float] | None, text: str) -> NDArray[np.uint8]:
    """Draw the found box in green, the truth in blue, and a line of text."""
    drawn = frame.bgr_hwc_u8.copy()
    for box, colour in ((frame.fire_xyxy, (255, 80, 0)), (box_xyxy, (0, 255, 0))):
        if box is not None:
            x1, y1, x2, y2 = (round(v) for v in box)
            cv2.rectangle(drawn, (x1, y1), (x2, y2), colour, 1)
    cv2.putText(drawn, text, (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 255, 255), 2)
    return drawn


def held_stills(paths: Sequence[Path], length_s: float) -> Iterator[Picture]:
    """Show stills one after the other, each held and swaying, until so many seconds are over."""
    each = int(_HELD_S * _FPS)
    for shown in range(0, int(length_s * _FPS), each):
        yield from sway_still(paths[shown // each % len(paths)], each, shown)


def sway_still(path: Path, frames: int, begin: int = 0) -> Iterator[Picture]:
    """Show a still on a camera that sways, from the frame `begin` of its swaying on."""
    still = RenderedFrame(bgr_hwc_u8=read_bgr(path), fire_xyxy=None, smoke_xyxy=None)
    for number in range(begin, begin + frames):
        yield jpeg_picture(sway(still, number / _FPS, _SWAY / 2).bgr_hwc_u8)


def measure(data: Path, sheet: Path | None) -> list[Number]:
    """Measure everything.

    Args:
        data: folder with `fire-smoke` and `clips`.
        sheet: where a contact sheet of the origins goes, None for none.
    """
    stage = Stage()
    negatives = list_negatives(data)
    chosen = np.random.default_rng(5).permutation(len(negatives))[:_COMPOSITES]
    found = [trace_composite(stage, negatives[i], n) for n, i in enumerate(chosen)]
    if sheet is not None:
        _write_sheet(found, sheet)
    traced = [f for f in found if f.error_s is not None]
    errors_s = [abs(f.error_s) for f in traced if f.error_s is not None]
    clip = stage.play_clip(data / "clips" / _CLIP)
    clip_error_s = min(
        (abs(e.origin.at_s - _CLIP_FIRE_S) for e in clip if e.origin), default=float("inf")
    )
    stills = stage.read("stills", held_stills(list_sure_negatives(data), _HELD_IN_ALL_S))
    held, alone = stage.play(stills), stills_that_open(stage, stills)
    stage.close()
    return [
        Number(
            name="origin.composites_traced",
            value=len(traced),
            unit="of 30",
            accept=20,
            is_more_better=True,
        ),
        Number(name="origin.error_median_s", value=median(errors_s), unit="s", accept=2.0),
        Number(
            name="origin.error_within_2s",
            value=sum(e <= 2.0 for e in errors_s) / len(traced),
            unit="share",
            is_more_better=True,
        ),
        Number(
            name="origin.iou_at_least_half",
            value=sum(f.iou >= 0.5 for f in traced) / len(traced),
            unit="share",
            accept=0.7,
            is_more_better=True,
        ),
        Number(name="origin.clip_error_s", value=clip_error_s, unit="s", accept=2.0),
        Number(name="events.before_the_fire", value=sum(f.is_early for f in found), unit="of 30"),
        Number(name="events.held_stills_30min", value=len(held), unit="events", accept=1),
        Number(name="events.held_stills_alone", value=alone, unit=f"of {_STILLS}"),
    ]


def _write_sheet(found: Sequence[Found], path: Path, columns: int = 6) -> None:
    tiles = [cv2.resize(f.picture, (320, 240), interpolation=cv2.INTER_AREA) for f in found]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    if not cv2.imwrite(str(path), np.vstack(rows)):
        sys.exit(f"{path}: cannot be written")


def main() -> None:
    """Run the measurements; exit 1 when a number is not accepted."""
    parser = argparse.ArgumentParser(prog="python -m bench.origin", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of pictures and clips")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet of the origins found")
    wanted = parser.parse_args()
    if not (wanted.data / "fire-smoke" / "manifest.csv").exists():
        sys.exit(f"{wanted.data}: has no fire-smoke/manifest.csv; name a folder with --data")
    numbers = measure(wanted.data, wanted.sheet)
    print_table(numbers)
    write_results(numbers)
    sys.exit(not all(number.is_ok for number in numbers))


if __name__ == "__main__":
    main()
