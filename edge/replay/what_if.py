"""What other rules and budgets would have sent and cost, from the box's own last day. Ring: adapter (a thread).

Asked by a page, answered later: a run takes minutes on a thread that rests three quarters of its time, so that frames
go before. The result is kept for an hour. It is the replay of `emberlink-edge replay`, under the settings of this box.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from edge.decide.policies import PolicyName
from edge.replay.plane import ReplayPlane
from edge.replay.replay import Moment, Recording, Replayed
from edge.replay.score_history import History, read_history
from shared.clock import Clock
from shared.logs import get_logger
from shared.types import MICROS

RULES = (PolicyName.FIXED, PolicyName.SLIDING_WINDOW, PolicyName.PRICE)
LEAST_RECORDED_S = 3600.0  # less is one mood of the day
_TIMES_LIMIT = (0.25, 0.5, 1.0, 2.0, 4.0)
_USUAL_LIMIT_MICROS = 10 * MICROS  # what a box without a budget is compared around
_MOST_FRAMES = 120_000  # some 40 µs each and run: a minute of one core, spread over four
_FRESH_S = 3600.0
_LOOK_AGAIN_S = 60.0  # where there was too little, more is recorded soon
_BLOCK, _REST = 100, 3.0  # after so many frames the thread rests this many times what they took
_DAY_S = 86_400.0
_THREAD = "what-if"
_STOP_WAIT_S = 2.0


class WhatIfState(StrEnum):
    """How far the answer is."""

    OFF = "off"
    RUNNING = "running"
    READY = "ready"
    TOO_LITTLE = "too_little"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a rule would have done in a day with a limit; `dry_after`: share of the day after which money ran out."""

    rule: PolicyName
    limit_micros: int
    calls: float
    cost_micros: float
    dry_after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIfAnswer:
    """What is known now; `trials` stay those of the last finished run while another goes on."""

    state: WhatIfState
    done: int = 0
    history: History | None = None
    made_at: datetime | None = None
    trials: tuple[Trial, ...] = ()

    @property
    def of(self) -> int:
        """Tell how many trials a run has."""
        return len(RULES) * len(_TIMES_LIMIT)


class WhatIf:
    """Answers the question; safe for use by many threads, one run at a time."""

    def __init__(
        self,
        folder: Path | None,
        *,
        plane: Callable[[], ReplayPlane],
        flush: Callable[[], None],
        clock: Clock,
        most_frames: int = _MOST_FRAMES,
    ) -> None:
        """Keep what to play, and on what.

        Args:
            folder: of the score logs; None where none are kept.
            plane: policy, calibration and circumstances of this box as they are now.
            flush: writes what the log still holds back.
            clock: of the service.
            most_frames: played in one run.
        """
        self._folder = folder
        self._plane = plane
        self._flush = flush
        self._clock = clock
        self._most_frames = most_frames
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._answer = WhatIfAnswer(
            state=WhatIfState.OFF if folder is None else WhatIfState.RUNNING
        )
        self._due_mono_s = float("-inf")

    def answer(self) -> WhatIfAnswer:
        """Tell what is known, and begin a run where that is old; never waits."""
        with self._lock:
            is_due = self._clock.mono_s() >= self._due_mono_s and not self._stopping.is_set()
            if self._folder is not None and self._thread is None and is_due:
                args = (self._folder,)
                self._thread = threading.Thread(
                    target=self._run, args=args, name=_THREAD, daemon=True
                )
                self._thread.start()
            return self._answer

    def stop(self) -> None:
        """End a run where it is."""
        self._stopping.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(_STOP_WAIT_S)

    def _run(self, folder: Path) -> None:
        try:
            self._flush()
            answer = self._find(folder)
        except _StoppedError:
            return
        except Exception as err:  # thread top: the page says that there is no answer
            get_logger().error("what_if_failed", exc_info=err)
            answer = WhatIfAnswer(state=WhatIfState.FAILED)
        is_ready = answer.state is WhatIfState.READY
        with self._lock:
            self._answer, self._thread = answer, None
            self._due_mono_s = self._clock.mono_s() + (_FRESH_S if is_ready else _LOOK_AGAIN_S)

    def _find(self, folder: Path) -> WhatIfAnswer:
        now_at = self._clock.now_at()
        history = read_history(folder, until=now_at, most_frames=self._most_frames)
        if history.recorded_s < LEAST_RECORDED_S:
            return WhatIfAnswer(state=WhatIfState.TOO_LITTLE, history=history)
        plane = replace(self._plane(), begins_at=history.begins_at)
        trials: list[Trial] = []
        for rule in RULES:
            for limit_micros in _limits(plane.policy.daily_limit_micros):
                last = trials[-1] if trials and trials[-1].rule is rule else None
                if last and last.dry_after is None and rule is not PolicyName.PRICE:
                    trials.append(replace(last, limit_micros=limit_micros))  # money never ruled
                else:
                    trials.append(self._try(history, plane, rule, limit_micros))
                self._say_done(len(trials))
        return WhatIfAnswer(
            state=WhatIfState.READY, history=history, made_at=now_at, trials=tuple(trials)
        )

    def _try(
        self, history: History, plane: ReplayPlane, rule: PolicyName, limit_micros: int
    ) -> Trial:
        calls = limit_micros // max(1, plane.policy.cost_micros)
        recording = replace(history.recording, moments=_Gently(history.recording, self._rest))
        played = replace(plane, daily_limit=calls).play(recording, rule)
        days = max(history.recording.length_s, 1.0) / _DAY_S
        sent = min(float(calls), played.forwarded / days)  # a part of a day is given whole calls
        return Trial(
            rule=rule,
            limit_micros=limit_micros,
            calls=sent,
            cost_micros=sent * plane.policy.cost_micros,
            dry_after=_dry_after(played, history),
        )

    def _say_done(self, done: int) -> None:
        with self._lock:
            self._answer = replace(self._answer, state=WhatIfState.RUNNING, done=done)

    def _rest(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise _StoppedError


class _StoppedError(Exception):
    """The service stops."""


class _Gently:
    """A recording's moments with rests between them."""

    def __init__(self, recording: Recording, rest: Callable[[float], None]) -> None:
        self._moments = recording.moments
        self._rest = rest

    def __iter__(self) -> Iterator[Moment]:
        begun_s = time.thread_time()
        for number, moment in enumerate(self._moments, start=1):
            yield moment
            if number % _BLOCK == 0:
                self._rest(_REST * (time.thread_time() - begun_s))
                begun_s = time.thread_time()


def _limits(today_micros: int) -> list[int]:
    """Choose limits around today's, which is one of them; a box without a budget sees it as the first."""
    base = today_micros or _USUAL_LIMIT_MICROS
    limits = [int(times * base) for times in _TIMES_LIMIT]
    return limits if today_micros else [0, *limits[1:]]


def _dry_after(played: Replayed, history: History) -> float | None:
    if played.exhausted_at is None:
        return None
    since = datetime.fromisoformat(played.exhausted_at) - history.begins_at
    return min(1.0, since.total_seconds() / max(history.recording.length_s, 1.0))
