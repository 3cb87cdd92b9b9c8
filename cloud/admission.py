"""Who may come in: a fixed number of places, asked for before anything is decoded. Ring: domain.

When the house is full the next caller is refused at once and told when a place should be free, computed from the
measured rate of service.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import FireError

_SMOOTHING = 0.1  # weight of the newest service time; larger follows noise, smaller lags behind a slower model
_FIRST_GUESS_S = 0.1
_MAX_RETRY_AFTER_S = 30.0


class Admission:
    """Counts places; safe for use by many threads. Full means refuse, nothing waits here."""

    def __init__(self, places: int, clock: Clock) -> None:
        """Start empty with `places` ≥ 1."""
        self._places = places
        self._clock = clock
        self._lock = threading.Lock()
        self._taken = 0
        self._gap_s = _FIRST_GUESS_S
        self._last_left_mono_s: float | None = None

    @property
    def taken(self) -> int:
        """Tell how many places are taken now."""
        return self._taken

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for as long as one picture is in the house.

        Raises:
            FireError(CLOUD_OVERLOADED): all places are taken; carries Retry-After.
        """
        with self._lock:
            if self._taken >= self._places:
                raise self._full()
            self._taken += 1
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        now_mono_s = self._clock.mono_s()
        with self._lock:
            if self._last_left_mono_s is not None and self._taken > 1:
                gap_s = (
                    now_mono_s - self._last_left_mono_s
                )  # only while busy: idle time is no service time
                self._gap_s += _SMOOTHING * (gap_s - self._gap_s)
            self._last_left_mono_s = now_mono_s
            self._taken -= 1

    def _full(self) -> FireError:
        wait_s = min(_MAX_RETRY_AFTER_S, max(1.0, math.ceil(self._taken * self._gap_s)))
        detail = f"{self._taken} of {self._places} places taken"
        return FireError(ErrorCode.CLOUD_OVERLOADED, detail, retry_after_s=wait_s)
