"""How long the cloud takes, from real calls. Ring: domain."""

from __future__ import annotations

import threading
from collections import deque

_WINDOW = 50  # calls; fewer follow one slow call, more miss that the link has changed
_FIRST_GUESS_S = 0.3


class Latency:
    """Percentiles of the last calls that were answered; safe for use by many threads."""

    def __init__(self) -> None:
        """Start with a guess."""
        self._lock = threading.Lock()
        self._seconds: deque[float] = deque(maxlen=_WINDOW)

    def note(self, seconds: float) -> None:
        """Take in one answered call."""
        with self._lock:
            self._seconds.append(seconds)

    def percentile_s(self, share: float) -> float:
        """Tell the value below which `share` (0…1) of the last calls lay; a guess before the first."""
        with self._lock:
            ordered = sorted(self._seconds)
        if not ordered:
            return _FIRST_GUESS_S
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
