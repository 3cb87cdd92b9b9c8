"""How often one caller may ask for something: a bucket of tokens each. Ring: domain."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import FireError

_MOST_CALLERS = 10_000  # above, the one that was silent longest starts with a full bucket again


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_mono_s: float


class RateLimit:
    """A bucket a caller holds `burst` tokens and is refilled at `per_s`; safe for use by many threads."""

    def __init__(self, clock: Clock, *, per_s: float, burst: int, unit: str = "pictures") -> None:
        """Start with full buckets; `per_s` 0 switches the limit off; `unit` names what is counted."""
        self._clock = clock
        self._unit = unit
        self._per_s = per_s
        self._burst = float(burst)
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, caller: str, count: int = 1) -> None:
        """Take `count` tokens; more than the bucket holds need a full one.

        Raises:
            FireError(HTTP_RATE_LIMITED): carries when there will be enough.
        """
        if self._per_s <= 0:
            return
        wanted = min(float(count), self._burst)
        with self._lock:
            bucket = self._refilled(caller)
            if bucket.tokens >= wanted:
                bucket.tokens -= count
                return
            wait_s = (wanted - bucket.tokens) / self._per_s
        detail = (
            f"more than {self._per_s:g} {self._unit} a second; {wanted:g} more in {wait_s:.1f} s"
        )
        raise FireError(ErrorCode.HTTP_RATE_LIMITED, detail, retry_after_s=wait_s)

    def _refilled(self, caller: str) -> _Bucket:
        now_mono_s = self._clock.mono_s()
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._buckets[caller] = _Bucket(tokens=self._burst, at_mono_s=now_mono_s)
            while len(self._buckets) > _MOST_CALLERS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(caller)
        gained = (now_mono_s - bucket.at_mono_s) * self._per_s
        bucket.tokens = min(self._burst, bucket.tokens + gained)
        bucket.at_mono_s = now_mono_s
        return bucket
