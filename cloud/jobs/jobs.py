"""Pictures that are asked about now and answered later: their states, and how long they are known. Ring: domain.

    queued ─▶ running ─▶ done | failed ─ ttl ─▶ expired ─ ttl ─▶ unknown

A job is visible to the caller who made it and to nobody else.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from cloud.jobs.answer import Answer
from shared.clock import Clock


class JobState(StrEnum):
    """Where a job stands; the values are the wire words."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job as its creator sees it; `position` counts the jobs before it while it is queued."""

    job_id: str
    owner: str
    state: JobState
    position: int = 0
    answer: Answer | None = None


class JobBook(Protocol):
    """Where jobs are known; safe for use by many threads."""

    def look(self, owner: str, job_id: str) -> Job | None:
        """Find a job of this caller; None: never heard of, forgotten, or somebody else's."""
        ...

    def remove(self, owner: str, job_id: str) -> Job | None:
        """Cancel a queued job, or forget any other, with its result; returns what it was.

        A job that is running goes on, since a model's run cannot be stopped, and its result is thrown away.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    job: Job
    number: int
    at_mono_s: float


class MemoryJobs:
    """Jobs of one process. At most `max_kept` finished ones hold results, at most as many more are known as expired."""

    def __init__(self, clock: Clock, *, ttl_s: float, max_kept: int) -> None:
        """Start empty."""
        self._clock = clock
        self._ttl_s = ttl_s
        self._max_kept = max_kept
        self._lock = threading.Lock()
        self._number = 0
        self._waiting: OrderedDict[str, _Entry] = OrderedDict()
        self._running: dict[str, _Entry] = {}
        self._finished: OrderedDict[str, _Entry] = OrderedDict()
        self._expired: OrderedDict[str, _Entry] = OrderedDict()
        self._tell_cancelled: Callable[[str], None] = lambda job_id: None

    def on_cancelled(self, tell: Callable[[str], None]) -> None:
        """Tell this listener the id of every job that is cancelled before its turn."""
        self._tell_cancelled = tell

    def __len__(self) -> int:
        """Tell how many jobs are known, in whatever state."""
        with self._lock:
            self._sweep()
            tables = (self._waiting, self._running, self._finished, self._expired)
            return sum(len(table) for table in tables)

    def add(self, owner: str, job_id: str) -> None:
        """Note a new job, the last in the queue."""
        job = Job(job_id=job_id, owner=owner, state=JobState.QUEUED)
        with self._lock:
            self._number += 1
            self._waiting[job_id] = _Entry(
                job=job, number=self._number, at_mono_s=self._clock.mono_s()
            )

    def start(self, job_id: str) -> bool:
        """Note that a job's turn has come; False: it was cancelled meanwhile."""
        with self._lock:
            entry = self._waiting.pop(job_id, None)
            if entry is None:
                return False
            self._running[job_id] = replace(entry, job=replace(entry.job, state=JobState.RUNNING))
            return True

    def finish(self, job_id: str, answer: Answer) -> bool:
        """Keep the answer of a job; False: nobody wants it any more."""
        with self._lock:
            entry = self._running.pop(job_id, None) or self._waiting.pop(job_id, None)
            if entry is None:
                return False
            state = JobState.DONE if answer.error is None else JobState.FAILED
            job = replace(entry.job, state=state, answer=answer)
            self._finished[job_id] = replace(entry, job=job, at_mono_s=self._clock.mono_s())
            self._sweep()
            return True

    def look(self, owner: str, job_id: str) -> Job | None:
        """Find a job of this caller."""
        with self._lock:
            self._sweep()
            entry = self._find(job_id)
            if entry is None or entry.job.owner != owner:
                return None
            if entry.job.state is JobState.QUEUED:
                before = sum(other.number < entry.number for other in self._waiting.values())
                return replace(entry.job, position=before)
            return entry.job

    def remove(self, owner: str, job_id: str) -> Job | None:
        """Cancel or forget a job."""
        with self._lock:
            self._sweep()
            entry = self._find(job_id)
            if entry is None or entry.job.owner != owner:
                return None
            for table in (self._waiting, self._running, self._finished, self._expired):
                table.pop(job_id, None)
        if entry.job.state is JobState.QUEUED:
            self._tell_cancelled(job_id)
        return entry.job

    def _find(self, job_id: str) -> _Entry | None:
        tables = (self._waiting, self._running, self._finished, self._expired)
        return next((table[job_id] for table in tables if job_id in table), None)

    def _sweep(self) -> None:
        now_mono_s = self._clock.mono_s()
        while self._finished and (
            len(self._finished) > self._max_kept or self._is_old(self._finished, now_mono_s)
        ):
            job_id, entry = self._finished.popitem(last=False)
            job = replace(entry.job, state=JobState.EXPIRED, answer=None)
            at_mono_s = min(now_mono_s, entry.at_mono_s + self._ttl_s)
            self._expired[job_id] = replace(entry, job=job, at_mono_s=at_mono_s)
        while self._expired and (
            len(self._expired) > self._max_kept or self._is_old(self._expired, now_mono_s)
        ):
            self._expired.popitem(last=False)

    def _is_old(self, table: OrderedDict[str, _Entry], now_mono_s: float) -> bool:
        return next(iter(table.values())).at_mono_s + self._ttl_s <= now_mono_s
