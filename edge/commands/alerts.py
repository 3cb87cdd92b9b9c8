"""`emberlink-edge alerts` and `emberlink-edge outbox`. Ring: rim."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import click

from edge.alert.message import sample
from edge.alert.sinks import Sink
from edge.config.settings import ENV_PREFIX, EdgeSettings
from edge.outbox.item import Delivered, Outcome, Poison, Retry, StoredItem
from edge.outbox.store import OUTBOX_FILE, OutboxStore
from edge.wiring.sinks import build_sink
from shared.clock import SystemClock
from shared.command.terminal import NAME_STATE, explained
from shared.config import load_settings
from shared.errors import CommandError
from shared.ids import new_id
from shared.logs import printable
from shared.picture.imaging import jpeg_picture
from shared.rendered.scene import Scene, SceneSettings

_T = TypeVar("_T")
_ITEMS = "`emberlink-edge outbox ls` lists the ids."
_CONNECT_WITHIN_S = 10.0  # a sink that keeps a connection needs a moment to get it
_CONFIG = click.option("--config", type=click.Path(path_type=Path), help="TOML file.")
_STATE = click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="Folder for what must survive a restart (run/edge).",
)


@click.group("alerts")
def alerts_command() -> None:
    """Try out where alerts go."""


@alerts_command.command("test")
@click.argument("sink")
@_CONFIG
def alerts_test(sink: str, config: Path | None) -> None:
    """Send a sample alert to one sink; exit 1 when it was not taken.

    It is marked as a test.
    """
    with explained():
        settings = _settings(config, None)
        clock = SystemClock()
        built = build_sink(sink, settings.alerts, (), clock, is_sample=True)
        outcome = _send_sample(built, settings)
    match outcome:
        case Delivered():
            click.echo(f"{sink}: delivered")
        case Retry(reason=reason):
            click.echo(
                f"{sink}: not delivered, it would be tried again: {printable(reason)}", err=True
            )
        case Poison(reason=reason):
            click.echo(f"{sink}: refused: {printable(reason)}", err=True)
    sys.exit(0 if isinstance(outcome, Delivered) else 1)


@click.group("outbox")
def outbox_command() -> None:
    """Look at what waits to be sent, and at what was refused.

    Works beside a running service.
    """


@outbox_command.command("ls")
@click.option("--json", "as_json", is_flag=True, help="One JSON line an item.")
@_CONFIG
@_STATE
def outbox_ls(as_json: bool, config: Path | None, state: Path | None) -> None:
    """List what waits, and what was refused for good."""
    with explained():
        rows = _with_store(config, state, OutboxStore.rows)
    for row in rows:
        click.echo(_as_json(row) if as_json else _line(row))
    if not rows:
        click.echo("nothing waits, and nothing was refused", err=True)


@outbox_command.command("retry")
@click.argument("item_id")
@_CONFIG
@_STATE
def outbox_retry(item_id: str, config: Path | None, state: Path | None) -> None:
    """Try a refused item again."""
    with explained():
        if not _with_store(config, state, lambda store: store.release(item_id)):
            raise CommandError(f"nothing refused is called {item_id!r}", _ITEMS)
    click.echo(f"{item_id}: is tried again")


@outbox_command.command("drop")
@click.argument("item_id")
@_CONFIG
@_STATE
def outbox_drop(item_id: str, config: Path | None, state: Path | None) -> None:
    """Give an item up; it is counted as dropped."""

    def drop(store: OutboxStore) -> bool:
        found = [(row.seq, row.item_class) for row in store.rows() if row.item_id == item_id]
        store.remove(found, "dropped")
        return bool(found)

    with explained():
        if not _with_store(config, state, drop):
            raise CommandError(f"nothing is called {item_id!r}", _ITEMS)
    click.echo(f"{item_id}: dropped")


def _settings(config: Path | None, state: Path | None) -> EdgeSettings:
    return load_settings(EdgeSettings, prefix=ENV_PREFIX, toml_path=config, flags={"state": state})


def _send_sample(sink: Sink, settings: EdgeSettings) -> Outcome:
    """Deliver a sample, with a rendered picture; one that has no connection yet is given a moment."""
    now_at = SystemClock().now_at()
    alert = replace(
        sample(box_name=settings.alerts.box_name),
        alert_id=new_id(now_at),
        began_at=now_at,
        opened_at=now_at,
        last_seen_at=now_at,
    )
    picture = jpeg_picture(
        Scene(SceneSettings(width_px=640, height_px=360)).render(40.0).bgr_hwc_u8
    )
    sink.start()
    try:
        ends_s = time.monotonic() + _CONNECT_WITHIN_S
        while True:
            outcome = sink.deliver(alert, picture.encoded)
            if sink.is_connected or time.monotonic() > ends_s:
                return outcome
            time.sleep(0.1)
    finally:
        sink.close()


def _with_store(config: Path | None, state: Path | None, work: Callable[[OutboxStore], _T]) -> _T:
    path = _settings(config, state).state / OUTBOX_FILE
    if not path.is_file():
        raise CommandError(f"{path} does not exist: no service has run with this state", NAME_STATE)
    store = OutboxStore(path)
    try:
        return work(store)
    finally:
        store.close()


def _as_json(row: StoredItem) -> str:
    return json.dumps(
        {
            "item_id": row.item_id,
            "kind": row.kind,
            "key": row.key,
            "class": row.item_class.value,
            "bytes": row.size_bytes,
            "created_at": row.created_at.isoformat(),
            "expires_at": row.expires_at.isoformat(),
            "refusals": row.refusals,
            "error": row.error,
            "quarantined_at": row.quarantined_at.isoformat() if row.quarantined_at else None,
        }
    )


def _line(row: StoredItem) -> str:
    state = f"refused: {printable(row.error or '')}" if row.quarantined_at else "waits"
    at = row.created_at.strftime("%Y-%m-%d %H:%M:%S")
    return f"{row.item_id}  {row.item_class.value:9}  {row.kind}  {at}  {row.size_bytes} B  {state}"
