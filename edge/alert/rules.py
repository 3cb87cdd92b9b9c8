"""What each receiver of alerts must hear next: one message an event, then only what changed. Ring: domain.

What is known of an event is compared with what a receiver was told; the difference, if any, is the next message. So
nothing depends on who called in which order, a restart included.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from edge.alert.message import AlertStep
from edge.event.evidence import Grade
from edge.event.fire_event import EventChange, FireEvent, Severity

_SEVERITIES = (Severity.UNCERTAIN, Severity.SMOKE, Severity.FIRE)
_GRADES = (Grade.EDGE_ONLY, Grade.CONFIRMED)


def severity_rank(severity: Severity) -> int:
    """Order severities, the worst last."""
    return _SEVERITIES.index(severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one receiver was told of one event so far, in how many messages."""

    messages: int
    severity: Severity
    grade: Grade
    is_traced: bool
    is_closed: bool
    is_acknowledged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An event as the desk knows it, and what was told of it to whom.

    `began_at` is the origin's time where it was traced. `size_px` is (width, height) of the camera's picture.
    `is_cut`: nobody saw its end, the service was not running any more.
    """

    event: FireEvent
    began_at: datetime
    is_traced: bool = False
    size_px: tuple[int, int] | None = None
    acknowledged_by: str | None = None
    is_cut: bool = False
    told: dict[str, Told] = field(default_factory=dict)

    def after(self, change: EventChange, size_px: tuple[int, int] | None) -> Case:
        """Take in a step of the event; what is known and not said again stays.

        A step may come late, with the event as it was: an origin is traced for a while.
        """
        origin = change.origin
        is_newer = (change.event.last_seen_at, change.event.closed_at is not None) >= (
            self.event.last_seen_at,
            self.event.closed_at is not None,
        )
        return replace(
            self,
            event=change.event if is_newer else self.event,
            began_at=origin.captured_at if origin else self.began_at,
            is_traced=self.is_traced or origin is not None,
            size_px=size_px or self.size_px,
            is_cut=self.is_cut and not is_newer,
        )

    def after_restart(self) -> Case:
        """Close what was open when the process before ended; a fire that goes on becomes an event of its own."""
        if self.event.closed_at is not None:
            return self
        ended = replace(self.event, closed_at=self.event.last_seen_at)
        return replace(self, event=ended, is_cut=True)


def case_of(change: EventChange, size_px: tuple[int, int] | None) -> Case:
    """Open a case with the first step that is heard of an event."""
    return Case(event=change.event, began_at=change.event.opened_at).after(change, size_px)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverRules:
    """What one receiver wants: from which severity on, and after how long without acknowledgement (0 is at once)."""

    least: Severity = Severity.UNCERTAIN
    escalate_after_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """The last message that a receiver really got about a camera: of which event, how bad, how long ago."""

    event_id: str
    severity: Severity
    age_s: float


def next_step(
    case: Case,
    receiver: str,
    rules: ReceiverRules,
    *,
    open_for_s: float,
    recent: Recent | None,
    cooldown_s: float,
) -> AlertStep | None:
    """Tell what a receiver must hear of a case now; None when it knows all, or not yet.

    Args:
        case: the event and what was told.
        receiver: its name.
        rules: what it wants.
        open_for_s: since when the desk knows the event.
        recent: the last delivered message about the same camera; None when there was none.
        cooldown_s: for so long after a delivered message a new event of that camera that is no worse waits.
    """
    told = case.told.get(receiver)
    if told is not None:
        return _change(case, told)
    if severity_rank(case.event.severity) < severity_rank(rules.least):
        return None
    if rules.escalate_after_s > 0:
        is_due = open_for_s >= rules.escalate_after_s and not case.event.is_test
        return AlertStep.ESCALATED if is_due and case.acknowledged_by is None else None
    if _is_cooling(case, recent, cooldown_s):
        return None
    return AlertStep.OPENED if case.event.closed_at is None else AlertStep.CLOSED


def tell(case: Case, receiver: str) -> Case:
    """Book that a receiver is told everything that is known now."""
    before = case.told.get(receiver)
    told = Told(
        messages=1 if before is None else before.messages + 1,
        severity=case.event.severity,
        grade=case.event.grade,
        is_traced=case.is_traced,
        is_closed=case.event.closed_at is not None,
        is_acknowledged=case.acknowledged_by is not None,
    )
    return replace(case, told={**case.told, receiver: told})


def why(case: Case, receiver: str) -> str:
    """Say in a few words what is new to a receiver."""
    told = case.told.get(receiver)
    if told is None:
        return ""
    found = []
    if severity_rank(case.event.severity) > severity_rank(told.severity):
        found.append(f"{told.severity.value} is now {case.event.severity.value}")
    if _GRADES.index(case.event.grade) > _GRADES.index(told.grade):
        found.append("confirmed")
    if case.is_traced and not told.is_traced:
        found.append("traced back to its beginning")
    if told.is_closed and case.event.closed_at is None:
        found.append("seen again")
    if case.is_cut:
        found.append("the box was restarted; a fire that goes on is told anew")
    return ", ".join(found)


def _change(case: Case, told: Told) -> AlertStep | None:
    if case.event.closed_at is not None and not told.is_closed:
        return AlertStep.CLOSED
    if case.acknowledged_by is not None and not told.is_acknowledged:
        return AlertStep.ACKNOWLEDGED
    is_news = (
        (told.is_closed and case.event.closed_at is None)
        or severity_rank(case.event.severity) > severity_rank(told.severity)
        or _GRADES.index(case.event.grade) > _GRADES.index(told.grade)
        or (case.is_traced and not told.is_traced)
    )
    return AlertStep.UPDATED if is_news else None


def _is_cooling(case: Case, recent: Recent | None, cooldown_s: float) -> bool:
    """A test neither waits for others nor makes them wait; what is worse than the last message never waits."""
    return (
        recent is not None
        and not case.event.is_test
        and recent.event_id != case.event.event_id
        and recent.age_s < cooldown_s
        and severity_rank(case.event.severity) <= severity_rank(recent.severity)
    )
