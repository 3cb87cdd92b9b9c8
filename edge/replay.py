"""Run recorded frames through a policy, faster than real time: what would it have sent, cost and seen? Ring: domain.

The same rules as on the box, on a clock that the recording drives. Answers come from whatever plays the cloud; a
score log holds none, so it gives forwards, cost and exhaustion only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge.budget import Today
from edge.cloud_client import CloudAnswer
from edge.decide import Decider
from edge.evidence import Evidence
from edge.fuse import fuse
from edge.outcome import Outcome
from edge.reasons import Reason
from shared.deadline import Deadline
from shared.types import MICROS, Classification, Frame, Label, ModelIdentity

_EVENT_GAP_S = 60.0  # evidence that comes back within this belongs to the same event
_PATIENCE_S = 2.5


class ReplayClock:
    """A clock that stands where the recording is."""

    def __init__(self, begins_at: datetime) -> None:
        """Start at a wall time, aware."""
        self._begins_at = begins_at
        self._at_s = 0.0

    def move_to(self, at_s: float) -> None:
        """Go to a second of the recording."""
        self._at_s = at_s

    def now_at(self) -> datetime:
        """Tell the wall time of the recording."""
        return self._begins_at + timedelta(seconds=self._at_s)

    def mono_s(self) -> float:
        """Tell the second of the recording."""
        return self._at_s


class ReplayBudget:
    """The calls of a recording: the day's limit pro-rated over its length, its plan spread over it.

    Stands in for `edge.budget.BudgetManager`: nothing is kept, nothing is really paid.
    """

    def __init__(self, *, limit_micros: int, clock: ReplayClock, length_s: float) -> None:
        """Start with everything left."""
        self._limit_micros = limit_micros
        self._clock = clock
        self._length_s = max(length_s, 1e-3)
        self._spent_micros = 0

    def check_and_deduct(
        self, cost_micros: int, *, call_id: str, camera: str | None, tier: str, keep_micros: int
    ) -> bool:
        """Pay for one call while the limit lasts."""
        if self._spent_micros + cost_micros > self._limit_micros - keep_micros:
            return False
        self._spent_micros += cost_micros
        return True

    def remaining_micros(self) -> int:
        """Tell what is left."""
        return self._limit_micros - self._spent_micros

    def today(self, camera: str | None) -> Today:
        """Tell the recording as if it were a day of one camera."""
        return Today(
            day="recording",
            limit_micros=self._limit_micros,
            spent_micros=self._spent_micros,
            camera_micros=self._spent_micros,
            elapsed=min(1.0, self._clock.mono_s() / self._length_s),
        )


class OpenLink:
    """A link that always has a place: a replay asks what a policy wants, not what the network was like."""

    def enter(self, call_id: str, keep_places: int) -> Reason | None:
        """Let everything pass."""
        return None

    def expected_s(self) -> float:
        """Nobody waits for a replay."""
        return 0.0

    def leave(self, call_id: str) -> None:
        """Nothing was held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One frame of a recording: its second, what the edge thought, and how to ask the cloud about it."""

    at_s: float
    frame: Frame
    classification: Classification
    ask: Callable[[], CloudAnswer] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedEvent:
    """An alarm: what was seen, whether the cloud took part, and the second it was first seen."""

    label: str
    grade: str
    first_seen_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a policy did with one source."""

    source: str
    policy: str
    frames: int
    forwarded: int
    cost: float
    exhausted_at: str | None
    reasons: dict[str, int]
    events: tuple[ReplayedEvent, ...]
    right: int
    judged: int


def replay(
    source: str,
    moments: Iterable[Moment],
    *,
    policy: str,
    clock: ReplayClock,
    decider: Decider,
    evidence: Evidence,
    model: ModelIdentity,
    truth: Callable[[Moment], bool | None] = lambda moment: None,
) -> Replayed:
    """Play one source.

    Args:
        source: its name.
        moments: in order of time.
        policy: its name, for the result.
        clock: is moved along.
        decider: policy, budget and a link that always has a place.
        evidence: gathers alarms.
        model: of the edge.
        truth: whether a moment shows fire or smoke; None when not known.

    Returns:
        counts and events; `right` of `judged` moments had the right verdict.
    """
    tally = _Tally()
    for moment in moments:
        clock.move_to(moment.at_s)
        deadline = Deadline.after(_PATIENCE_S, clock)
        decision = decider.decide(moment.frame, moment.classification, deadline)
        outcome = None
        if decision.forward and moment.ask is not None:
            outcome = Outcome(
                answer=moment.ask(),
                reason=decision.reason,
                charged_micros=decision.charged_micros,
            )
        verdict = fuse(moment.frame, moment.classification, decision, outcome, model, {})
        alarm = evidence.note(verdict)
        tally.count(decision.reason, decision.charged_micros, clock.now_at())
        if alarm is not None:
            tally.alarm(verdict.label, alarm.grade.value, moment.at_s)
        is_fire = truth(moment)
        if is_fire is not None:
            tally.judge(is_right=(verdict.label is not Label.NONE) == is_fire)
    return tally.result(source, policy)


class _Tally:
    """What is counted along the way."""

    def __init__(self) -> None:
        self._frames = self._forwarded = self._cost_micros = 0
        self._right = self._judged = 0
        self._exhausted_at: datetime | None = None
        self._reasons: Counter[Reason] = Counter()
        self._events: list[ReplayedEvent] = []
        self._last_alarm_s = float("-inf")

    def count(self, reason: Reason, charged_micros: int, at: datetime) -> None:
        self._frames += 1
        self._forwarded += charged_micros > 0
        self._cost_micros += charged_micros
        self._reasons[reason] += 1
        if reason is Reason.FALLBACK_BUDGET_EMPTY and self._exhausted_at is None:
            self._exhausted_at = at

    def alarm(self, label: Label, grade: str, at_s: float) -> None:
        seen = Label.FIRE if label is Label.NONE else label
        if at_s - self._last_alarm_s > _EVENT_GAP_S:
            self._events.append(
                ReplayedEvent(label=seen.value, grade=grade, first_seen_s=round(at_s, 2))
            )
        elif grade == "confirmed" and self._events[-1].grade != grade:
            first = self._events[-1]
            self._events[-1] = ReplayedEvent(
                label=first.label, grade=grade, first_seen_s=first.first_seen_s
            )
        self._last_alarm_s = at_s

    def judge(self, *, is_right: bool) -> None:
        self._judged += 1
        self._right += is_right

    def result(self, source: str, policy: str) -> Replayed:
        return Replayed(
            source=source,
            policy=policy,
            frames=self._frames,
            forwarded=self._forwarded,
            cost=self._cost_micros / MICROS,
            exhausted_at=self._exhausted_at.isoformat() if self._exhausted_at else None,
            reasons={reason.value: count for reason, count in self._reasons.most_common()},
            events=tuple(self._events),
            right=self._right,
            judged=self._judged,
        )
