"""Run recorded frames through a policy, faster than real time: what would it have sent, cost and seen? Ring: domain.

The same rules as on the box, on a clock that the recording drives. Answers come from whatever plays the cloud; a
score log holds none, so it gives forwards, cost and exhaustion only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge.decide.budget import Today
from edge.decide.decider import Decider, Decision
from edge.decide.reasons import Reason
from edge.event.events import Events
from edge.event.evidence import Evidence
from edge.event.fire_event import EventChange, EventStep, FireEvent, Origin
from edge.event.preroll import Preroll
from edge.forward.cloud_client import CloudAnswer
from edge.forward.outcome import Outcome
from edge.fuse import Verdict, fuse
from edge.replay.origin import ReplayOrigins
from shared.deadline import Deadline
from shared.types import MICROS, Classification, Frame, Label, ModelIdentity

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

    def second_of(self, at: datetime) -> float:
        """Tell the second of the recording at a wall time of it."""
        return round((at - self._begins_at).total_seconds(), 2)


class ReplayBudget:
    """The calls of a recording: the day's limit pro-rated over its length, its plan spread over it.

    Stands in for `edge.decide.budget.BudgetManager`: nothing is kept, nothing is really paid.
    """

    def __init__(self, *, limit_micros: int, clock: ReplayClock, length_s: float) -> None:
        """Start with everything left."""
        self._limit_micros = limit_micros
        self._clock = clock
        self._length_s = max(length_s, 1e-3)
        self._spent_micros = 0
        self._by_camera: Counter[str | None] = Counter()

    def check_and_deduct(
        self,
        cost_micros: int,
        *,
        call_id: str,
        camera: str | None,
        tier: str,
        keep_micros: int,
        within_s: float,
    ) -> bool:
        """Pay for one call while the limit lasts."""
        if self._spent_micros + cost_micros > self._limit_micros - keep_micros:
            return False
        self._spent_micros += cost_micros
        self._by_camera[camera] += cost_micros
        return True

    def remaining_micros(self) -> int:
        """Tell what is left."""
        return self._limit_micros - self._spent_micros

    def today(self, camera: str | None) -> Today:
        """Tell the recording as if it were a day."""
        return Today(
            day="recording",
            limit_micros=self._limit_micros,
            spent_micros=self._spent_micros,
            camera_micros=self._by_camera[camera],
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
class Recording:
    """One source: its moments, which can be gone through again, and when its fire begins if that is known."""

    name: str
    moments: Iterable[Moment]
    length_s: float
    is_labelled: bool
    first_fire_s: float | None
    is_log: bool = False

    def is_fire(self, moment: Moment) -> bool | None:
        """Tell whether a moment shows a fire; None when that is not known."""
        if not self.is_labelled:
            return None
        return self.first_fire_s is not None and moment.at_s >= self.first_fire_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedOrigin:
    """The earliest picture that shows the fire: its second, and where, in pixels of the source."""

    at_s: float
    box_xyxy: list[float] | None
    method: str
    confidence: float
    is_earliest_kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedEvent:
    """An event: the worst that was seen, whether the cloud took part, the second it opened, and its origin."""

    label: str
    grade: str
    first_seen_s: float
    origin: ReplayedOrigin | None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayBox:
    """The parts of a box that recordings are played to; fresh ones for each recording.

    `clock` is moved along. `decider` holds policy, budget and a link that always has a place. `evidence`, `events` and
    `preroll` work as on the box; `origins` finds when an event began, None looks for none. `model` is the edge's.
    """

    clock: ReplayClock
    decider: Decider
    evidence: Evidence
    events: Events
    preroll: Preroll
    origins: ReplayOrigins | None
    model: ModelIdentity

    def judge(self, moment: Moment) -> tuple[Decision, Verdict]:
        """Take a frame down the line as far as the verdict."""
        self.clock.move_to(moment.at_s)
        deadline = Deadline.after(_PATIENCE_S, self.clock)
        decision = self.decider.decide(moment.frame, moment.classification, deadline)
        outcome = None
        if decision.forward and moment.ask is not None:
            outcome = Outcome(
                answer=moment.ask(),
                reason=decision.reason,
                charged_micros=decision.charged_micros,
            )
        verdict = fuse(moment.frame, moment.classification, decision, outcome, self.model)
        return decision, verdict


def replay(recording: Recording, policy: str, box: ReplayBox) -> Replayed:
    """Play one recording to a box with a policy of this name.

    Returns:
        counts and events; `right` of `judged` moments had the right verdict.
    """
    tally = _Tally(box.preroll, box.origins, box.clock)
    for moment in recording.moments:
        decision, verdict = box.judge(moment)
        alarm = box.evidence.note(verdict)
        tally.count(decision.reason, decision.charged_micros, box.clock.now_at())
        box.preroll.put(moment.frame, verdict)
        if moment.ask is not None:
            tally.asks[moment.frame.frame_id] = moment.ask
        for change in box.events.take(moment.frame, verdict, alarm).changes:
            tally.change(change)
        is_fire = recording.is_fire(moment)
        if is_fire is not None:
            tally.judge(is_right=(verdict.label is not Label.NONE) == is_fire)
    return tally.result(recording.name, policy)


class _Tally:
    """What is counted along the way."""

    def __init__(self, preroll: Preroll, origins: ReplayOrigins | None, clock: ReplayClock) -> None:
        self._preroll = preroll
        self._finder = origins
        self._clock = clock
        self.asks: dict[str, Callable[[], CloudAnswer]] = {}
        self._events: dict[str, FireEvent] = {}
        self._origins: dict[str, Origin | None] = {}
        self._frames = self._forwarded = self._cost_micros = 0
        self._right = self._judged = 0
        self._exhausted_at: datetime | None = None
        self._reasons: Counter[Reason] = Counter()

    def count(self, reason: Reason, charged_micros: int, at: datetime) -> None:
        self._frames += 1
        self._forwarded += charged_micros > 0
        self._cost_micros += charged_micros
        self._reasons[reason] += 1
        if reason is Reason.FALLBACK_BUDGET_EMPTY and self._exhausted_at is None:
            self._exhausted_at = at

    def change(self, change: EventChange) -> None:
        event = change.event
        self._events[event.event_id] = event
        if change.step is EventStep.OPENED and self._finder is not None:
            before = self._preroll.frames(event.camera)
            self._origins[event.event_id] = self._finder.find(event, before, self._ask)

    def _ask(self, frame: Frame) -> CloudAnswer | None:
        ask = self.asks.get(frame.frame_id)
        return ask() if ask else None

    def _replayed(self, event: FireEvent) -> ReplayedEvent:
        return ReplayedEvent(
            label=event.severity.value,
            grade=event.grade.value,
            first_seen_s=self._clock.second_of(event.opened_at),
            origin=self._origin(self._origins.get(event.event_id)),
        )

    def _origin(self, origin: Origin | None) -> ReplayedOrigin | None:
        if origin is None:
            return None
        return ReplayedOrigin(
            at_s=self._clock.second_of(origin.captured_at),
            box_xyxy=origin.box.as_list() if origin.box else None,
            method=origin.method.value,
            confidence=round(origin.confidence, 4),
            is_earliest_kept=origin.is_earliest_kept,
        )

    def judge(self, *, is_right: bool) -> None:
        self._judged += 1
        self._right += is_right

    def result(self, source: str, policy: str) -> Replayed:
        questions = self._finder.charged_micros if self._finder else []
        if questions:
            self._reasons[Reason.CLOUD_ORIGIN] += len(questions)
        return Replayed(
            source=source,
            policy=policy,
            frames=self._frames,
            forwarded=self._forwarded + len(questions),
            cost=(self._cost_micros + sum(questions)) / MICROS,
            exhausted_at=self._exhausted_at.isoformat() if self._exhausted_at else None,
            reasons={reason.value: count for reason, count in self._reasons.most_common()},
            events=tuple(self._replayed(event) for event in self._events.values()),
            right=self._right,
            judged=self._judged,
        )
