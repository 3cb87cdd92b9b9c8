"""`emberlink-edge replay`: recordings through any policy, faster than real time. Ring: rim."""

from __future__ import annotations

import csv
import functools
import json
import math
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import click
import tqdm
from pydantic import ValidationError

from edge.classify import Classifier, LoadedClassifier
from edge.cloud_client import CloudAnswer, CloudClient
from edge.config import CloudSection, PolicySection
from edge.config_events import EventsSection
from edge.decide import Decider
from edge.events import Events, EventSettings
from edge.evidence import Evidence
from edge.link import build_client
from edge.local_client import LocalClient
from edge.memory import Memories
from edge.origin import WalkSettings
from edge.plane import value_model
from edge.policies import Policy, PolicyName, build_simple_policy
from edge.preroll import Preroll
from edge.price import Circumstances, PriceSettings, Pricing
from edge.priced import PricePolicy
from edge.replay import (
    Moment,
    OpenLink,
    ReplayBudget,
    ReplayClock,
    Replayed,
    ReplayedEvent,
    Trace,
    replay,
)
from edge.score_log import is_score_log, read_scores
from edge.tracing import find_origin, load_look
from edge.zones import Masks
from shared.clock import SystemClock
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import ConfigError, FireError
from shared.gather import gather, list_files
from shared.ids import new_id
from shared.imaging import ImageLimits
from shared.inference import best_cpu_variant
from shared.logs import redact
from shared.manifest import Artifact, load_artifact, shipped_models
from shared.terminal import explained
from shared.types import MICROS, Frame, Label, MediaType, Picture

_DAY_S = 86_400.0
_CALL_PATIENCE_S = 10.0
_ORACLE = "oracle"
_NO_PICTURE = Picture(encoded=b"", media_type=MediaType.JPEG, width_px=0, height_px=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recording:
    """One source: its moments in memory, and when its fire begins if that is known."""

    name: str
    moments: list[Moment]
    length_s: float
    is_labelled: bool
    first_fire_s: float | None
    is_log: bool = False


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
@click.option("--fps", default=2.0, show_default=True, help="Frames a second to look at.")
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
    """What would have happened: SOURCES are videos, pictures, folders, or score logs of an edge."""
    with explained():
        begins_at = _begin(start)
        folder = models or shipped_models()
        names = [_policy_name(n) for n in (compare.split(",") if compare else [policy])]
        artifact = load_artifact(
            folder, "edge-classifier", kind="classifier", variant=best_cpu_variant()
        )
        client = _client(cloud_url, folder)
        truth = _read_labels(labels)
        look, walk = load_look(folder), WalkSettings()
        trace = functools.partial(find_origin, look=look, settings=walk)
        recordings, results = [], []
        for recording in _recordings(sources, artifact, client, begins_at, fps, truth):
            recordings.append(recording)
            for name in names:
                result = _run(recording, name, daily_limit, begins_at, artifact, trace)
                results.append(result)
                click.echo(json.dumps(_as_dict(result, recording)) if as_json else _line(result))
        if compare or plot:
            rows = _compare(recordings, results, names)
            if not as_json:
                _print_table(rows)
            if plot:
                _plot(rows, plot)
        client.close()


def _recordings(
    sources: Sequence[Path],
    artifact: Artifact,
    client: CloudClient,
    begins_at: datetime,
    fps: float,
    truth: dict[str, float | None],
) -> Iterator[_Recording]:
    """Read the sources one after the other; pictures of a folder make one recording."""
    classifier = Classifier(LoadedClassifier(artifact), at_once=1)
    for source in sources:
        if is_score_log(source):
            yield _logged(source)
            continue
        read = _read_frames(list_files([source]), classifier, client, begins_at, fps)
        moments = list(tqdm.tqdm(read, unit="frame", disable=not sys.stderr.isatty(), leave=False))
        yield _Recording(
            name=str(source),
            moments=moments,
            length_s=(moments[-1].at_s if moments else 0.0) + 1.0 / fps,
            is_labelled=source.name in truth,
            first_fire_s=truth.get(source.name),
        )


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
            captured_at = begins_at + timedelta(seconds=last_s)
            frame = Frame(
                frame_id=new_id(captured_at),
                camera="replay",
                picture=found.picture,
                captured_at=captured_at,
            )
            try:
                seen = classifier.classify(frame)
            except FireError as err:
                click.echo(f"{file}: {err.detail}", err=True)
                continue
            ask = _remembered(client, frame)
            yield Moment(at_s=last_s, frame=frame, classification=seen, ask=ask)
        offset_s = last_s + 1.0 / fps


def _remembered(client: CloudClient, frame: Frame) -> Callable[[], CloudAnswer]:
    """Ask the cloud about a frame once, however many policies want to know."""
    kept: list[CloudAnswer] = []

    def ask() -> CloudAnswer:
        if not kept:
            deadline = Deadline.after(_CALL_PATIENCE_S, SystemClock())
            kept.append(
                client.infer(
                    frame.picture, call_id=frame.frame_id, deadline=deadline, traceparent=None
                )
            )
        return kept[0]

    return ask


def _logged(path: Path) -> _Recording:
    try:
        scores = list(read_scores(path))
    except (OSError, ValueError) as err:
        raise ConfigError(ErrorCode.CONFIG_INVALID, f"{path}: {err}") from err
    first_at = scores[0].at if scores else SystemClock().now_at()
    moments = [
        Moment(
            at_s=(score.at - first_at).total_seconds(),
            frame=Frame(
                frame_id=f"{path.stem}-{number}",
                camera=score.camera,
                picture=_NO_PICTURE,
                captured_at=score.at,
            ),
            classification=score.classification,
            ask=None,
        )
        for number, score in enumerate(scores)
    ]
    length_s = moments[-1].at_s if moments else 0.0
    return _Recording(
        name=str(path),
        moments=moments,
        length_s=length_s,
        is_labelled=False,
        first_fire_s=None,
        is_log=True,
    )


def _run(
    recording: _Recording,
    name: PolicyName,
    daily_limit: int,
    begins_at: datetime,
    artifact: Artifact,
    trace: Trace,
) -> Replayed:
    """Play one recording under one policy, with a fresh budget and memory."""
    settings, section = PolicySection(), EventsSection()
    clock = ReplayClock(begins_at)
    calls = math.ceil(daily_limit * min(1.0, recording.length_s / _DAY_S))
    cost_micros = settings.cost_micros
    budget = ReplayBudget(
        limit_micros=calls * cost_micros, clock=clock, length_s=recording.length_s
    )
    memories = Memories(is_backing_off=name is PolicyName.PRICE)
    model = value_model(artifact.manifest.value)
    pricing = Pricing(
        model,
        PriceSettings(**settings.price_settings()),
        random=random.Random(0).random,
        store=_NoStore(),
        spent_on=lambda day: 0,
    )
    policy: Policy = (
        PricePolicy(
            pricing,
            memories,
            cost_micros=cost_micros,
            today=budget.today,
            circumstances=lambda camera, deadline: Circumstances(),
            clock=clock,
        )
        if name is PolicyName.PRICE
        else build_simple_policy(name, threshold=settings.threshold)
    )
    return replay(
        recording.name,
        recording.moments,
        policy=name.value,
        clock=clock,
        decider=Decider(policy, budget=budget, link=OpenLink(), cost_micros=cost_micros),
        evidence=Evidence(memories, score=model.score, clock=clock),
        events=Events(
            EventSettings(), masks=Masks({}), clock=clock, new_id=lambda: new_id(clock.now_at())
        ),
        preroll=Preroll(
            length_s=section.preroll_s,
            fps=section.preroll_fps,
            max_bytes=section.preroll_max_mb * 1_000_000,
            clock=clock,
        ),
        trace=None if recording.is_log else trace,
        model=artifact.identity,
        truth=lambda moment: _is_fire(recording, moment),
    )


def _is_fire(recording: _Recording, moment: Moment) -> bool | None:
    if not recording.is_labelled:
        return None
    return recording.first_fire_s is not None and moment.at_s >= recording.first_fire_s


def _as_dict(result: Replayed, recording: _Recording) -> dict[str, Any]:
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
    recordings: Sequence[_Recording], results: Sequence[Replayed], names: Sequence[PolicyName]
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


def _oracle(recording: _Recording) -> tuple[int, int, int]:
    """Ask only where the edge is wrong and the cloud right: (right, judged, calls); nobody can know that in advance."""
    right = judged = calls = 0
    for moment in recording.moments:
        is_fire = _is_fire(recording, moment)
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
    except ImportError as err:
        detail = "--plot needs matplotlib: pip install emberlink[plots]"
        raise ConfigError(ErrorCode.CONFIG_INVALID, detail) from err
    known = [row for row in rows if row.judged]
    if not known:
        detail = "--plot needs --labels: without them nobody knows what was right"
        raise ConfigError(ErrorCode.CONFIG_INVALID, detail)
    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    points: dict[tuple[float, float], list[str]] = {}
    for row in known:
        points.setdefault((row.cost, row.right / row.judged), []).append(row.name)
    for at, names in points.items():
        axes.scatter(*at, s=70, marker="*" if _ORACLE in names else "o")
        axes.annotate(", ".join(names), at, xytext=(6, 5), textcoords="offset points")
    axes.set_xlabel("cost of the calls")
    axes.set_ylabel("frames with the right verdict")
    axes.set_title("What each policy would have cost and got right")
    axes.grid(alpha=0.3)
    axes.margins(0.15)
    figure.savefig(path)


class _NoStore:
    """A replay has no yesterday."""

    def load(self) -> tuple[str, float] | None:
        return None

    def save(self, day: str, first_price: float) -> None:
        pass


def _begin(text: str) -> datetime:
    try:
        at = time.fromisoformat(text)
    except ValueError as err:
        raise ConfigError(ErrorCode.CONFIG_INVALID, f"--start {text!r}: expected HH:MM") from err
    return datetime.combine(SystemClock().now_at().date(), at, UTC)


def _policy_name(text: str) -> PolicyName:
    try:
        return PolicyName(text.strip())
    except ValueError as err:
        allowed = ", ".join(p.value for p in PolicyName)
        raise ConfigError(ErrorCode.CONFIG_INVALID, f"policy {text!r}: one of {allowed}") from err


def _client(cloud_url: str | None, models: Path) -> CloudClient:
    if cloud_url is None:
        return LocalClient(models)
    try:
        section = CloudSection(url=cloud_url, tries=3, timeout_s=5.0)
    except ValidationError as err:
        raise ConfigError(ErrorCode.CONFIG_INVALID, f"--cloud {redact(cloud_url)}: {err}") from err
    return build_client(section, pool_size=1)


def _read_labels(path: Path | None) -> dict[str, float | None]:
    """Read which file shows a fire from which second on; an empty second means never."""
    if path is None:
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {r["file"]: float(s) if (s := r["first_fire_second"]) else None for r in rows}
    except (OSError, KeyError, ValueError) as err:
        detail = f"--labels {path}: {err}; expected the columns file and first_fire_second"
        raise ConfigError(ErrorCode.CONFIG_INVALID, detail) from err
