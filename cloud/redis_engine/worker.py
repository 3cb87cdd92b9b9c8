"""The other end of the queue in Redis: takes pictures, runs the model, answers. Ring: adapter.

A picture that was taken and not answered belongs to a dead worker after `claim_s`; another takes it over, alone, so
that a picture that kills workers takes no other with it. After `deliveries` it is given up.
"""

from __future__ import annotations

import functools
import os
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from cloud.engine import BatchReport, run_each
from cloud.jobs.answer import Answer
from cloud.jobs.callbacks import Callbacks, callback_body
from cloud.metrics import RunMetrics
from cloud.model.slot import DetectorSlot, why_closed
from cloud.redis_engine.link import GROUP, RedisLink, Started
from cloud.redis_engine.reload import ReloadBoard, ReloadListener
from cloud.redis_engine.status import WorkerStatus
from cloud.wire import result_of
from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import FireError
from shared.logs import get_logger
from shared.model.detector import Detector
from shared.picture.imaging import read_picture
from shared.picture.preprocess import Prepared
from shared.types import ImageLimits, Picture
from shared.watch.supervise import Supervisor

_THREAD, _BEATER = "worker", "worker-beat"
_SILENT_S = 30.0  # above the longest batch, and the longest wait for Redis
_BEAT_S = 2.0
_ALIVE_S = 10
_PAUSE_S = 0.5
_LATER_EVERY = 4
_FIRST = "0-0"
_LOOK_BEHIND_S = 0.25  # with half a second's wait for work, what a dead worker left is taken up 0.75 s after claim_s
_Named = tuple[bytes, dict[bytes, bytes]]  # an entry as the redis package gives it
_WAITER_S = 30  # an answer that nobody fetches by an id is kept for whoever waits for it only


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How one worker works."""

    max_batch: int
    later_at_once: int
    decoders: int
    claim_s: float
    deliveries: int
    ttl_s: float
    cost: float
    limits: ImageLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One picture as it came out of a stream."""

    stream: str
    entry: str
    job_id: str
    encoded: bytes
    wait_ms: int
    is_given_up: bool = False

    @property
    def queued_ms(self) -> int:
        """Tell when it was queued, by Redis' clock: an entry's name begins with it."""
        return int(self.entry.partition("-")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One picture that this worker works on."""

    entry: _Entry
    started: Started

    @property
    def waited_ms(self) -> float:
        """Tell how long it waited, by Redis' clock."""
        return float(max(0, self.started.now_ms - self.entry.queued_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """One picture ready for the network."""

    of: _Task
    picture: Picture
    prepared: Prepared


class Worker:
    """Runs until told to stop; a batch that was begun is finished."""

    def __init__(
        self,
        settings: WorkerSettings,
        link: RedisLink,
        slot: DetectorSlot,
        clock: Clock,
        callbacks: Callbacks,
        supervisor: Supervisor,
        metrics: RunMetrics,
    ) -> None:
        """Keep what it works with; the slot's model is loaded. What `supervisor` finds is told to the front ends."""
        self._supervisor = supervisor
        self._metrics = metrics
        self._settings = settings
        self._link = link
        self._slot = slot
        self._clock = clock
        self._callbacks = callbacks
        self.is_stopping = threading.Event()
        self._looked_mono_s = float("-inf")
        self._turns = 0
        self._decoders = ThreadPoolExecutor(settings.decoders, thread_name_prefix="decode")
        self.name = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
        self._reloads = ReloadListener(ReloadBoard(link), self.name, slot.reload)

    def run(self) -> None:
        """Work until `stop`; while Redis is away try again and again."""
        beat = threading.Thread(target=self._beat, name=_BEATER, daemon=True)
        self._supervisor.watch(_THREAD, allowed_s=_SILENT_S, is_vital=True)
        self._supervisor.watch(_BEATER, allowed_s=_SILENT_S)
        beat.start()
        is_connected: bool | None = None
        while not self.is_stopping.is_set():
            self._supervisor.beat(_THREAD)
            try:
                if not is_connected:
                    self._link.prepare()
                self._turn()
                if not is_connected:
                    get_logger().info("worker_connected", worker=self.name)
                is_connected = True
            except FireError as err:
                if is_connected is not False:
                    get_logger().error("worker_turn_failed", detail=err.detail)
                is_connected = False
                self.is_stopping.wait(_PAUSE_S)
            except Exception as err:  # thread top: one bad turn must not end the worker
                get_logger().error("worker_turn_failed", exc_info=err)
                self.is_stopping.wait(_PAUSE_S)
        beat.join(timeout=_BEAT_S)
        self._decoders.shutdown()

    def stop(self) -> None:
        """End after the batch that runs now."""
        self.is_stopping.set()

    def _turn(self) -> None:
        """Do one batch: what a dead worker left, one at a time, then callers who wait, then jobs."""
        if why_closed(self._slot):  # told with each beat; a sound version may come
            self.is_stopping.wait(_PAUSE_S)
            return
        if self._clock.mono_s() - self._looked_mono_s >= _LOOK_BEHIND_S:
            for stream in (self._link.now, self._link.later):
                while not self.is_stopping.is_set() and (entries := self._claim(stream)):
                    self._work(entries)
            self._looked_mono_s = self._clock.mono_s()
        entries, most = self._read(), self._settings.max_batch
        for at in range(0, len(entries), most):  # who waits comes first, and waits for no job
            self._work(entries[at : at + most])

    def _read(self) -> list[_Entry]:
        link, most = self._link, self._settings.max_batch
        entries = self._read_from([link.now], most, None)
        if not entries:
            at_once = min(most, self._settings.later_at_once)
            block_ms = max(1, round(500 * link.longest_block_s))
            return self._read_from([link.now, link.later], at_once, block_ms)
        self._turns += 1
        if self._turns % _LATER_EVERY == 0:  # callers who never stop coming do not starve the jobs
            entries += self._read_from([link.later], 1, None)
        return entries

    def _read_from(self, streams: Sequence[str], count: int, block_ms: int | None) -> list[_Entry]:
        link = self._link
        found = link.ask(
            lambda: link.client.xreadgroup(
                GROUP, self.name, dict.fromkeys(streams, ">"), count=count, block=block_ms
            )
        )
        return [
            entry for stream, named in found or () for entry in self._legible(_text(stream), named)
        ]

    def _legible(self, stream: str, named: Sequence[_Named]) -> list[_Entry]:
        """Read entries. One that cannot be read is taken out, or all workers would stumble over it for ever."""
        entries = []
        for name, fields in named:
            try:
                if fields:  # none when it was deleted meanwhile
                    entries.append(_entry(stream, name, fields))
            except (KeyError, ValueError) as err:
                get_logger().error("entry_not_legible", entry=_text(name), detail=repr(err))
                self._link.discard(stream, name)
        return entries

    def _claim(self, stream: str) -> list[_Entry]:
        """Take over one picture that a silent worker was given."""
        link, idle_ms = self._link, round(1000 * self._settings.claim_s)
        cursor = _FIRST
        while (
            True
        ):  # one call looks at ten entries only, and those may all belong to workers that live
            claim = functools.partial(
                link.client.xautoclaim, stream, GROUP, self.name, idle_ms, start_id=cursor, count=1
            )
            cursor, claimed, *_ = link.ask(claim)
            taken = self._legible(stream, claimed)
            if taken or _text(cursor) == _FIRST:
                return [self._taken_over(entry) for entry in taken]

    def _taken_over(self, entry: _Entry) -> _Entry:
        """Say that a picture changed hands, or mark it as given up after too many deaths."""
        is_too_often = self._deliveries(entry) > self._settings.deliveries
        event = "picture_given_up" if is_too_often else "picture_taken_over"
        get_logger().warning(event, job_id=entry.job_id)
        return replace(entry, is_given_up=is_too_often)

    def _deliveries(self, entry: _Entry) -> int:
        link = self._link
        found = link.ask(
            lambda: link.client.xpending_range(
                entry.stream, GROUP, min=entry.entry, max=entry.entry, count=1
            )
        )
        return int(found[0]["times_delivered"]) if found else 0

    def _work(self, entries: list[_Entry]) -> None:
        detector = self._slot.current
        if not entries or detector is None:
            return
        started_mono_s = self._clock.mono_s()
        wanted = [task for entry in entries if (task := self._taken(entry)) is not None]
        prepare = functools.partial(self._prepare, detector)
        prepared = self._decoders.map(prepare, wanted) if len(wanted) > 1 else map(prepare, wanted)
        ready = [one for one in prepared if one is not None]
        if not ready:
            return
        decoded_mono_s = self._clock.mono_s()
        outcomes = run_each(detector.run_batch, [one.prepared.tensor for one in ready])
        if detector.trouble:  # not answered: another worker takes these pictures over
            self.stop()
            return
        run_s = self._clock.mono_s() - decoded_mono_s
        waits_s = tuple(one.of.waited_ms / 1000 for one in ready)
        report = BatchReport(size=len(ready), waits_s=waits_s, run_s=run_s, dropped=0)
        self._metrics.observe_batch(report)
        stage_ms = {"decode": 1000 * (decoded_mono_s - started_mono_s), "infer": 1000 * run_s}
        for one, outcome in zip(ready, outcomes, strict=True):
            if isinstance(outcome, FireError):
                self._answer(one.of, Answer.of_error(outcome))
                continue
            stages = {"queue": one.of.waited_ms, **stage_ms}
            self._metrics.observe_stages(stages)
            finding = detector.finding(outcome, one.prepared.letterbox)
            result = result_of(
                finding,
                detector.identity,
                one.picture,
                cost=self._settings.cost,
                took_ms=sum(stages.values()),
            )
            self._answer(one.of, Answer.of(result), stages)

    def _taken(self, entry: _Entry) -> _Task | None:
        """Take a picture up; None when it was cancelled, given up, or came too late."""
        started = self._link.start(entry.stream, entry.job_id)
        task = _Task(entry=entry, started=started)
        if not started.is_wanted:
            self._answer(task, Answer())
        elif entry.is_given_up:
            detail = f"{self._settings.deliveries} workers died over it"
            self._answer(task, Answer.of_error(FireError(ErrorCode.JOB_GIVEN_UP, detail)))
        elif task.waited_ms > entry.wait_ms:
            detail = "the picture waited past its deadline and was not run"
            self._answer(task, Answer.of_error(FireError(ErrorCode.DEADLINE_MISSED, detail)))
        else:
            return task
        return None

    def _prepare(self, detector: Detector, task: _Task) -> _Ready | None:
        try:
            picture = read_picture(task.entry.encoded, self._settings.limits)
            return _Ready(of=task, picture=picture, prepared=detector.prepare(picture))
        except FireError as err:
            self._answer(task, Answer.of_error(err))
        except Exception as err:  # batch item: one picture must not fail the others
            get_logger().error("picture_failed", job_id=task.entry.job_id, exc_info=err)
            internal = FireError(ErrorCode.INTERNAL, "see the log of the workers")
            self._answer(task, Answer.of_error(internal))
        return None

    def _answer(self, task: _Task, answer: Answer, stages: dict[str, float] | None = None) -> None:
        link, entry, ttl_s = self._link, task.entry, max(1, round(self._settings.ttl_s))
        is_waited_for = entry.stream == link.now
        if task.started.claim:
            is_retryable = answer.error is not None and answer.error.row.retryable
            link.settle(task.started.claim, None if is_retryable else answer, ttl_s)
        told = answer
        if stages is not None and is_waited_for:
            told = Answer.of({**answer.result(), "stage_ms": stages})
        life_s = min(ttl_s, _WAITER_S) if is_waited_for else ttl_s
        is_kept = link.finish(
            entry.stream, entry.entry, entry.job_id, told, ttl_s=life_s, size=len(entry.encoded)
        )
        if not is_kept or is_waited_for:  # whoever waits is counted where it waits
            return
        state = self._metrics.job_finished(answer)
        if task.started.callback_url:
            body = callback_body(entry.job_id, state, answer)
            self._callbacks.send(entry.job_id, task.started.callback_url, body)

    def _beat(self) -> None:
        """Say every two seconds that this worker lives, and what it runs."""
        link = self._link
        while True:
            self._supervisor.beat(_BEATER)
            try:
                self._tell()
                self._quietly(self._reloads.look)
            except Exception as err:  # thread top: a worker that falls silent counts as dead
                get_logger().error("worker_beat_failed", exc_info=err)
            if self.is_stopping.wait(_BEAT_S):
                break
        self._quietly(lambda: link.client.delete(link.key("worker", self.name)))
        self._quietly(lambda: link.client.srem(link.key("workers"), self.name))

    def _tell(self) -> None:
        detector = self._slot.current
        if detector:
            status = self._status(detector).to_json()
            self._quietly(lambda: self._link.live(self.name, status, _ALIVE_S))

    def _status(self, detector: Detector) -> WorkerStatus:
        own = [
            replace(trouble, subject=f"{self.name} {trouble.subject}".rstrip())
            for trouble in self._supervisor.active()
        ]
        is_open = why_closed(self._slot) is None
        return WorkerStatus(model=detector.status(), troubles=tuple(own), is_open=is_open)

    def _quietly(self, make: Callable[[], object]) -> None:
        try:
            self._link.ask(make)
        except FireError:
            return  # the working thread says that Redis is away


def _entry(stream: str, entry_id: bytes, fields: dict[bytes, bytes]) -> _Entry:
    return _Entry(
        stream=stream,
        entry=_text(entry_id),
        job_id=_text(fields[b"id"]),
        encoded=fields[b"picture"],
        wait_ms=int(fields[b"wait_ms"]),
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
