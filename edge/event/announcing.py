"""Tells of changes of events as soon as they are kept, and soon after in any case. Ring: adapter (a thread).

Evidence is written before it is told of, as long as the disk answers; one that hangs or crawls holds up no alarm.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge.event.fire_event import EventChange, EventStep
from shared.clock import SystemClock
from shared.deadline import Deadline
from shared.logs import get_logger
from shared.types import Picture

_KEPT_WITHIN_S = 1.0  # half of the two seconds within which an alert must have been tried
_TICK_S = 1.0
# Changes of some fifty events, with their pictures some 20 MB. One is told within two seconds, whatever the disk does,
# so that more wait only where whoever tells hangs, and that is a trouble of its thread.
_MOST_NEWS = 200


class Announces(Protocol):
    """Who tells people; durable before it returns."""

    def announce(self, change: EventChange, snapshot: Picture | None) -> None:
        """Tell of a change."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _News:
    """What is to be told, when it is `kept` or its `deadline` has passed."""

    change: EventChange
    snapshot: Picture | None
    kept: threading.Event
    deadline: Deadline


class Announcer:
    """Owns the thread; `tell` may be called by many. `dropped` counts what did not fit and was not told."""

    def __init__(
        self,
        announces: Announces,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Keep whom to tell; `beat` shows that the thread lives."""
        self._announces = announces
        self._clock = SystemClock()  # what is waited for is a disk
        self._beat = beat
        self._ready = threading.Condition()
        self._news: deque[_News] = deque()
        self._is_stopping = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="announcer", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Tell what is left, and end."""
        with self._ready:
            self._is_stopping = True
            self._ready.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def tell(self, change: EventChange, snapshot: Picture | None, kept: threading.Event) -> None:
        """Have a change told, after all that came before it; never waits.

        Above the bound the oldest change that opens nothing leaves; where all open something, this one does.
        """
        deadline = Deadline.after(_KEPT_WITHIN_S, self._clock)
        with self._ready:
            self._news.append(_News(change=change, snapshot=snapshot, kept=kept, deadline=deadline))
            if len(self._news) > _MOST_NEWS:
                self._drop_one()
            self._ready.notify()

    def _drop_one(self) -> None:
        lesser = (news for news in self._news if news.change.step is not EventStep.OPENED)
        self._news.remove(next(lesser, self._news[-1]))
        self.dropped += 1

    def _next(self) -> _News | None:
        with self._ready:
            self._ready.wait_for(lambda: self._news or self._is_stopping, _TICK_S)
            return self._news.popleft() if self._news else None

    def _run(self) -> None:
        while True:
            self._beat()
            news = self._next()
            if news is None:
                if self._is_stopping:
                    return
                continue
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
