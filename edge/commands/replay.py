"""`emberlink-edge replay`: recordings through any policy, faster than real time. Ring: rim."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import click

from edge.classify.classifier import Classifier, LoadedClassifier
from edge.config.cloud import CloudSection
from edge.config.policy import PolicySection
from edge.decide.policies import PolicyName
from edge.forward.cloud_client import CloudClient
from edge.forward.local_client import LocalClient
from edge.origin.tracing import find_origin, load_look
from edge.replay.plane import ReplayPlane
from edge.replay.recording import read_labels, read_recordings
from edge.replay.replay import Recording, Replayed, ReplayedEvent
from edge.wiring.decisions import value_model
from edge.wiring.link import build_client
from shared.clock import SystemClock
from shared.command.terminal import RATE, explained, unwritable
from shared.config import validated
from shared.errors import CommandError, ConfigError
from shared.model.inference import best_cpu_variant
from shared.model.manifest import load_artifact, shipped_models
from shared.types import MICROS, Label

_ORACLE = "oracle"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One policy over all sources."""

    name: str
    frames: int
    forwarded: int
    cost: float
    right: int
    judged: int
    events: int | None = None


@click.command("replay")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--policy",
    default=PolicyName.PRICE.value,
    show_default=True,
    type=click.Choice([p.value for p in PolicyName]),
)
@click.option(
    "--daily-limit", default=500, show_default=True, type=click.IntRange(min=0), help="Calls a day."
)
@click.option("--start", default="12:00", show_default=True, help="Time of day it begins, HH:MM.")
@click.option(
    "--fps", default=2.0, show_default=True, type=RATE, help="Frames a second to look at."
)
@click.option("--cloud", "cloud_url", help="A running cloud; the local detector when unset.")
@click.option("--labels", type=click.Path(path_type=Path), help="CSV: file, first_fire_second.")
@click.option("--compare", help="Policies side by side, for instance fixed,sliding_window,price.")
@click.option("--plot", type=click.Path(path_type=Path), help="PNG of accuracy against cost.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a source and policy.")
@click.option("--models", type=click.Path(path_type=Path), help="Folder of model artifacts.")
def replay_command(
    sources: tuple[Path, ...],
    policy: str,
    daily_limit: int,
    start: str,
    fps: float,
    cloud_url: str | None,
    labels: Path | None,
    compare: str | None,
    plot: Path | None,
    as_json: bool,
    models: Path | None,
) -> None:
    """Tell what would have happened.

    Exit 1 when a source holds no frame. SOURCES are videos, pictures, folders, or score logs of an edge.
    """
    with explained():
        if plot and not labels:
            detail = "--plot needs --labels: without them nobody knows what was right"
            raise CommandError(detail, "Give both, or leave --plot out.")
        begins_at = _begin(start)
        folder = models or shipped_models()
        names = [_policy_name(n) for n in (compare.split(",") if compare else [policy])]
        artifact = load_artifact(
            folder, "edge-classifier", kind="classifier", variant=best_cpu_variant()
        )
        classifier = Classifier(LoadedClassifier(artifact), at_once=1)
        client = _client(cloud_url, folder)
        truth = read_labels(labels)
        plane = ReplayPlane(
            model=artifact.identity,
            value=value_model(artifact.manifest.value),
            begins_at=begins_at,
            daily_limit=daily_limit,
            trace=functools.partial(find_origin, look=load_look(folder)),
        )
        recordings, results = [], []
        for recording in read_recordings(sources, classifier, client, begins_at, fps, truth):
            recordings.append(recording)
            for name in names:
                result = plane.play(recording, name)
                results.append(result)
                click.echo(json.dumps(_as_dict(result, recording)) if as_json else _line(result))
        if compare or plot:
            rows = _compare(recordings, results, names)
            if not as_json:
                _print_table(rows)
            if plot:
                _plot(rows, plot)
        client.close()
        classifier.stop()
    sys.exit(0 if all(recording.moments for recording in recordings) else 1)


def _as_dict(result: Replayed, recording: Recording) -> dict[str, Any]:
    told = {**asdict(result), "events": [asdict(event) for event in result.events]}
    del told["right"], told["judged"]
    if recording.is_labelled:
        first_s = recording.first_fire_s
        false = [e for e in result.events if first_s is None or e.first_seen_s < first_s]
        told["false_alarms"] = len(false)
        told["accuracy"] = round(result.right / max(1, result.judged), 4)
    return told


def _line(result: Replayed) -> str:
    events = ", ".join(map(_event_line, result.events))
    dry = f", dry at {result.exhausted_at}" if result.exhausted_at else ""
    return (
        f"{result.source}  {result.policy}: {result.frames} frames, {result.forwarded} sent, "
        f"cost {result.cost:.2f}{dry}; {events or 'no event'}"
    )


def _event_line(event: ReplayedEvent) -> str:
    began = f", began {event.origin.at_s:g} s" if event.origin else ""
    return f"{event.label} ({event.grade}) at {event.first_seen_s:g} s{began}"


def _compare(
    recordings: Sequence[Recording], results: Sequence[Replayed], names: Sequence[PolicyName]
) -> list[_Row]:
    """Add up each policy over all sources, and the oracle where labels are known."""
    rows = []
    for name in names:
        mine = [r for r in results if r.policy == name.value]
        rows.append(
            _Row(
                name=name.value,
                frames=sum(r.frames for r in mine),
                forwarded=sum(r.forwarded for r in mine),
                cost=sum(r.cost for r in mine),
                events=sum(len(r.events) for r in mine),
                right=sum(r.right for r in mine),
                judged=sum(r.judged for r in mine),
            )
        )
    if any(r.is_labelled for r in recordings):
        sums = [sum(column) for column in zip(*map(_oracle, recordings), strict=True)]
        right, judged, calls = sums
        cost = calls * PolicySection().cost_micros / MICROS
        rows.append(
            _Row(
                name=_ORACLE, frames=judged, forwarded=calls, cost=cost, right=right, judged=judged
            )
        )
    return rows


def _print_table(rows: Sequence[_Row]) -> None:
    click.echo(f"\n{'policy':16}{'frames':>8}{'sent':>8}{'cost':>9}{'events':>8}{'right':>9}")
    for row in rows:
        right = f"{row.right / row.judged:9.1%}" if row.judged else "        –"
        events = "–" if row.events is None else str(row.events)
        click.echo(f"{row.name:16}{row.frames:8}{row.forwarded:8}{row.cost:9.2f}{events:>8}{right}")


def _oracle(recording: Recording) -> tuple[int, int, int]:
    """Ask only where the edge is wrong and the cloud right: (right, judged, calls); nobody can know that in advance."""
    right = judged = calls = 0
    for moment in recording.moments:
        is_fire = recording.is_fire(moment)
        if is_fire is None or moment.ask is None:
            continue
        judged += 1
        is_edge_right = (moment.classification.label is not Label.NONE) == is_fire
        if not is_edge_right and (moment.ask().label is not Label.NONE) == is_fire:
            calls += 1
            right += 1
        right += is_edge_right
    return right, judged, calls


def _plot(rows: Sequence[_Row], path: Path) -> None:
    """Draw accuracy against cost, one point a policy and one for the oracle."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import PercentFormatter
    except ImportError as err:
        detail = "--plot needs matplotlib: pip install emberlink[plots]"
        raise CommandError(detail, "Install it, or leave --plot out.") from err
    known = [row for row in rows if row.judged]
    if not known:
        detail = "--plot: --labels names none of the sources, so nobody knows what was right"
        raise CommandError(detail, "Let the column `file` of --labels hold the sources' names.")
    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    points: dict[tuple[float, float], list[str]] = {}
    for row in known:
        points.setdefault((row.cost, row.right / row.judged), []).append(row.name)
    for at, names in points.items():
        axes.scatter(*at, s=70, marker="*" if _ORACLE in names else "o", clip_on=False)
        axes.annotate(", ".join(names), at, xytext=(8, -14), textcoords="offset points")
    axes.set_xlabel("cost of the calls")
    axes.set_ylabel("frames with the right verdict")
    axes.set_title("What each policy would have cost and got right")
    axes.grid(alpha=0.3)
    axes.margins(0.15)
    axes.set_xlim(left=0.0)
    axes.set_ylim(top=min(1.0, axes.get_ylim()[1]))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    try:
        figure.savefig(path)
    except OSError as err:
        raise unwritable(path, err, "--plot") from err
    except ValueError as err:  # an ending that no picture has
        raise CommandError(f"--plot {path}: {err}", "Let its name end in .png.") from err


def _begin(text: str) -> datetime:
    try:
        at = time.fromisoformat(text)
    except ValueError as err:
        raise click.BadParameter(f"{text!r} is not HH:MM", param_hint="--start") from err
    return datetime.combine(SystemClock().now_at().date(), at, UTC)


def _policy_name(text: str) -> PolicyName:
    try:
        return PolicyName(text.strip())
    except ValueError as err:
        allowed = ", ".join(p.value for p in PolicyName)
        detail = f"{text!r} is no policy; there are {allowed}"
        raise click.BadParameter(detail, param_hint="--compare") from err


def _client(cloud_url: str | None, models: Path) -> CloudClient:
    if cloud_url is None:
        return LocalClient(models)
    try:
        section = validated(CloudSection, {"url": cloud_url, "tries": 3, "timeout_s": 5.0})
    except ConfigError as err:
        raise CommandError(f"--cloud {err.detail}", "Name it as http://… or https://….") from err
    return build_client(section, pool_size=1)
