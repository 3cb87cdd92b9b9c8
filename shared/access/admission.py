"""Who may come in: a fixed number of places, asked for before anything is decoded. Ring: domain.

When the house is full the next caller is refused at once and told when a place should be free, computed from the
measured rate of service. Callers share: for each that was seen lately some places are kept, which the others cannot
take, so that one that floods does not shut the rest out.
"""

from __future__ import annotations

import math
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass

from shared.clock import Clock
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import FireError

_SMOOTHING = 0.1  # weight of the newest service time; larger follows noise, smaller lags behind a slower model
_FIRST_GUESS_S = 0.1
# Of these the shortest counts: the first frames after a start are slow, and no rate.
_FIRST_GAPS = 10
_MAX_RETRY_AFTER_S = 30.0
# Longer keeps places for callers that are gone, shorter forgets one that was told to wait.
_LATELY_S = 10.0


@dataclass(slots=True)
class _Lane:
    """One caller: how many places it holds, and when it last asked."""

    held: int = 0
    seen_mono_s: float = 0.0


class _Place(AbstractContextManager[None]):
    """Some places, held for the length of a block; a generator would cost three times as much on the way of a frame."""

    __slots__ = ("_admission", "_caller", "_count", "_deadline")

    def __init__(
        self, admission: Admission, caller: str, count: int, deadline: Deadline | None
    ) -> None:
        self._admission = admission
        self._caller = caller
        self._count = count
        self._deadline = deadline

    def __enter__(self) -> None:
        self._admission.enter(self._caller, self._count, self._deadline)

    def __exit__(self, *_error: object) -> None:
        self._admission.leave(self._caller, self._count)


class Admission:
    """Counts places; safe for use by many threads. Full means refuse, nothing waits here."""

    def __init__(self, places: int, clock: Clock, *, full: ErrorCode) -> None:
        """Start empty with `places` ≥ 1; `full` is the error of whoever finds none."""
        self._places = places
        self._clock = clock
        self._full = full
        self._lock = threading.Lock()
        self._taken = 0
        self._lanes: dict[str, _Lane] = {}
        self._gap_s = _FIRST_GUESS_S
        self._measured = 0
        self._busy_since_mono_s = 0.0

    @property
    def taken(self) -> int:
        """Tell how many places are taken now."""
        return self._taken

    @property
    def is_full(self) -> bool:
        """Tell whether the next caller would be refused."""
        return self._taken >= self._places

    def place(
        self, caller: str = "", *, count: int = 1, deadline: Deadline | None = None
    ) -> AbstractContextManager[None]:
        """Hold places for as long as pictures are in the house.

        Args:
            caller: who asks; callers share the places.
            count: how many places, at most all there are.
            deadline: when the answer is of no use any more; None waits as long as it takes.

        Raises:
            FireError(`full`): no place for this caller; carries Retry-After.
            FireError(DEADLINE_MISSED): by the measured rate its turn would come too late; carries it as well.
        """
        return _Place(self, caller, count, deadline)

    def refuse_if_full(self, caller: str = "") -> None:
        """Refuse before a body is even parsed; a place is kept for `caller` when it comes back.

        Raises:
            FireError(`full`): carries Retry-After.
        """
        if self.is_full:
            with self._lock:
                self._lanes.setdefault(caller, _Lane()).seen_mono_s = self._clock.mono_s()
                raise self._refusal("")

    def expected_wait_s(self, before: int) -> float:
        """Tell how long `before` pictures should take, within what a caller may be asked to wait."""
        return min(_MAX_RETRY_AFTER_S, max(1.0, math.ceil(before * self._gap_s)))

    def enter(self, caller: str, count: int, deadline: Deadline | None) -> None:
        """Take places, or raise as `place` says."""
        with self._lock:
            self._enter(caller, count, deadline)

    def leave(self, caller: str, count: int) -> None:
        """Give places back."""
        now_mono_s = self._clock.mono_s()
        with self._lock:
            # Since the last one left, or since the first came in: idle time is no service time.
            gap_s = (now_mono_s - self._busy_since_mono_s) / count
            # Neither guess nor a slow start is mixed in: that would refuse callers for being late who are not.
            if self._measured >= _FIRST_GAPS:
                self._gap_s += _SMOOTHING * (gap_s - self._gap_s)
            else:
                self._gap_s = min(self._gap_s, gap_s) if self._measured else gap_s
                self._measured += 1
            self._busy_since_mono_s = now_mono_s
            self._taken -= count
            self._lanes[caller].held -= count

    def _enter(self, caller: str, count: int, deadline: Deadline | None) -> None:
        now_mono_s = self._clock.mono_s()
        if len(self._lanes) > 1:
            self._forget(now_mono_s)
        lane = self._lanes.setdefault(caller, _Lane())
        lane.seen_mono_s = now_mono_s
        kept_for_others = self._kept_for_others(lane)
        if self._taken + count > self._places:
            raise self._refusal("")
        if self._taken + count + kept_for_others > self._places:
            raise self._refusal(f", {kept_for_others} are kept for other callers")
        if deadline is not None:
            self._refuse_if_late(deadline)
        if self._taken == 0:
            self._busy_since_mono_s = now_mono_s
        self._taken += count
        lane.held += count

    def _refuse_if_late(self, deadline: Deadline) -> None:
        wait_s = self._taken * self._gap_s if self._measured > 1 else 0.0
        if deadline.has_passed() or wait_s > deadline.remaining_s():
            detail = f"{self._taken} pictures are before this one, about {wait_s:.1f} s"
            retry_after_s = self.expected_wait_s(self._taken)
            raise FireError(ErrorCode.DEADLINE_MISSED, detail, retry_after_s=retry_after_s)

    def _kept_for_others(self, lane: _Lane) -> int:
        """Count the places that others may still claim: half of an equal share each, less what they hold."""
        callers = len(self._lanes)
        if callers < 2 or callers > self._places:
            return 0
        share = max(1, self._places // (2 * callers))
        return sum(
            max(0, share - other.held) for other in self._lanes.values() if other is not lane
        )

    def _forget(self, now_mono_s: float) -> None:
        gone = [
            caller
            for caller, lane in self._lanes.items()
            if not lane.held and lane.seen_mono_s + _LATELY_S < now_mono_s
        ]
        for caller in gone:
            del self._lanes[caller]

    def _refusal(self, why: str) -> FireError:
        wait_s = self.expected_wait_s(self._taken)
        detail = f"{self._taken} of {self._places} places taken{why}"
        return FireError(self._full, detail, retry_after_s=wait_s)
