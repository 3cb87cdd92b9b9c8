"""Heartbeats: which threads have been silent for too long. Ring: domain."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from shared.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a thread's owner told about it.

    `allowed_s`: the longest silence; above the longest wait of the thread, or it is accused wrongly, and well below
    60 s. `restart`: replaces the thread; None when that cannot be done. `is_vital`: without it the process had
    better be started anew.
    """

    thread: str
    allowed_s: float
    restart: Callable[[], None] | None = None
    is_vital: bool = False


class Watchman(Protocol):
    """Who is told that threads live, and replaces those that do not; see `shared.watch.supervise.Supervisor`."""

    def watch(
        self,
        thread: str,
        *,
        allowed_s: float,
        restart: Callable[[], None] | None = None,
        is_vital: bool = False,
    ) -> None:
        """Expect beats."""
        ...

    def unwatch(self, thread: str) -> None:
        """Expect no more."""
        ...

    def beat(self, thread: str) -> None:
        """Take note of a sign of life."""
        ...


class Unwatched:
    """The watchman of threads that nobody watches."""

    def watch(
        self,
        thread: str,
        *,
        allowed_s: float,
        restart: Callable[[], None] | None = None,
        is_vital: bool = False,
    ) -> None:
        """Do nothing."""

    def unwatch(self, thread: str) -> None:
        """Do nothing."""

    def beat(self, thread: str) -> None:
        """Do nothing."""


NOBODY = Unwatched()


class Heartbeats:
    """Remembers each watched thread's last beat; safe for use by many threads."""

    def __init__(self, clock: Clock) -> None:
        """Start with nobody to watch."""
        self._clock = clock
        self._watched: dict[str, Watched] = {}
        self._beat_mono_s: dict[str, float] = {}
        self._excused_mono_s: dict[str, float] = {}

    def watch(self, watched: Watched) -> None:
        """Expect beats from now on."""
        self.beat(watched.thread)
        self._watched[watched.thread] = watched

    def unwatch(self, thread: str) -> None:
        """Expect no more beats: the thread has ended as it should."""
        self._watched.pop(thread, None)

    def beat(self, thread: str) -> None:
        """Write down that a thread is alive (0.2 µs)."""
        self._beat_mono_s[thread] = self._clock.mono_s()

    def excuse(self, thread: str) -> None:
        """Give a thread that was just replaced its full time to give a first sign; it stays silent until then."""
        self._excused_mono_s[thread] = self._clock.mono_s()

    def start_over(self) -> None:
        """Take all as alive: the whole process stood still, so that their silence means nothing."""
        for thread in list(self._watched):
            self.beat(thread)

    def silent_s(self, thread: str) -> float:
        """Tell for how long a thread has been silent."""
        return self._clock.mono_s() - self._beat_mono_s[thread]

    def silent(self) -> list[Watched]:
        """Name the threads that have been silent for longer than allowed."""
        return [w for w in list(self._watched.values()) if self.silent_s(w.thread) > w.allowed_s]

    def is_due(self, watched: Watched) -> bool:
        """Tell whether a silent thread should be replaced, for the first time or once more."""
        excused_mono_s = self._excused_mono_s.get(watched.thread, -math.inf)
        return self._clock.mono_s() - excused_mono_s > watched.allowed_s
