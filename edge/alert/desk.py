"""The alert desk: puts into the outbox what each sink must hear of each event. Ring: adapter (a thread).

What that is stands in `edge.alert.rules`. A message is on disk before `announce` returns; the outbox delivers it, again
and again if need be, see `edge.alert.deliveries`.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

from edge.alert.deliveries import ALERT, KIND_PREFIX, Deliveries, Receiver, SinkStatus
from edge.alert.message import Alert, AlertStep, place_of
from edge.alert.rules import (
    Case,
    ReceiverRules,
    case_of,
    next_step,
    severity_rank,
    tell,
    why,
)
from edge.alert.store import AlertStore
from edge.event.fire_event import EventChange, FireEvent
from edge.outbox.item import ItemClass, OutboxItem
from edge.outbox.outbox import Outbox
from shared.clock import Clock
from shared.errors import StoreError
from shared.logs import get_logger
from shared.types import Picture

ALERT_THREAD = "alerts"
_TICK_S = 1.0
_REMEMBER = timedelta(days=1)  # how long a closed event can still be acknowledged towards the sinks
_MAX_CASES = 2000
_MAX_PICTURES = 32  # of events that some sink may still hear of; above, later messages have none


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskRules:
    """What holds for all sinks; `cooldown_s` runs from a delivered message, see `edge.alert.rules`.

    `title_of` names a camera as people know it, "" where they know its id; `zone` is that of the site's clocks.
    """

    cooldown_s: float
    box_name: str
    event_url: Callable[[str], str]
    title_of: Callable[[str], str] = lambda camera: ""
    zone: tzinfo = UTC

    def local(self, at: datetime) -> datetime:
        """Give a time in the site's zone."""
        return at.astimezone(self.zone)


class AlertDesk:
    """Announces events; safe for use by many threads."""

    def __init__(
        self,
        path: Path,
        outbox: Outbox,
        receivers: Mapping[str, Receiver],
        rules: DeskRules,
        *,
        deliveries: Deliveries,
        clock: Clock,
        beat: Callable[[str], None] = lambda thread: None,
    ) -> None:
        """Take up the cases that were left; nothing is sent before `start`.

        Args:
            path: the desk's database.
            outbox: carries the messages.
            receivers: by name.
            rules: for all of them.
            deliveries: what the sinks really got.
            clock: wall and monotonic time.
            beat: told the thread's name, `ALERT_THREAD`, each time it turns.

        Raises:
            StoreError
        """
        self._store = AlertStore(path)
        self._outbox = outbox
        self._receivers = dict(receivers)
        self._rules = rules
        self._deliveries = deliveries
        self._clock = clock
        self._beat = beat
        # One at a time, so that what was told and what lies in the outbox agree.
        self._turn = threading.Lock()
        self._cases = {case.event.event_id: case.after_restart() for case in self._store.load()}
        self._known_mono_s = {event_id: self._known_since(c) for event_id, c in self._cases.items()}
        self._pictures: dict[str, bytes] = {}
        self._held: set[tuple[str, str]] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=ALERT_THREAD, daemon=True)

    def start(self) -> None:
        """Begin to look after what is due later: escalation, and what waits for the end of a cool-down."""
        for receiver in self._receivers.values():
            receiver.sink.start()
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread and close the sinks; call it after the outbox has stopped."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        for receiver in self._receivers.values():
            receiver.sink.close()
        self._store.close()

    def announce(self, change: EventChange, snapshot: Picture | None) -> None:
        """Tell the sinks what is new about an event; the messages are in the outbox, on disk, when this returns."""
        event = change.event
        size_px = (snapshot.width_px, snapshot.height_px) if snapshot else None
        with self._turn:
            known = self._cases.get(event.event_id)
            case = known.after(change, size_px) if known else case_of(change, size_px)
            self._known_mono_s.setdefault(event.event_id, self._clock.mono_s())
            if snapshot:
                self._keep_picture(event.event_id, snapshot.encoded)
            if event.is_test and known is None:
                self._deliveries.begin_trail(event)
            self._settle(case, is_changed=True)

    def acknowledge(self, event_id: str, *, by: str) -> None:
        """Stop the escalation of an event and tell the sinks that heard of it; nothing for one that is not known."""
        with self._turn:
            case = self._cases.get(event_id)
            if case is not None and case.acknowledged_by is None:
                get_logger().info("alert_acknowledged", event_id=event_id, by=by)
                self._settle(replace(case, acknowledged_by=by), is_changed=True)

    def look(self) -> None:
        """Send what has become due, and forget what is over; the thread does it each second."""
        with self._turn:
            for case in list(self._cases.values()):
                self._settle(case, is_changed=False)
            self._forget()
        for receiver in self._receivers.values():
            receiver.sink.show(self._burning(receiver.rules))

    def status(self) -> tuple[SinkStatus, ...]:
        """Tell how the sinks are; from memory, at once."""
        return self._deliveries.status()

    def _burning(self, rules: ReceiverRules) -> frozenset[str]:
        """Name the cameras with an open real event that a receiver wants to hear of."""
        events = [case.event for case in list(self._cases.values())]
        return frozenset(
            event.camera
            for event in events
            if event.closed_at is None
            and not event.is_test
            and severity_rank(event.severity) >= severity_rank(rules.least)
        )

    def _settle(self, case: Case, *, is_changed: bool) -> None:
        """Put into the outbox what each sink must hear of a case now, then keep what was told."""
        event_id = case.event.event_id
        told = case
        items = []
        for receiver in self._receivers.values():
            step = self._next_step(case, receiver)
            if step is not None:
                after = tell(told, receiver.name)
                items.append(self._item(case, receiver, step, after.told[receiver.name].messages))
                told = after
        if items:
            try:
                self._outbox.put(items)
            except StoreError:
                # Logged by the outbox; what was not told is due again at the next look.
                told, items = case, []
        self._cases[event_id] = told
        if is_changed or items:
            try:
                self._store.save(told)
            except StoreError as err:
                get_logger().error("alert_case_not_kept", event_id=event_id, detail=err.detail)

    def _next_step(self, case: Case, receiver: Receiver) -> AlertStep | None:
        event = case.event
        step = functools.partial(
            next_step,
            case,
            receiver.name,
            receiver.rules,
            open_for_s=self._clock.mono_s() - self._known_mono_s[event.event_id],
        )
        recent = self._deliveries.recent(receiver.name, event.camera)
        now = step(recent=recent, cooldown_s=self._rules.cooldown_s)
        if now is None and step(recent=None, cooldown_s=0.0) is not None:
            self._note_held(event, receiver.name)
        return now

    def _note_held(self, event: FireEvent, receiver: str) -> None:
        if (event.event_id, receiver) not in self._held:
            self._held.add((event.event_id, receiver))
            self._deliveries.note_held(event, receiver)
            get_logger().info("alert_held_by_cooldown", event_id=event.event_id, sink=receiver)

    def _item(self, case: Case, receiver: Receiver, step: AlertStep, number: int) -> OutboxItem:
        event = case.event
        alert = Alert(
            alert_id=f"{event.event_id}.{receiver.name}.{number}",
            step=step,
            why=why(case, receiver.name),
            event_id=event.event_id,
            box_name=self._rules.box_name,
            camera=event.camera,
            zone=event.zone,
            severity=event.severity,
            grade=event.grade,
            began_at=self._rules.local(case.began_at),
            is_traced=case.is_traced,
            opened_at=self._rules.local(event.opened_at),
            last_seen_at=self._rules.local(event.last_seen_at),
            closed_at=self._rules.local(event.closed_at) if event.closed_at else None,
            box=event.box,
            place=place_of(event.box, case.size_px),
            peak=event.peak,
            acknowledged_by=case.acknowledged_by,
            link=self._rules.event_url(event.event_id),
            is_test=event.is_test,
            camera_title=self._rules.title_of(event.camera),
        )
        return OutboxItem(
            item_id=alert.alert_id,
            kind=KIND_PREFIX + receiver.name,
            key=event.event_id,
            item_class=ItemClass.ALARM,
            payload=ALERT.dump_python(alert, mode="json"),
            picture=self._pictures.get(event.event_id),
        )

    def _keep_picture(self, event_id: str, encoded: bytes) -> None:
        self._pictures.pop(event_id, None)
        self._pictures[event_id] = encoded
        while len(self._pictures) > _MAX_PICTURES:
            del self._pictures[next(iter(self._pictures))]

    def _forget(self) -> None:
        """Let go of events that closed long ago, and of the oldest when there are too many."""
        now_at = self._clock.now_at()
        closed = [c.event for c in self._cases.values() if c.event.closed_at is not None]
        closed.sort(key=lambda event: event.closed_at or now_at)
        too_many = max(0, len(self._cases) - _MAX_CASES)
        old = [
            event.event_id
            for number, event in enumerate(closed)
            if number < too_many or (event.closed_at or now_at) < now_at - _REMEMBER
        ]
        if not old:
            return
        for event_id in old:
            del self._cases[event_id], self._known_mono_s[event_id]
            self._pictures.pop(event_id, None)
        self._held = {(e, sink) for e, sink in self._held if e in self._cases}
        try:
            self._store.forget(old)
        except StoreError as err:
            get_logger().error("alert_case_not_kept", detail=err.detail)

    def _known_since(self, case: Case) -> float:
        """Guess, after a restart, since when an event was known: by the wall clock, never from the future."""
        age_s = (self._clock.now_at() - case.event.opened_at).total_seconds()
        return self._clock.mono_s() - max(0.0, age_s)

    def _run(self) -> None:
        while not self._stopping.wait(_TICK_S):
            self._beat(ALERT_THREAD)
            try:
                self.look()
            except (
                Exception
            ) as err:  # thread top: one strange event must not end the others' escalation
                get_logger().error("alert_look_failed", exc_info=err)
