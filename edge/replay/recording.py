"""Recordings for a replay: videos, pictures and score logs, classified once and held in memory. Ring: rim."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import click
import tqdm

from edge.classify.classifier import Classifier
from edge.forward.cloud_client import CloudAnswer, CloudClient
from edge.replay.replay import Moment, Recording
from edge.replay.score_history import logged_moment
from edge.replay.score_log import is_score_log, read_scores
from shared.clock import SystemClock
from shared.deadline import Deadline
from shared.errors import CommandError, FireError
from shared.ids import new_id
from shared.picture.gather import VIDEO_SUFFIXES, gather, list_pictures
from shared.types import Frame, ImageLimits, Picture

_CALL_PATIENCE_S = 10.0
_SOURCES = "Name videos, pictures, folders with such, or score logs of an edge."


def read_recordings(
    sources: Sequence[Path],
    classifier: Classifier,
    client: CloudClient,
    begins_at: datetime,
    fps: float,
    truth: dict[str, float | None],
) -> Iterator[Recording]:
    """Read the sources one after the other.

    Each video and score log of a folder is a recording of its own; its pictures together make one.

    Raises:
        CommandError: a folder without any of them; a score log that is none.
    """
    for source in [one for named in sources for one in _split(named)]:
        if is_score_log(source):
            yield _logged(source, begins_at)
            continue
        files = list_pictures(source) if source.is_dir() else [source]
        read = _read_frames(files, classifier, client, begins_at, fps)
        moments = list(tqdm.tqdm(read, unit="frame", disable=not sys.stderr.isatty(), leave=False))
        yield Recording(
            name=str(source),
            moments=moments,
            length_s=(moments[-1].at_s if moments else 0.0) + 1.0 / fps,
            is_labelled=source.name in truth,
            first_fire_s=truth.get(source.name),
        )


def _split(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source]
    whole = [p for p in source.rglob("*") if is_score_log(p) or p.suffix.lower() in VIDEO_SUFFIXES]
    found = sorted(whole) + ([source] if list_pictures(source) else [])
    if not found:
        raise CommandError(f"{source} holds no video, picture or score log", _SOURCES)
    return found


def _read_frames(
    files: Sequence[Path],
    classifier: Classifier,
    client: CloudClient,
    begins_at: datetime,
    fps: float,
) -> Iterator[Moment]:
    offset_s, last_s = 0.0, 0.0
    for file in files:
        for found in gather(file, ImageLimits(), fps):
            if isinstance(found.picture, FireError):
                click.echo(f"{file}: {found.picture.detail}", err=True)
                continue
            last_s = offset_s + (found.at_s or 0.0)
            try:
                yield read_moment(found.picture, last_s, classifier, client, begins_at)
            except FireError as err:
                click.echo(f"{file}: {err.detail}", err=True)
        offset_s = last_s + 1.0 / fps


def read_moment(
    picture: Picture, at_s: float, classifier: Classifier, client: CloudClient, begins_at: datetime
) -> Moment:
    """Classify the picture of a second of a recording.

    Raises:
        ImageError, ModelError
    """
    captured_at = begins_at + timedelta(seconds=at_s)
    frame = Frame(
        frame_id=new_id(captured_at), camera="replay", picture=picture, captured_at=captured_at
    )
    return Moment(
        at_s=at_s,
        frame=frame,
        classification=classifier.classify(frame),
        ask=_remembered(client, frame),
    )


def _remembered(client: CloudClient, frame: Frame) -> Callable[[], CloudAnswer]:
    """Ask the cloud about a frame once, however many policies want to know."""
    kept: list[CloudAnswer] = []

    def ask() -> CloudAnswer:
        if not kept:
            deadline = Deadline.after(_CALL_PATIENCE_S, SystemClock())
            kept.append(
                client.infer(frame.picture, call_id=frame.frame_id, deadline=deadline, trace=None)
            )
        return kept[0]

    return ask


def _logged(path: Path, begins_at: datetime) -> Recording:
    try:
        scores = list(read_scores(path))
    except (OSError, ValueError) as err:
        raise CommandError(f"{path}: {err}", _SOURCES) from err
    first_at = scores[0].at if scores else begins_at
    moments = [
        logged_moment(score, (score.at - first_at).total_seconds(), begins_at) for score in scores
    ]
    return Recording(
        name=str(path),
        moments=moments,
        length_s=moments[-1].at_s if moments else 0.0,
        is_labelled=False,
        first_fire_s=None,
        is_log=True,
    )


def read_labels(path: Path | None) -> dict[str, float | None]:
    """Read which file shows a fire from which second on; an empty second means never."""
    if path is None:
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {r["file"]: float(s) if (s := r["first_fire_second"]) else None for r in rows}
    except (OSError, KeyError, ValueError) as err:
        why = err.strerror if isinstance(err, OSError) else err
        remedy = (
            "Name a CSV file with the columns file and first_fire_second (seconds; empty: no fire)."
        )
        raise CommandError(f"--labels {path}: {why}", remedy) from err
