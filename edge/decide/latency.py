"""How long the cloud takes, from real calls. Ring: domain."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from shared.clock import Clock

_WINDOW = 50  # calls; fewer follow one slow call, more miss that the link has changed
_MEMORY_S = 300.0  # older calls say nothing: a slow spell must not keep us from asking for ever
_FIRST_GUESS_S = 0.3
_BIN_S = 300.0
_BINS = 12  # an hour
_BIN_CALLS = 200  # of one bin, the newest; enough for a 90th percentile, 20 kB for an hour in all


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyBin:
    """The calls of five minutes: seconds between now and their middle, median and 90th percentile in seconds."""

    age_s: float
    calls: int
    median_s: float
    p90_s: float


class Latency:
    """Percentiles of the last calls that were answered; safe for use by many threads."""

    def __init__(self, clock: Clock) -> None:
        """Start without any."""
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: deque[tuple[float, float]] = deque(maxlen=_WINDOW)
        self._bins: OrderedDict[int, deque[float]] = OrderedDict()

    def note(self, seconds: float) -> None:
        """Take in one answered call."""
        now_mono_s = self._clock.mono_s()
        number = int(now_mono_s // _BIN_S)
        with self._lock:
            self._calls.append((now_mono_s, seconds))
            self._bins.setdefault(number, deque(maxlen=_BIN_CALLS)).append(seconds)
            while len(self._bins) > _BINS:
                self._bins.popitem(last=False)

    def known_percentile_s(self, share: float) -> float | None:
        """Tell the value below which `share` (0…1) of the last calls lay; None without recent calls."""
        oldest_mono_s = self._clock.mono_s() - _MEMORY_S
        with self._lock:
            ordered = sorted(s for at_mono_s, s in self._calls if at_mono_s >= oldest_mono_s)
        return _percentile_s(ordered, share) if ordered else None

    def percentile_s(self, share: float) -> float:
        """Tell the same, or a guess without recent calls."""
        known = self.known_percentile_s(share)
        return _FIRST_GUESS_S if known is None else known

    def history(self) -> tuple[LatencyBin, ...]:
        """Tell the last hour in steps of five minutes, oldest first; steps without a call are left out."""
        now_mono_s = self._clock.mono_s()
        first = int(now_mono_s // _BIN_S) - _BINS + 1
        with self._lock:
            bins = [(n, sorted(calls)) for n, calls in self._bins.items() if n >= first]
        return tuple(
            LatencyBin(
                age_s=max(0.0, now_mono_s - (number + 0.5) * _BIN_S),
                calls=len(ordered),
                median_s=_percentile_s(ordered, 0.5),
                p90_s=_percentile_s(ordered, 0.9),
            )
            for number, ordered in bins
        )


def _percentile_s(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
