"""The engine of one process: a bounded queue and one thread that owns the session. Ring: adapter.

The thread takes whatever is queued, up to `max_batch`, and never waits to fill a batch: on a CPU a batch saves
nothing, and a waiting picture only grows older.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud.engine import BatchReport, BatchRunner, run_each
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import FireError
from shared.logs import get_logger
from shared.model.detect import RawOutput
from shared.watch.heartbeat import NOBODY, Watchman

_THREAD = "session"
_BEAT_S = 1.0
_SILENT_S = 30.0  # no batch takes this long, on whatever machine; a card that hangs takes for ever


class Promise(Future[RawOutput]):
    """The output to come; `started_mono_s` tells when the session took the picture, None before."""

    started_mono_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Job:
    run_batch: BatchRunner
    tensor: NDArray[np.float32]
    deadline: Deadline
    queued_mono_s: float
    future: Promise


class LocalEngine:
    """Owns the session thread. The queue holds `capacity` pictures; when it is full `submit` refuses."""

    def __init__(
        self,
        run_batch: BatchRunner,
        *,
        capacity: int,
        max_batch: int,
        report: Callable[[BatchReport], None] = lambda report: None,
        watchman: Watchman = NOBODY,
    ) -> None:
        """Start the thread; without it nothing is answered, so that it is vital to `watchman`."""
        self._run_batch = run_batch
        self._max_batch = max_batch
        self._report = report
        self._watchman = watchman
        # One more for the end mark.
        self._queue: queue.Queue[_Job | None] = queue.Queue(maxsize=capacity + 1)
        self._capacity = capacity
        self._running: list[_Job] = []
        self._is_stopping = False
        self._thread = threading.Thread(target=self._work, name=_THREAD, daemon=True)
        watchman.watch(_THREAD, allowed_s=_SILENT_S, is_vital=True)
        self._thread.start()

    def submit(
        self,
        tensor: NDArray[np.float32],
        deadline: Deadline,
        run_batch: BatchRunner | None = None,
    ) -> Promise:
        """Queue one picture for the model that prepared it, `run_batch`; None is the one in use.

        Raises:
            FireError(CLOUD_OVERLOADED): the queue is full.
            FireError(HTTP_UNAVAILABLE): the service is stopping.
        """
        if self._is_stopping:
            raise FireError(ErrorCode.HTTP_UNAVAILABLE, "the service is stopping")
        job = _Job(
            run_batch=run_batch or self._run_batch,
            tensor=tensor,
            deadline=deadline,
            queued_mono_s=deadline.clock.mono_s(),
            future=Promise(),
        )
        try:
            if self._queue.qsize() >= self._capacity:
                raise queue.Full
            self._queue.put_nowait(job)
        except queue.Full as err:
            detail = f"{self._capacity} pictures wait already"
            raise FireError(ErrorCode.CLOUD_OVERLOADED, detail, retry_after_s=1.0) from err
        return job.future

    def use(self, run_batch: BatchRunner) -> None:
        """Let another model run what is submitted from now on, and let go of the one before."""
        self._run_batch = run_batch

    def queued(self) -> int:
        """Tell how many pictures wait."""
        return self._queue.qsize()

    def stop(self, timeout_s: float) -> None:
        """Finish what is queued, then end the thread; what is left fails, also what the model is still at work on."""
        self._is_stopping = True
        self._watchman.unwatch(_THREAD)
        with contextlib.suppress(queue.Full):  # then it does not sleep, and sees for itself
            self._queue.put_nowait(None)
        self._thread.join(timeout_s)
        detail = "the service stopped before this picture's turn"
        with contextlib.suppress(queue.Empty):  # a thread that is late may still take some itself
            while True:
                job = self._queue.get_nowait()
                if job is not None:
                    _fail(job, FireError(ErrorCode.HTTP_UNAVAILABLE, detail))
        for job in self._running:
            detail = "the service stopped while the model was at work"
            # No 503, which would say to whoever pays that it certainly did not run.
            _fail(job, FireError(ErrorCode.CLOUD_TIMEOUT, detail))

    def _work(self) -> None:
        while True:
            self._watchman.beat(_THREAD)
            try:
                first = self._queue.get(timeout=_BEAT_S)
            except queue.Empty:
                if self._is_stopping:
                    return
                continue
            if first is None:
                return
            self._running, is_last = self._take_queued(first)
            try:
                self._serve(self._running)
            except Exception as err:  # thread top: one bad turn must not end the service
                get_logger().error("session_turn_failed", pictures=len(self._running), exc_info=err)
                for job in self._running:
                    _fail(job, FireError(ErrorCode.INTERNAL, "see the log of that moment"))
            self._running = []
            if is_last:
                return

    def _take_queued(self, first: _Job) -> tuple[list[_Job], bool]:
        jobs = [first]
        while len(jobs) < self._max_batch:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return jobs, True
            jobs.append(job)
        return jobs, False

    def _serve(self, jobs: list[_Job]) -> None:
        clock = jobs[0].deadline.clock
        started_mono_s = clock.mono_s()
        live = []
        for job in jobs:
            if job.deadline.has_passed():
                _fail(
                    job,
                    FireError(
                        ErrorCode.DEADLINE_MISSED,
                        "the picture waited past its deadline and was not run",
                    ),
                )
            elif job.future.set_running_or_notify_cancel():
                job.future.started_mono_s = started_mono_s
                live.append(job)
        for _, same in itertools.groupby(live, key=lambda job: job.run_batch):
            self._run(list(same))
        self._report(
            BatchReport(
                size=len(live),
                waits_s=tuple(started_mono_s - job.queued_mono_s for job in live),
                run_s=clock.mono_s() - started_mono_s,
                dropped=len(jobs) - len(live),
            )
        )

    def _run(self, jobs: list[_Job]) -> None:
        outcomes = run_each(jobs[0].run_batch, [job.tensor for job in jobs])
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, FireError):
                _fail(job, outcome)
            else:
                with contextlib.suppress(InvalidStateError):  # the service stopped meanwhile
                    job.future.set_result(outcome)


def _fail(job: _Job, error: FireError) -> None:
    # Asking first would not help: its caller may take the picture back at this very moment.
    with contextlib.suppress(InvalidStateError):
        job.future.set_exception(error)
