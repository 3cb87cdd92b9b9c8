"""Runs jobs beside the callers who wait: a bounded queue and a few threads. Ring: adapter.

Jobs go through the same decoder and session as everything else; at most `runners` of them are there at once, so that
callers who wait are not held up by a long queue of jobs.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cloud.jobs.answer import Answer
from cloud.jobs.jobs import MemoryJobs
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import FireError
from shared.logs import get_logger
from shared.types import Picture
from shared.watch.heartbeat import NOBODY, Watchman

_BEAT_S = 5.0
# Decoding and the model's answer in pieces of a few seconds are all that a job does.
_SILENT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One picture that somebody wants to know about later."""

    job_id: str
    owner: str
    picture: Picture
    deadline: Deadline
    callback_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSettings:
    """Bounds of the queue."""

    runners: int
    max_waiting: int
    max_waiting_bytes: int


class JobRunner:
    """Owns the threads. A full queue refuses the newest job."""

    def __init__(
        self,
        book: MemoryJobs,
        infer: Callable[[Picture, Deadline, Callable[[], None]], dict[str, Any]],
        on_finished: Callable[[Order, Answer], None],
        settings: RunnerSettings,
        watchman: Watchman = NOBODY,
    ) -> None:
        """Start the threads.

        Args:
            book: where states and results are kept.
            infer: gives the result of one picture or raises FireError; calls back every few seconds while it waits.
            on_finished: told every kept answer.
            settings: bounds.
            watchman: watches the threads.
        """
        self._book = book
        self._infer = infer
        self._on_finished = on_finished
        self._settings = settings
        self._changed = threading.Condition()
        self._orders: OrderedDict[str, Order] = OrderedDict()
        self._waiting_bytes = 0
        self._is_stopping = False
        self._gap_s = 0.1
        book.on_cancelled(self._forget)
        self._watchman = watchman
        self._threads = [
            threading.Thread(target=self._work, args=(name,), name=name, daemon=True)
            for name in (f"job-{n}" for n in range(settings.runners))
        ]
        for thread in self._threads:
            watchman.watch(thread.name, allowed_s=_SILENT_S)
            thread.start()

    def submit(self, order: Order) -> None:
        """Queue one job.

        Raises:
            FireError(CLOUD_OVERLOADED): too many jobs or bytes wait; carries Retry-After.
            FireError(HTTP_UNAVAILABLE): the service is stopping.
        """
        size = len(order.picture.encoded)
        limits = self._settings
        with self._changed:
            if self._is_stopping:
                raise FireError(ErrorCode.HTTP_UNAVAILABLE, "the service is stopping")
            is_full = len(self._orders) >= limits.max_waiting
            if is_full or self._waiting_bytes + size > limits.max_waiting_bytes:
                raise self._full()
            self._waiting_bytes += size
            self._book.add(order.owner, order.job_id)
            self._orders[order.job_id] = order
            self._changed.notify()

    def waiting(self) -> int:
        """Tell how many jobs wait."""
        return len(self._orders)

    def stop(self, timeout: Deadline) -> None:
        """Finish what is queued; what is left at the deadline fails and its creator is told so."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            self._watchman.unwatch(thread.name)
            thread.join(timeout.remaining_s())
        stopped = FireError(
            ErrorCode.HTTP_UNAVAILABLE, "the service stopped before this picture's turn"
        )
        while (order := self._next()) is not None:
            self._finish(order, Answer.of_error(stopped))

    def _full(self) -> FireError:
        waiting, limits = len(self._orders), self._settings
        in_bytes = f"{self._waiting_bytes} of {limits.max_waiting_bytes} bytes"
        detail = f"{waiting} of {limits.max_waiting} jobs wait, {in_bytes}"
        wait_s = min(60.0, max(1.0, waiting * self._gap_s / 2))
        return FireError(ErrorCode.CLOUD_OVERLOADED, detail, retry_after_s=wait_s)

    def _next(self, beat: Callable[[], None] = lambda: None) -> Order | None:
        """Wait for an order; None when the service stops and none is left."""
        with self._changed:
            while not (self._orders or self._is_stopping):
                beat()
                self._changed.wait(_BEAT_S)
            if not self._orders:
                return None
            _, order = self._orders.popitem(last=False)
            self._waiting_bytes -= len(order.picture.encoded)
            return order

    def _forget(self, job_id: str) -> None:
        """Let go of a picture whose job was cancelled before its turn."""
        with self._changed:
            order = self._orders.pop(job_id, None)
            if order is not None:
                self._waiting_bytes -= len(order.picture.encoded)

    def _work(self, name: str) -> None:
        beat = functools.partial(self._watchman.beat, name)
        while (order := self._next(beat)) is not None:
            beat()
            if not self._book.start(order.job_id):
                continue
            started_mono_s = order.deadline.clock.mono_s()
            self._finish(order, self._answer(order, beat))
            took_s = order.deadline.clock.mono_s() - started_mono_s
            with self._changed:
                self._gap_s += 0.1 * (took_s / self._settings.runners - self._gap_s)

    def _answer(self, order: Order, beat: Callable[[], None]) -> Answer:
        try:
            if order.deadline.has_passed():
                detail = "the job waited past its deadline and was not run"
                raise FireError(ErrorCode.DEADLINE_MISSED, detail)
            return Answer.of(self._infer(order.picture, order.deadline, beat))
        except FireError as err:
            return Answer.of_error(err)
        except Exception as err:  # thread top: one job must not end the others
            get_logger().error("job_failed", job_id=order.job_id, exc_info=err)
            return Answer.of_error(FireError(ErrorCode.INTERNAL, "see the log under this job's id"))

    def _finish(self, order: Order, answer: Answer) -> None:
        if not self._book.finish(order.job_id, answer):
            return
        try:
            self._on_finished(order, answer)
        except Exception as err:  # thread top: whoever is told must not end the others' jobs
            get_logger().error("job_not_told", job_id=order.job_id, exc_info=err)
