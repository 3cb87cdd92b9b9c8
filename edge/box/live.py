"""What each camera shows now: its newest frame, what was said of it, and the last two minutes. Ring: domain.

Feeds the pages only; everything is bounded and forgotten at a restart. Safe for use by many threads.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field, replace

from edge.fuse import Verdict
from shared.clock import Clock
from shared.types import Frame, Label, Source

HISTORY_S = 120.0
_MOMENT_S = 0.4  # about a pixel of the sparkline; frames within it are one moment
_MOST_MOMENTS = int(HISTORY_S / _MOMENT_S) + 8
_RATE_OVER = 32  # frames; 16 s at two a second
# Names come with posted frames, too; the one that was silent longest makes room.
_MOST_CAMERAS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One point of a camera's history: P(fire or smoke) 0…1, and whether the cloud was asked and saw something.

    `has_seen` is None where the cloud was not asked, or has not answered.
    """

    at_mono_s: float
    frame_id: str
    presence: float
    has_seen: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A camera as it looks now: its newest frame, when it came (monotonic seconds), and the verdict if there is one.

    `judged_per_s` is the rate of the last frames that got a verdict; None before the second one.
    """

    frame: Frame
    at_mono_s: float
    verdict: Verdict | None
    judged_per_s: float | None
    history: tuple[Moment, ...]


@dataclass(slots=True)
class _Camera:
    frame: Frame
    at_mono_s: float
    verdict: Verdict | None = None
    judged_mono_s: deque[float] = field(default_factory=lambda: deque(maxlen=_RATE_OVER))
    moments: deque[Moment] = field(default_factory=lambda: deque(maxlen=_MOST_MOMENTS))


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudHeard:
    """The last answer of the cloud: which model gave it, and how long that says it took."""

    model: dict[str, str]
    took_s: float | None


class LiveView:
    """Takes in frames and verdicts and tells the last of them."""

    def __init__(self, clock: Clock) -> None:
        """Start without any camera."""
        self._clock = clock
        self._lock = threading.Lock()
        self._cameras: dict[str, _Camera] = {}
        self.cloud: CloudHeard | None = None

    def see(self, frame: Frame) -> None:
        """Take in a frame that nobody could judge."""
        if frame.camera is not None:
            with self._lock:
                self._take(frame.camera, frame)

    def note(self, frame: Frame, verdict: Verdict) -> None:
        """Take in a verdict with its frame; an amendment adds what the cloud said to the moment it belongs to."""
        if verdict.source is Source.CLOUD:
            self.cloud = CloudHeard(model=verdict.model, took_s=verdict.cloud_s)
        if frame.camera is None:
            return
        with self._lock:
            known = self._cameras.get(frame.camera)
            if verdict.is_amendment and known is not None:
                self._amend(known, verdict)
                return
            camera = self._take(frame.camera, frame)
            camera.verdict = verdict
            camera.judged_mono_s.append(camera.at_mono_s)
            self._add(camera.moments, verdict)

    def look(self, camera: str) -> Look | None:
        """Tell how a camera looks; None before its first frame."""
        oldest_mono_s = self._clock.mono_s() - HISTORY_S
        with self._lock:
            known = self._cameras.get(camera)
            if known is None:
                return None
            history = tuple(m for m in known.moments if m.at_mono_s >= oldest_mono_s)
            return Look(
                frame=known.frame,
                at_mono_s=known.at_mono_s,
                verdict=known.verdict,
                judged_per_s=_rate(known.judged_mono_s),
                history=history,
            )

    def cameras(self) -> tuple[str, ...]:
        """Name every camera that gave a frame, the one that was silent longest first."""
        with self._lock:
            return tuple(self._cameras)

    def _take(self, name: str, frame: Frame) -> _Camera:
        now_mono_s = self._clock.mono_s()
        camera = self._cameras.pop(name, None) or _Camera(frame=frame, at_mono_s=now_mono_s)
        camera.frame, camera.at_mono_s, camera.verdict = frame, now_mono_s, None
        self._cameras[name] = camera
        if len(self._cameras) > _MOST_CAMERAS:
            del self._cameras[next(iter(self._cameras))]
        return camera

    def _add(self, moments: deque[Moment], verdict: Verdict) -> None:
        moment = Moment(
            at_mono_s=self._clock.mono_s(),
            frame_id=verdict.frame_id,
            presence=verdict.edge.presence,
            has_seen=_has_seen(verdict),
        )
        last = moments[-1] if moments else None
        is_same = last is not None and moment.at_mono_s - last.at_mono_s < _MOMENT_S
        if last is None or not is_same or moment.has_seen is not None or verdict.is_pending:
            moments.append(moment)
        elif moment.presence > last.presence:
            moments[-1] = replace(last, presence=moment.presence)

    def _amend(self, camera: _Camera, verdict: Verdict) -> None:
        if verdict.frame_id == camera.frame.frame_id:
            camera.verdict = verdict
        for index in range(len(camera.moments) - 1, -1, -1):
            if camera.moments[index].frame_id == verdict.frame_id:
                has_seen = _has_seen(verdict)
                camera.moments[index] = replace(camera.moments[index], has_seen=has_seen)
                return


def _rate(at_mono_s: deque[float]) -> float | None:
    span_s = at_mono_s[-1] - at_mono_s[0] if at_mono_s else 0.0
    return (len(at_mono_s) - 1) / span_s if span_s > 0 else None


def _has_seen(verdict: Verdict) -> bool | None:
    return verdict.label is not Label.NONE if verdict.source is Source.CLOUD else None
