"""Outboxes, events and receivers of alerts, for tests that follow a message all the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from edge.alert.deliveries import Deliveries, Receiver
from edge.alert.desk import AlertDesk, DeskRules
from edge.alert.message import Alert
from edge.alert.rules import ReceiverRules
from edge.event.evidence import Grade
from edge.event.fire_event import EventChange, EventStep, FireEvent, Origin, Severity
from edge.outbox.item import Delivered, ItemClass, OutboxItem, Outcome
from edge.outbox.order import Link, Room
from edge.outbox.outbox import Outbox, OutboxRules
from shared.clock import Clock
from shared.types import Box
from tests.helpers.clock import FakeClock

KEEP = {c: timedelta(days=7) for c in ItemClass}
RULES = OutboxRules(room=Room(max_items=10_000, max_bytes=500_000_000), keep=KEEP)


def item(
    item_id: str,
    *,
    kind: str = "cloud",
    key: str = "event",
    item_class: ItemClass = ItemClass.ALARM,
    picture: bytes | None = None,
    **payload: Any,
) -> OutboxItem:
    """Build an item."""
    return OutboxItem(
        item_id=item_id,
        kind=kind,
        key=key,
        item_class=item_class,
        payload=payload,
        picture=picture,
    )


@contextmanager
def outbox_in(
    folder: Path,
    clock: Clock,
    *,
    rules: OutboxRules = RULES,
    link: Link | None = None,
    link_bytes: int = 0,
) -> Iterator[Outbox]:
    """Open the outbox of a folder for the length of a block, as one run of a service would."""
    outbox = Outbox(
        folder / "outbox.sqlite3",
        rules,
        clock=clock,
        link=link,
        link_bytes=link_bytes,
        jitter=lambda: 1.0,
    )
    try:
        yield outbox
    finally:
        outbox.stop(2.0)


def drain(outbox: Outbox, kind: str, clock: FakeClock, *, seconds: float) -> None:
    """Do what the thread of a kind does in so many seconds of the clock, without waiting for real."""
    ends_mono_s = clock.mono_s() + seconds
    while clock.mono_s() < ends_mono_s:
        wait_s = outbox.step(kind)
        if wait_s != 0.0:
            pause_s = 60.0 if wait_s is None else wait_s + 0.001
            clock.advance(min(pause_s, ends_mono_s - clock.mono_s()))


@dataclass(kw_only=True)
class Recorder:
    """A sink that keeps what it gets and answers what it is told to; `outcomes` are used up, then all is well."""

    alerts: list[Alert] = field(default_factory=list)
    pictures: list[bytes | None] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    trouble: str | None = None
    is_connected: bool = True
    burning: frozenset[str] = frozenset()

    def start(self) -> None:
        """Nothing to connect to."""

    def deliver(self, alert: Alert, picture: bytes | None) -> Outcome:
        """Keep it, or fail as told."""
        outcome = self.outcomes.pop(0) if self.outcomes else Delivered()
        if isinstance(outcome, Delivered):
            self.alerts.append(alert)
            self.pictures.append(picture)
        return outcome

    def show(self, burning: frozenset[str]) -> None:
        """Keep which cameras burn."""
        self.burning = burning

    def close(self) -> None:
        """Nothing to let go of."""

    @property
    def steps(self) -> list[str]:
        """Tell the steps that arrived."""
        return [alert.step.value for alert in self.alerts]


@dataclass(kw_only=True)
class Office:
    """A desk with its outbox and recorders, on a clock that the test moves."""

    clock: FakeClock
    outbox: Outbox
    desk: AlertDesk
    deliveries: Deliveries
    sinks: dict[str, Recorder]

    def run(self, seconds: float = 0.0) -> None:
        """Let time pass, with everything that the threads would do in it."""
        ends_mono_s = self.clock.mono_s() + seconds
        while True:
            self.desk.look()
            for name in self.sinks:
                while self.outbox.step(f"alert.{name}") == 0.0:
                    pass
            if self.clock.mono_s() >= ends_mono_s:
                return
            self.clock.advance(min(1.0, ends_mono_s - self.clock.mono_s()))


@contextmanager
def office_in(
    folder: Path,
    clock: FakeClock,
    *,
    sinks: dict[str, Recorder],
    rules: dict[str, ReceiverRules] | None = None,
    cooldown_s: float = 60.0,
) -> Iterator[Office]:
    """Open the desk of a folder for the length of a block, as one run of a service would; no threads."""
    with outbox_in(folder, clock) as outbox:
        receivers = {
            name: Receiver(
                name=name, kind="test", sink=sink, rules=(rules or {}).get(name, ReceiverRules())
            )
            for name, sink in sinks.items()
        }
        deliveries = Deliveries(outbox, receivers, clock=clock)
        desk = AlertDesk(
            folder / "alerts.sqlite3",
            outbox,
            receivers,
            DeskRules(cooldown_s=cooldown_s, box_name="box-1", event_url=lambda e: f"http://b/{e}"),
            deliveries=deliveries,
            clock=clock,
        )
        yield Office(clock=clock, outbox=outbox, desk=desk, deliveries=deliveries, sinks=sinks)
        desk.stop(1.0)


def fire_event(clock: Clock, event_id: str = "event-1", **changes: Any) -> FireEvent:
    """Build an open event that has just begun."""
    now_at = clock.now_at()
    event = FireEvent(
        event_id=event_id,
        camera="gate",
        zone=None,
        severity=Severity.FIRE,
        grade=Grade.EDGE_ONLY,
        opened_at=now_at,
        last_seen_at=now_at,
        closed_at=None,
        frame_id="frame-1",
        box=Box(x1=10, y1=10, x2=60, y2=60),
        peak=0.93,
        frames=3,
    )
    return replace(event, **changes)


def opened(event: FireEvent) -> EventChange:
    """Say that an event has opened."""
    return EventChange(step=EventStep.OPENED, event=event)


def updated(event: FireEvent, *, origin: Origin | None = None, **changes: Any) -> EventChange:
    """Say that something about an event has changed."""
    return EventChange(step=EventStep.UPDATED, event=replace(event, **changes), origin=origin)


def closed(event: FireEvent, at: datetime, **changes: Any) -> EventChange:
    """Say that an event is over."""
    return EventChange(step=EventStep.CLOSED, event=replace(event, closed_at=at, **changes))


def ids(items: Sequence[OutboxItem]) -> list[str]:
    """Name items."""
    return [one.item_id for one in items]
