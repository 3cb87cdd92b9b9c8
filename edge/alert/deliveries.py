"""Handing alerts to the sinks, and what is known of each sink from that. Ring: adapter.

The outbox calls this on a thread of its own for each sink, so that one that hangs holds up no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from pydantic import TypeAdapter, ValidationError

from edge.alert.message import Alert, AlertStep
from edge.alert.notice import Notice, NoticeResult
from edge.alert.rules import ReceiverRules, Recent
from edge.alert.sinks import Sink
from edge.event.fire_event import FireEvent, Severity
from edge.outbox.item import Delivered, OutboxItem, Outcome, Poison, Retry
from edge.outbox.outbox import Outbox
from shared.clock import Clock
from shared.watch.trouble import Trouble, TroubleKind

KIND_PREFIX = "alert."
ALERT = TypeAdapter(Alert)
# Tries in a row: one hiccup is no trouble, and the second try follows within two seconds.
_FAILING_AFTER = 2
_MOST_DETAIL = 300  # characters of what a sink said
_MOST_NOTED = 1000  # messages that did not arrive yet; above, the oldest is noted once more


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A sink with its name, the word for its kind, and what it wants to hear."""

    name: str
    kind: str
    sink: Sink
    rules: ReceiverRules


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkStatus:
    """How one sink is: `trouble` says why it does not work, None when it does."""

    name: str
    kind: str
    waiting: int
    trouble: str | None
    last_delivered_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """How far the alert of a test's event has come; times are monotonic readings, by sink where it arrived."""

    event_id: str
    opened_mono_s: float
    delivered_mono_s: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delivery:
    event_id: str
    severity: Severity
    mono_s: float


class Deliveries:
    """Registers every sink with the outbox; safe for use by many threads."""

    def __init__(
        self,
        outbox: Outbox,
        receivers: Mapping[str, Receiver],
        *,
        clock: Clock,
        count: Callable[[str, str], None] = lambda sink, result: None,
        took: Callable[[str, float], None] = lambda stage, seconds: None,
        keep: Callable[[str, Notice], None] = lambda event_id, notice: None,
    ) -> None:
        """Tell the outbox who delivers; call it before the outbox starts.

        Args:
            outbox: carries the messages.
            receivers: by name.
            clock: wall and monotonic time.
            count: told (sink, `delivered`, `retried` or `refused`) after each try.
            took: told how long each try took, stage `alert`.
            keep: given what came of a message of an event each time that is another thing than before; returns at once.
        """
        self._outbox = outbox
        self._receivers = dict(receivers)
        self._clock = clock
        self._count = count
        self._took = took
        self._keep = keep
        self._noted: dict[str, NoticeResult] = {}
        self._last: dict[tuple[str, str], _Delivery] = {}
        self._failures: dict[str, tuple[int, str]] = {}
        self._refused: dict[str, str] = {}
        self._trails: dict[str, Trail] = {}
        for receiver in self._receivers.values():
            self._register(receiver)

    def recent(self, sink: str, camera: str) -> Recent | None:
        """Tell what a sink got last about a camera; tests do not count."""
        last = self._last.get((sink, camera))
        if last is None:
            return None
        age_s = self._clock.mono_s() - last.mono_s
        return Recent(event_id=last.event_id, severity=last.severity, age_s=age_s)

    def status(self) -> tuple[SinkStatus, ...]:
        """Tell how the sinks are; from memory, at once."""
        lanes = {lane.kind: lane for lane in self._outbox.status().lanes}
        found = []
        for receiver in self._receivers.values():
            lane = lanes[KIND_PREFIX + receiver.name]
            found.append(
                SinkStatus(
                    name=receiver.name,
                    kind=receiver.kind,
                    waiting=lane.waiting,
                    trouble=self._trouble(receiver),
                    last_delivered_at=lane.last_delivered_at,
                )
            )
        return tuple(found)

    def troubles(self) -> list[Trouble]:
        """Name the sinks that do not work now."""
        now_at = self._clock.now_at()
        return [
            Trouble(
                kind=TroubleKind.SINK,
                subject=receiver.name,
                code="refused" if receiver.name in self._refused else "failing",
                cause=f"Alerts do not reach {receiver.name} ({receiver.kind}): {reason}.",
                remedy="They wait on disk and are tried again. Check address, secret and network; "
                f"`emberlink-edge alerts test {receiver.name}` shows what it answers.",
                since=now_at,
                figures={"kind": receiver.kind, "reason": reason},
            )
            for receiver in self._receivers.values()
            if (reason := self._trouble(receiver)) is not None
        ]

    def expect_test(self) -> tuple[str, ...]:
        """Forget the last test's trail; names the sinks that are told at once."""
        self._trails.clear()
        return tuple(r.name for r in self._receivers.values() if r.rules.escalate_after_s == 0)

    def trail(self, camera: str) -> Trail | None:
        """Tell how far the alert of a camera's test event has come; None before it was announced."""
        return self._trails.get(camera)

    def begin_trail(self, event: FireEvent) -> None:
        """Follow the alert of a test's event from now on."""
        self._trails[event.camera] = Trail(
            event_id=event.event_id, opened_mono_s=self._clock.mono_s(), delivered_mono_s={}
        )

    def _register(self, receiver: Receiver) -> None:
        def deliver(item: OutboxItem) -> Outcome:
            return self._deliver(receiver, item)

        def note(outcome: Outcome) -> None:
            self._note(receiver.name, outcome)

        self._outbox.handle(KIND_PREFIX + receiver.name, deliver, note)

    def _deliver(self, receiver: Receiver, item: OutboxItem) -> Outcome:
        try:
            alert = ALERT.validate_python(item.payload)
        except ValidationError as err:  # written by another version
            return Poison(reason=f"cannot be read any more: {str(err)[:100]}")
        begun_mono_s = self._clock.mono_s()
        outcome = receiver.sink.deliver(alert, item.picture)
        self._took("alert", self._clock.mono_s() - begun_mono_s)
        self._note_alert(receiver, alert, outcome)
        if isinstance(outcome, Delivered) and alert.is_test:
            self._note_test(alert, receiver.name)
        elif isinstance(outcome, Delivered):
            self._last[receiver.name, alert.camera] = _Delivery(
                event_id=alert.event_id, severity=alert.severity, mono_s=self._clock.mono_s()
            )
        return outcome

    def note_held(self, event: FireEvent, sink: str) -> None:
        """Take in that a cool-down holds back what a sink would hear of an event."""
        self._count(sink, NoticeResult.HELD.value)
        notice = Notice(
            at=self._clock.now_at(),
            alert_id="",
            step=AlertStep.OPENED,
            sink=sink,
            sink_kind=self._receivers[sink].kind,
            result=NoticeResult.HELD,
        )
        self._keep(event.event_id, notice)

    def _note_alert(self, receiver: Receiver, alert: Alert, outcome: Outcome) -> None:
        """Have kept what came of a try, unless the one before it came to the same."""
        result, detail = _result_of(outcome)
        if self._noted.get(alert.alert_id) is result:
            return
        self._noted[alert.alert_id] = result
        if result is NoticeResult.DELIVERED:
            del self._noted[alert.alert_id]
        elif len(self._noted) > _MOST_NOTED:
            self._noted.pop(next(iter(self._noted)), None)
        notice = Notice(
            at=self._clock.now_at(),
            alert_id=alert.alert_id,
            step=alert.step,
            sink=receiver.name,
            sink_kind=receiver.kind,
            result=result,
            detail=detail,
        )
        self._keep(alert.event_id, notice)

    def _note_test(self, alert: Alert, sink: str) -> None:
        trail = self._trails.get(alert.camera)
        if trail is not None and trail.event_id == alert.event_id:
            trail.delivered_mono_s.setdefault(sink, self._clock.mono_s())

    def _note(self, sink: str, outcome: Outcome) -> None:
        """Count a try, and remember how the sink is."""
        self._count(sink, _result_of(outcome)[0].value)
        match outcome:
            case Delivered():
                self._failures.pop(sink, None)
                self._refused.pop(sink, None)
            case Retry(reason=reason):
                self._failures[sink] = (self._failures.get(sink, (0, ""))[0] + 1, reason)
            case Poison(reason=reason):
                self._failures.pop(sink, None)
                self._refused[sink] = reason
            case _:
                assert_never(outcome)

    def _trouble(self, receiver: Receiver) -> str | None:
        failures, reason = self._failures.get(receiver.name, (0, ""))
        if failures >= _FAILING_AFTER:
            return reason
        return self._refused.get(receiver.name) or receiver.sink.trouble


def _result_of(outcome: Outcome) -> tuple[NoticeResult, str]:
    """Name what came of a try, and why it did not arrive."""
    match outcome:
        case Delivered():
            return NoticeResult.DELIVERED, ""
        case Retry(reason=reason):
            return NoticeResult.RETRIED, reason[:_MOST_DETAIL]
        case Poison(reason=reason):
            return NoticeResult.REFUSED, reason[:_MOST_DETAIL]
        case _:
            assert_never(outcome)
