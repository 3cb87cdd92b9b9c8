"""`emberlink-edge evidence`: look at what was recorded, check it, hand it out, keep it, let it go. Ring: rim.

Works beside a running service and without one.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from edge.config.settings import ENV_PREFIX, EdgeSettings
from edge.record.archive import DATABASE, Archive
from edge.record.export import export
from edge.record.records import Records
from edge.record.retention import Sizing
from edge.record.types import MOST_EVENTS_A_PAGE, EventQuery, EventRecord
from edge.record.verification import verify
from edge.record.wire import event_answer, frame_answer
from edge.wiring.evidence import build_records, evidence_folder
from shared.clock import SystemClock
from shared.command.terminal import NAME_STATE, explained, unwritable
from shared.config import load_settings
from shared.errors import CommandError
from shared.watch.trouble import Trouble, TroubleKind

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]?)b?\Z", re.IGNORECASE)
_JSON = click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
_EVENT = click.argument("event_id")


def _size(text: str) -> int:
    """Read bytes with an optional unit: 500000, 100kB, 1TB."""
    match = _SIZE.match(text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a size, for instance 100kB or 1TB")
    return int(float(match[1]) * _UNITS[match[2].lower()])


class _ToldHere:
    """Troubles of a command are told where it runs."""

    def raise_trouble(self, trouble: Trouble) -> None:
        """Write one to stderr."""
        click.echo(f"trouble: {trouble.cause}\n  {trouble.remedy}", err=True)

    def clear(self, kind: TroubleKind, subject: str, code: str | None = None) -> None:
        """Nothing is kept, so nothing is over."""


def of_a_box(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the settings of a box, by its TOML file or its state folder."""

    @click.option("--config", type=click.Path(path_type=Path), help="TOML file of the service.")
    @click.option("--state", type=click.Path(path_type=Path), help="Its state folder (run/edge).")
    @functools.wraps(command)
    def with_settings(config: Path | None, state: Path | None, **arguments: Any) -> None:
        with explained():
            settings = load_settings(
                EdgeSettings, prefix=ENV_PREFIX, toml_path=config, flags={"state": state}
            )
            command(settings, **arguments)

    return with_settings


@click.group("evidence")
def evidence_command() -> None:
    """Look at recorded events, check, keep and export them.

    Works while the service runs and while it does not.
    """


@evidence_command.command("ls")
@click.option("--camera", help="Only events of this camera.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, MOST_EVENTS_A_PAGE))
@click.option("--tests", "with_tests", is_flag=True, help="Test alarms, too.")
@_JSON
@of_a_box
def list_events(
    settings: EdgeSettings, camera: str | None, limit: int, with_tests: bool, as_json: bool
) -> None:
    """List events, newest first."""
    with _reading(settings) as archive:
        page = archive.events(EventQuery(camera=camera, limit=limit, with_tests=with_tests))
    if as_json:
        answers = [event_answer(record) for record in page.events]
        beside = {"cursor": page.cursor, "unreadable": list(page.unreadable)}
        _print_json({"events": answers, **beside})
        return
    for record in page.events:
        click.echo(_summary(record))
    for event_id in page.unreadable:
        click.echo(
            f"{event_id}  cannot be read; `evidence verify` names what was altered", err=True
        )
    if not page.events and not page.unreadable:
        click.echo("no events are kept")
    elif page.cursor:
        click.echo(f"… and older ones; --limit shows up to {MOST_EVENTS_A_PAGE}")


@evidence_command.command()
@_EVENT
@_JSON
@of_a_box
def show(settings: EdgeSettings, event_id: str, as_json: bool) -> None:
    """Show one event, its origin first, with its frames."""
    with _reading(settings) as archive:
        record, frames = archive.event(event_id), archive.frames(event_id)
    if as_json:
        answers = [frame_answer(event_id, frame) for frame in frames]
        _print_json({**event_answer(record), "frame_list": answers})
        return
    if record.damaged:
        numbers = ", ".join(map(str, record.damaged))
        click.echo(f"left out, altered or damaged: journal entries {numbers}", err=True)
    origin = record.origin
    if origin is not None:
        box = "somewhere in the picture" if origin.box is None else f"box {origin.box.as_list()}"
        click.echo(
            f"began      {_local(origin.captured_at)}  {box}, found by the {origin.method.value}"
        )
    else:
        click.echo(f"opened     {_local(record.event.opened_at)}  origin not traced")
    if record.reckoned_at is not None:
        click.echo(f"reckoned   {_local(record.reckoned_at)}  by the clock as it was set later")
    click.echo(_summary(record))
    for frame in frames:
        said = "; ".join(
            f"{s.label.value} {s.confidence:.2f} by {s.source.value} ({s.reason.value})"
            for s in frame.said
        )
        click.echo(f"  {_local(frame.captured_at)}  {frame.frame_id}  {said or 'not classified'}")


@evidence_command.command("verify")
@click.option("--head", help="A chain hash that was noted earlier; it must be in the chain.")
@_JSON
@of_a_box
def verify_all(settings: EdgeSettings, head: str | None, as_json: bool) -> None:
    """Check chain, rows and pictures; exit 1 when one is not right.

    It names what was changed, is missing or was added.
    """
    with _reading(settings) as archive:
        found = verify(archive)
        is_head_known = head is None or archive.knows_head(head)
    is_sound = found.is_unaltered and is_head_known
    if as_json:
        answer = {**asdict(found), "is_unaltered": found.is_unaltered}
        _print_json({**answer, "is_head_known": is_head_known})
    else:
        for finding in found.findings:
            click.echo(f"{finding.kind.value:8} {finding.what}: {finding.detail}")
        if not is_head_known:
            click.echo(f"missing  head {head}: the chain does not contain it")
        verdict = "unaltered" if is_sound else "ALTERED"
        click.echo(f"{verdict}: {found.entries} entries, {found.files} pictures, head {found.head}")
        if found.strays:
            click.echo(f"{found.strays} pictures belong to a journal that was set aside")
    sys.exit(0 if is_sound else 1)


@evidence_command.command("export")
@_EVENT
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File; EVENT.zip here.")
@click.option("--language", type=click.Choice(["en", "zh"]), default="en", show_default=True)
@of_a_box
def export_event(settings: EdgeSettings, event_id: str, output: Path | None, language: str) -> None:
    """Write an event as one zip.

    It holds pictures, report, journal, and a program that checks them.
    """
    with _reading(settings) as archive:
        archive.event(event_id)
        path = output or Path(f"{re.sub(r'[^A-Za-z0-9._-]', '_', event_id)}.zip")
        try:
            with path.open("wb") as file:
                zone = settings.policy.zone
                export(archive, event_id, file, zone=zone, is_chinese=language == "zh")
        except OSError as err:
            raise unwritable(path, err, "--output") from err
    click.echo(f"{path}: {_bytes(path.stat().st_size)}; check it with `python3 verify.py` inside")


@evidence_command.command()
@_EVENT
@click.option("--off", is_flag=True, help="Let it go again.")
@click.option("--why", default="", help="For instance the number of the claim.")
@click.option("--by", default="command line", show_default=True, help="Who says so.")
@of_a_box
def hold(settings: EdgeSettings, event_id: str, off: bool, why: str, by: str) -> None:
    """Keep an event from being deleted, for as long as the hold lasts."""
    with _writing(settings) as records:
        records.hold(event_id, is_held=not off, by=by, why=why)
    click.echo(f"{event_id}: {'goes when its time has come' if off else 'is held'}")


@evidence_command.command()
@click.option(
    "--trust-clock", is_flag=True, help="The clock is right: the box was off for that long."
)
@_JSON
@of_a_box
def prune(settings: EdgeSettings, trust_clock: bool, as_json: bool) -> None:
    """Delete now what is old enough or has to make room.

    The service does this by itself every minute.
    """
    with _writing(settings) as records:
        if trust_clock:
            records.trust_clock()
        pruned = records.prune()
    if as_json:
        _print_json(asdict(pruned))
    else:
        click.echo(
            f"{pruned.events} events were old enough, {pruned.frames} pictures made room,"
            f" {_bytes(pruned.bytes)} freed"
        )


@evidence_command.command()
@click.option("--cameras", type=click.IntRange(1, 10_000), help="As configured when not given.")
@click.option("--fps", type=click.FloatRange(0.001, 60), help="Pictures a second and camera (2).")
@click.option(
    "--picture",
    type=_size,
    metavar="SIZE",
    default="100kB",
    show_default=True,
    help="Bytes of one.",
)
@click.option(
    "--disk",
    type=_size,
    metavar="SIZE",
    default="1TB",
    show_default=True,
    help="Bytes of the disk.",
)
@_JSON
@of_a_box
def size(
    settings: EdgeSettings,
    cameras: int | None,
    fps: float | None,
    picture: int,
    disk: int,
    as_json: bool,
) -> None:
    """Tell for how long a disk lasts: cameras × rate × bytes."""
    configured = settings.cameras.values()
    cameras = cameras or len(configured) or 1
    fps = fps or max((camera.fps for camera in configured), default=2.0)
    keep_days = settings.evidence.keep_days
    sizing = Sizing.of(
        cameras=cameras, fps=fps, picture_bytes=picture, disk_bytes=disk, keep_days=keep_days
    )
    if as_json:
        _print_json(asdict(sizing))
        return
    click.echo(
        f"{cameras} cameras × {fps:g} pictures a second × {_bytes(picture)}"
        f" = {_bytes(sizing.bytes_per_day)} a day while events last"
    )
    click.echo(f"{_bytes(disk)} hold {sizing.days_of_everything:.1f} days of everything")
    click.echo(
        f"only events are kept: for {keep_days} days they may last"
        f" {24 * sizing.share_of_time:.1f} hours a day on every camera"
    )


def open_archive(settings: EdgeSettings) -> Archive:
    """Open what was recorded, for reading.

    Raises:
        CommandError: no service has recorded anything there.
        StoreError: it cannot be read.
    """
    folder = evidence_folder(settings)
    _must_exist(folder / DATABASE)
    return Archive(folder)


def _must_exist(path: Path) -> None:
    if not path.exists():
        raise CommandError(f"{path} does not exist: nothing was ever recorded there", NAME_STATE)


@contextmanager
def _reading(settings: EdgeSettings) -> Iterator[Archive]:
    archive = open_archive(settings)
    try:
        yield archive
    finally:
        archive.close()


@contextmanager
def _writing(settings: EdgeSettings) -> Iterator[Records]:
    folder = evidence_folder(settings)
    _must_exist(folder)
    records = build_records(settings, SystemClock(), _ToldHere(), is_visitor=True)
    try:
        yield records
    finally:
        records.close()


def _summary(record: EventRecord) -> str:
    event = record.event
    marks = [
        event.grade.value,
        *(["TEST"] if event.is_test else []),
        *(["held"] if record.is_held else []),
        *([f"marked {record.mark.value}"] if record.mark else []),
        *(["open"] if event.closed_at is None else []),
    ]
    return (
        f"{event.event_id}  {_local(event.opened_at)}  {event.camera:12} {event.severity.value:9}"
        f" {record.frames_kept} frames, {_bytes(record.bytes_kept)}  {', '.join(marks)}"
    )


def _local(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _print_json(values: Any) -> None:
    click.echo(json.dumps(values, ensure_ascii=False, default=str))
