"""Keeps account of one camera: frames, times, rates, losses. Ring: domain.

Used by the camera's reading thread, its line thread, and whoever asks.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge.capture.state import CameraState, ViewFinding
from shared.clock import Clock
from shared.ids import new_id
from shared.types import ClockQuality, Frame, Picture

_LATE_AFTER_PERIODS = 5.0
# A Wi-Fi camera pauses for seconds; with the looks of a second this stays far below 60 s.
_LATE_AFTER_LEAST_S = 10.0
_RATE_FRAMES = 20  # over which the shown rate is smoothed
_LATEST_MARGIN = timedelta(seconds=2)  # a source's clock may be ahead of ours by this much


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraPlan:
    """What is expected of a camera.

    `max_age_s`: a live frame that is older when the line has time for it is dropped.
    """

    name: str
    address: str
    fps: float
    max_age_s: float

    @property
    def late_after_s(self) -> float:
        """Tell after how long without a frame the camera is late."""
        return max(_LATE_AFTER_LEAST_S, _LATE_AFTER_PERIODS / self.fps)


class CameraAccount:
    """The counts of one camera; safe for use by many threads."""

    def __init__(self, plan: CameraPlan, clock: Clock) -> None:
        """Start with nothing seen."""
        self.plan = plan
        self._clock = clock
        self._lock = threading.Lock()
        self._begun_mono_s = clock.mono_s()
        self._is_live = True
        self._frame_mono_s: float | None = None
        self._period_s: float | None = None
        self._quality: ClockQuality | None = None
        self._trouble: str | None = None
        self._has_ended = False
        self._received = self._stale = self._stale_run = self._replaced = 0

    def opened(self, *, is_live: bool) -> None:
        """Learn whether the source shows what happens now; a recording is never late, its frames never too old."""
        self._is_live = is_live

    def receive(
        self, picture: Picture, captured_at: datetime | None, capture_s: float | None = None
    ) -> Frame:
        """Make a frame of a picture that has just come, with what is known of its time."""
        now_at, now_mono_s = self._clock.now_at(), self._clock.mono_s()
        is_told = captured_at is not None and captured_at <= now_at + _LATEST_MARGIN
        frame = Frame(
            frame_id=new_id(now_at),
            camera=self.plan.name,
            picture=picture,
            captured_at=captured_at if captured_at is not None and is_told else now_at,
            clock_quality=ClockQuality.SOURCE if is_told else ClockQuality.RECEIVED,
            received_at=now_at,
            capture_s=capture_s,
            is_own=True,
        )
        with self._lock:
            if self._frame_mono_s is not None:
                self._note_period(now_mono_s - self._frame_mono_s)
            self._frame_mono_s = now_mono_s
            self._quality = frame.clock_quality
            self._received += 1
            self._trouble = None
        return frame

    def is_stale(self, frame: Frame) -> bool:
        """Tell whether a frame has become too old to be worth the line's time, and count it then."""
        if not self._is_live:
            return False
        age_s = (self._clock.now_at() - frame.captured_at).total_seconds()
        is_stale = age_s > self.plan.max_age_s
        with self._lock:
            self._stale += is_stale
            self._stale_run = self._stale_run + 1 if is_stale else 0
        return is_stale

    def complain(self, detail: str) -> None:
        """Write down why the camera cannot be read; the next frame ends that."""
        with self._lock:
            self._trouble = detail

    def end(self) -> None:
        """Write down that a recording is over."""
        with self._lock:
            self._has_ended = True

    def count_replaced(self) -> None:
        """Count a reader that was given up."""
        with self._lock:
            self._replaced += 1

    def state(
        self, *, skipped: int = 0, hanging: int = 0, view: tuple[ViewFinding, ...] = ()
    ) -> CameraState:
        """Tell how the camera is; what only its threads know is passed in."""
        now_mono_s = self._clock.mono_s()
        with self._lock:
            age_s = None if self._frame_mono_s is None else now_mono_s - self._frame_mono_s
            waited_s = age_s if age_s is not None else now_mono_s - self._begun_mono_s
            is_late = self._is_live and waited_s > self.plan.late_after_s
            return CameraState(
                name=self.plan.name,
                address=self.plan.address,
                frame_age_s=age_s,
                fps=0.0 if is_late or not self._period_s else 1.0 / self._period_s,
                received=self._received,
                skipped=skipped,
                stale=self._stale,
                stale_run=self._stale_run,
                replaced=self._replaced,
                hanging=hanging,
                late_s=waited_s if is_late else None,
                trouble=self._trouble,
                has_ended=self._has_ended,
                clock_quality=self._quality,
                view=view,
            )

    def _note_period(self, period_s: float) -> None:
        before_s = self._period_s if self._period_s is not None else period_s
        self._period_s = max(1e-3, before_s + (period_s - before_s) / _RATE_FRAMES)
