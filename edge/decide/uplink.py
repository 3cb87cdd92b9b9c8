"""A thin link's bytes: a token bucket, and the largest upload that fits. Ring: domain.

A frame goes up in the largest form that the bucket can pay now: as it came, or scaled down along a ladder.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from shared.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadForm:
    """How a frame is scaled before it is sent: longest side in pixels, JPEG quality."""

    long_side_px: int
    quality: int

    def estimated_bytes(self, original_bytes: int, original_long_side_px: int) -> int:
        """Guess the size: as it is when nothing is scaled, else bytes go with the pixels and the quality."""
        if original_long_side_px <= self.long_side_px:
            return original_bytes
        scale = self.long_side_px / original_long_side_px
        return int(original_bytes * scale * scale * (1.3 if self.quality >= 90 else 0.9))


_LOWER_RUNGS = (
    UploadForm(long_side_px=960, quality=75),
    UploadForm(long_side_px=640, quality=90),
    UploadForm(long_side_px=640, quality=75),
)
"""Below the configured form: down to the smallest that the detector, with its 416 px canvas, still reads well."""


class Uplink:
    """Counts bytes; safe for use by many threads. A rate of 0 is a link without a limit."""

    def __init__(
        self, *, best: UploadForm, bytes_per_s: int, burst_bytes: int, clock: Clock
    ) -> None:
        """Start with a full bucket; `best` is the form of a link that carries everything."""
        lower = (form for form in _LOWER_RUNGS if form.long_side_px < best.long_side_px)
        self._ladder = (best, *lower)
        self._rate = bytes_per_s
        self._burst = burst_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = float(burst_bytes)
        self._filled_mono_s = clock.mono_s()

    def available_bytes(self) -> float:
        """Tell what may be sent now; infinite without a limit."""
        if self._rate <= 0:
            return float("inf")
        with self._lock:
            self._fill()
            return self._tokens

    def choose(
        self, original_bytes: int, original_long_side_px: int, seconds: float
    ) -> UploadForm | None:
        """Choose the best form that the bucket can pay now and that arrives within `seconds`; None when none does."""
        can_pay = self.available_bytes()
        can_carry = self._rate * seconds if self._rate > 0 else float("inf")
        for form in self._ladder:
            needed = form.estimated_bytes(original_bytes, original_long_side_px)
            if needed <= min(can_pay, can_carry):
                return form
        return None

    def spend(self, sent_bytes: int) -> None:
        """Take what was really sent; a wrong guess makes the bucket owe."""
        if self._rate > 0:
            with self._lock:
                self._fill()
                self._tokens -= sent_bytes

    def _fill(self) -> None:
        now_mono_s = self._clock.mono_s()
        gained = (now_mono_s - self._filled_mono_s) * self._rate
        self._tokens = min(float(self._burst), self._tokens + gained)
        self._filled_mono_s = now_mono_s
