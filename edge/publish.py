"""What follows an answer - books and log lines - on a thread of its own, in order. Ring: adapter (thread).

A verdict's books touch much code that the model has driven out of the CPU's caches; done for several verdicts in a
row they cost a third. And no caller waits for them.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from prometheus_client import Metric

from shared.logs import get_logger

_T = TypeVar("_T")
# How long the first of a batch waits for others: a crash loses at most the lines of this time. Shorter batches are
# too small to save anything, longer ones delay the log for a person who watches it.
_GATHER_S = 0.02
_MOST_WAITING = (
    1000  # beyond this the caller does its own books; it is some 6 s of work at full load
)
_FLUSH_S = 2.0


class Publisher(Generic[_T]):
    """Does `work` for each item in the order of `put`; safe for use by many threads."""

    def __init__(self, work: Callable[[_T], None]) -> None:
        """Start the thread."""
        self._work = work
        self._items: queue.SimpleQueue[_T | threading.Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)
        self._thread.start()

    def put(self, item: _T) -> None:
        """Have an item worked on soon."""
        if self._items.qsize() < _MOST_WAITING:
            self._items.put(item)
        else:
            self._do(item)

    def flush(self) -> None:
        """Wait until everything put so far is done, at most two seconds."""
        done = threading.Event()
        self._items.put(done)
        done.wait(_FLUSH_S)

    def stop(self) -> None:
        """Do what is left and end the thread."""
        self._items.put(None)
        self._thread.join(_FLUSH_S)

    def collect(self) -> Iterable[Metric]:
        """Give no metrics; registered before all others, it brings them up to date when they are read."""
        self.flush()
        return ()

    def _run(self) -> None:
        while (item := self._items.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            if self._items.empty():
                time.sleep(_GATHER_S)
            self._do(item)

    def _do(self, item: _T) -> None:
        try:
            self._work(item)
        except Exception as err:  # sink call: one verdict's books must not take the others' down
            get_logger().error("publish_failed", exc_info=err)
