"""A circuit breaker with one leased probe. Ring: domain (the lock guards four numbers, never a call).

pybreaker holds its lock during calls and purgatory lets every thread through when half open, hence our own.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum

from shared.clock import Clock


class BreakerState(StrEnum):
    """What the breaker lets through: everything, nothing, or one probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """When to stop asking, and when to try again."""

    failures_to_open: int = 3
    """Failed calls in a row. Too small: one lost packet blinds us to the cloud; too large: callers wait in vain."""
    probe_after_s: float = 5.0
    """First wait before a probe; doubles with every failed probe. Must stay above one call's total time."""
    probe_after_max_s: float = 15.0
    """The longest wait: bounds how long a healed cloud stays unused."""
    lease_s: float = 10.0
    """A probe that never reports is forgotten after this; must stay above the longest call."""


class Breaker:
    """Counts failures in a row; safe for use by many threads.

    `admit` is asked before a call; each admitted call must report `succeeded`, `failed` or `abandoned` once, under the
    id it was admitted with: a straggler from before the breaker opened must not end or give back another's probe.
    """

    def __init__(self, settings: BreakerSettings, clock: Clock) -> None:
        """Start closed."""
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_mono_s: float | None = None
        self._wait_s = settings.probe_after_s
        self._probe_id: str | None = None
        self._probe_since_mono_s = 0.0

    @property
    def state(self) -> BreakerState:
        """Tell the state at this moment."""
        with self._lock:
            return self._state()

    def is_open(self) -> bool:
        """Tell whether a call would be refused now (also while another caller holds the probe)."""
        with self._lock:
            return not self._would_admit()

    def admit(self, call_id: str) -> bool:
        """Ask for permission to call; in the half-open state exactly one caller gets it, on lease."""
        with self._lock:
            if not self._would_admit():
                return False
            if self._opened_mono_s is not None:
                self._probe_id, self._probe_since_mono_s = call_id, self._clock.mono_s()
            return True

    def succeeded(self) -> None:
        """Report a call that got a usable answer: closes the breaker."""
        with self._lock:
            self._failures = 0
            self._opened_mono_s = self._probe_id = None
            self._wait_s = self._settings.probe_after_s

    def failed(self, call_id: str) -> None:
        """Report a call that failed: opens the breaker at the limit, or again after a failed probe."""
        with self._lock:
            self._failures += 1
            if self._opened_mono_s is not None and call_id != self._probe_id:
                return  # a straggler admitted before the breaker opened tells nothing new
            if self._opened_mono_s is not None:
                self._wait_s = min(self._wait_s * 2, self._settings.probe_after_max_s)
            elif self._failures < self._settings.failures_to_open:
                return
            self._opened_mono_s = self._clock.mono_s()
            self._probe_id = None

    def abandoned(self, call_id: str) -> None:
        """Report a call that was admitted but never sent: gives its lease back, changes nothing else."""
        with self._lock:
            if call_id == self._probe_id:
                self._probe_id = None

    def _state(self) -> BreakerState:
        if self._opened_mono_s is None:
            return BreakerState.CLOSED
        waited_s = self._clock.mono_s() - self._opened_mono_s
        return BreakerState.HALF_OPEN if waited_s >= self._wait_s else BreakerState.OPEN

    def _would_admit(self) -> bool:
        match self._state():
            case BreakerState.CLOSED:
                return True
            case BreakerState.OPEN:
                return False
            case BreakerState.HALF_OPEN:
                leased_s = self._clock.mono_s() - self._probe_since_mono_s
                return self._probe_id is None or leased_s >= self._settings.lease_s
