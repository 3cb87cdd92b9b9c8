"""Tells of changes of events as soon as they are kept, and soon after in any case. Ring: adapter (a thread).

Evidence is written before it is told of, as long as the disk answers; one that hangs or crawls holds up no alarm.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge.fire_event import EventChange, EventStep
from shared.clock import SystemClock
from shared.deadline import Deadline
from shared.logs import get_logger
from shared.types import Picture

_KEPT_WITHIN_S = 1.0  # half of the two seconds within which an alert must have been tried
_TICK_S = 1.0


class Announces(Protocol):
    """Who tells people; durable before it returns."""

    def announce(self, change: EventChange, snapshot: Picture | None) -> None:
        """Tell of a change."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _News:
    """What is to be told, when it is `kept` or its `deadline` has passed."""

    change: EventChange
    snapshot: Picture | None
    kept: threading.Event
    deadline: Deadline


class Announcer:
    """Owns the thread; `tell` may be called by many."""

    def __init__(
        self,
        announces: Announces,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Keep whom to tell; `beat` shows that the thread lives."""
        self._announces = announces
        self._clock = SystemClock()  # what is waited for is a disk
        self._beat = beat
        self._news: queue.SimpleQueue[_News | None] = queue.SimpleQueue()  # events change rarely
        self._thread = threading.Thread(target=self._run, name="announcer", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Tell what is left, and end."""
        self._news.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def tell(self, change: EventChange, snapshot: Picture | None, kept: threading.Event) -> None:
        """Have a change told, after all that came before it; never waits."""
        deadline = Deadline.after(_KEPT_WITHIN_S, self._clock)
        self._news.put(_News(change=change, snapshot=snapshot, kept=kept, deadline=deadline))

    def _run(self) -> None:
        while True:
            self._beat()
            try:
                news = self._news.get(timeout=_TICK_S)
            except queue.Empty:
                continue
            if news is None:
                return
            news.kept.wait(news.deadline.remaining_s())
            _log(news.change)
            try:
                self._announces.announce(news.change, news.snapshot)
            except Exception as err:  # sink call: the next event must be told all the same
                event_id = news.change.event.event_id
                get_logger().error("announce_failed", event_id=event_id, exc_info=err)


def is_news(change: EventChange) -> bool:
    """Tell whether a change is worth a word: not when an event merely goes on."""
    return change.step is not EventStep.UPDATED or bool(change.why)


def _log(change: EventChange) -> None:
    """Write down when an event begins, changes and ends."""
    event = change.event
    get_logger().warning(
        f"event_{change.step.value}",
        event_id=event.event_id,
        camera=event.camera,
        severity=event.severity.value,
        grade=event.grade.value,
        zone=event.zone,
        peak=round(event.peak, 3),
        **({"why": change.why} if change.why else {}),
        **({"is_test": True} if event.is_test else {}),
    )
