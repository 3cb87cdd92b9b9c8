"""How long the cloud takes, from real calls. Ring: domain."""

from __future__ import annotations

import threading
from collections import deque

from shared.clock import Clock

_WINDOW = 50  # calls; fewer follow one slow call, more miss that the link has changed
_MEMORY_S = 300.0  # older calls say nothing: a slow spell must not keep us from asking for ever
_FIRST_GUESS_S = 0.3


class Latency:
    """Percentiles of the last calls that were answered; safe for use by many threads."""

    def __init__(self, clock: Clock) -> None:
        """Start without any."""
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: deque[tuple[float, float]] = deque(maxlen=_WINDOW)

    def note(self, seconds: float) -> None:
        """Take in one answered call."""
        with self._lock:
            self._calls.append((self._clock.mono_s(), seconds))

    def known_percentile_s(self, share: float) -> float | None:
        """Tell the value below which `share` (0…1) of the last calls lay; None without recent calls."""
        oldest_mono_s = self._clock.mono_s() - _MEMORY_S
        with self._lock:
            ordered = sorted(s for at_mono_s, s in self._calls if at_mono_s >= oldest_mono_s)
        if not ordered:
            return None
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def percentile_s(self, share: float) -> float:
        """Tell the same, or a guess without recent calls."""
        known = self.known_percentile_s(share)
        return _FIRST_GUESS_S if known is None else known
