"""The only place that reads time. Ring: domain protocol plus its system form."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where times and durations come from; tests pass their own."""

    def now_at(self) -> datetime:
        """Tell the wall time, aware, UTC."""
        ...

    def mono_s(self) -> float:
        """Tell a reading in seconds that never goes back; its zero means nothing."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_at(self) -> datetime:
        """Tell the wall time, aware, UTC."""
        return datetime.now(UTC)

    def mono_s(self) -> float:
        """Tell the monotonic reading in seconds."""
        return time.monotonic()


class Stopwatch:
    """Times the stages of one piece of work; not for use by several threads at once."""

    def __init__(self, clock: Clock) -> None:
        """Start now."""
        self._clock = clock
        self._lap_mono_s = clock.mono_s()
        self.stages_s: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """Book the time since the last lap on a stage."""
        now_mono_s = self._clock.mono_s()
        self.stages_s[stage] = self.stages_s.get(stage, 0.0) + now_mono_s - self._lap_mono_s
        self._lap_mono_s = now_mono_s

    def book(self, stage: str, seconds: float) -> None:
        """Book a part of the running lap, measured elsewhere, on a stage of its own."""
        self.stages_s[stage] = self.stages_s.get(stage, 0.0) + seconds
        self._lap_mono_s += seconds
