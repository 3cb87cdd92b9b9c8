"""The last minute of every camera, as JPEG frames in memory. Ring: domain.

Bounded twice: by time and rate per camera, and by bytes over all cameras; the camera that holds most gives way first,
so that one with large pictures does not shorten the others' minute.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import replace

from edge.event.fire_event import KeptFrame
from edge.fuse import Verdict
from shared.clock import Clock
from shared.types import Frame

_MOST_CAMERAS = 1024  # names may come with posts


class Preroll:
    """Rings of frames by camera; safe for use by many threads."""

    def __init__(self, *, length_s: float, fps: float, max_bytes: int, clock: Clock) -> None:
        """Start empty.

        Args:
            length_s: frames older than this are let go.
            fps: a frame that comes sooner after the last one replaces nothing and is not kept.
            max_bytes: of encoded pictures over all cameras.
            clock: whose monotonic reading orders the frames.
        """
        self._length_s = length_s
        self._apart_s = 0.9 / fps  # a tenth of slack: cameras do not keep time exactly
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._rings: OrderedDict[str, deque[tuple[float, KeptFrame]]] = OrderedDict()
        self._sizes: dict[str, int] = {}

    def put(self, frame: Frame, verdict: Verdict | None) -> None:
        """Keep a frame with its verdict; one without a camera, or a test's, is not kept."""
        if frame.camera is None or frame.is_test:
            return
        now_s = self._clock.mono_s()
        with self._lock:
            ring = self._rings.setdefault(frame.camera, deque())
            self._rings.move_to_end(frame.camera)
            if ring and now_s - ring[-1][0] < self._apart_s:
                return
            ring.append((now_s, KeptFrame(frame=frame, verdict=verdict)))
            self._book(frame.camera, len(frame.picture.encoded))
            self._trim(frame.camera, now_s)

    def amend(self, camera: str, verdict: Verdict) -> None:
        """Replace the verdict of a kept frame by the cloud's later one."""
        with self._lock:
            ring = self._rings.get(camera, deque())
            for index in range(len(ring) - 1, -1, -1):
                at_s, kept = ring[index]
                if kept.frame.frame_id == verdict.frame_id:
                    ring[index] = (at_s, replace(kept, verdict=verdict))
                    return

    def frames(self, camera: str) -> tuple[KeptFrame, ...]:
        """Give a camera's frames, oldest first."""
        with self._lock:
            return tuple(kept for _, kept in self._rings.get(camera, ()))

    def newest(self, camera: str) -> Frame | None:
        """Give a camera's newest frame, however old; None before the first."""
        with self._lock:
            ring = self._rings.get(camera)
            return ring[-1][1].frame if ring else None

    def held_bytes(self) -> int:
        """Tell how many bytes of pictures are held."""
        with self._lock:
            return sum(self._sizes.values())

    def _book(self, camera: str, more_bytes: int) -> None:
        self._sizes[camera] = self._sizes.get(camera, 0) + more_bytes

    def _trim(self, camera: str, now_s: float) -> None:
        ring = self._rings[camera]
        while ring[0][0] < now_s - self._length_s:
            self._drop_oldest(camera)
        while sum(self._sizes.values()) > self._max_bytes:
            self._drop_oldest(max(self._sizes, key=lambda name: self._sizes[name]))
        while len(self._rings) > _MOST_CAMERAS:
            self._forget(next(iter(self._rings)))

    def _drop_oldest(self, camera: str) -> None:
        _, kept = self._rings[camera].popleft()
        self._book(camera, -len(kept.frame.picture.encoded))

    def _forget(self, camera: str) -> None:
        del self._rings[camera], self._sizes[camera]
