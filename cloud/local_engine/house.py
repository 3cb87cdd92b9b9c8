"""Everything in one process: places, decoders, one session thread, and a queue of jobs beside it. Ring: adapter."""

from __future__ import annotations

import concurrent.futures
import functools
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from cloud.engine import BatchReport, Inspected
from cloud.jobs.answer import Answer
from cloud.jobs.idempotency import Claim, MemoryAnswers
from cloud.jobs.jobs import MemoryJobs
from cloud.jobs.runner import JobRunner, Order, RunnerSettings
from cloud.local_engine.engine import LocalEngine, Promise
from cloud.model.slot import SlotSettings, detector_slot, earlier, slot_troubles, why_closed
from cloud.wire import result_of
from shared.access.admission import Admission
from shared.access.auth import MemoryNonces
from shared.clock import Clock
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import FireError, ModelError
from shared.model.detect import RawOutput
from shared.model.detector import Detector
from shared.picture.letterbox import Letterbox
from shared.types import Picture, Reloaded
from shared.watch.heartbeat import NOBODY, Watchman
from shared.watch.trouble import Trouble

_T = TypeVar("_T")
_DRAIN_POLL_S = 0.01
_BEAT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HouseSettings:
    """Bounds of one process."""

    places: int
    max_batch: int
    runners: RunnerSettings
    ttl_s: float
    max_kept: int
    watch_s: float
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """Who is told what happened, for the metrics."""

    batch: Callable[[BatchReport], None]
    stages: Callable[[Mapping[str, float]], None]
    model: Callable[[Detector], None]
    job: Callable[[Order, Answer], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """One picture on its way to the session, with the model that prepared it."""

    picture: Picture
    detector: Detector
    letterbox: Letterbox
    promise: Promise
    entered_mono_s: float
    decoded_mono_s: float


class LocalHouse:
    """One model in one process, see `cloud.engine.House`."""

    def __init__(
        self,
        settings: HouseSettings,
        slot: SlotSettings,
        clock: Clock,
        reports: Reports,
        watchman: Watchman = NOBODY,
    ) -> None:
        """Prepare; the model is loaded by `start`, and `watchman` watches the threads from then on."""
        self._settings = settings
        self._watchman = watchman
        self._clock = clock
        self._reports = reports
        self._trouble: str | None = "the model is loading"
        self._session: LocalEngine | None = None
        self._runner: JobRunner | None = None
        self.admission = Admission(settings.places, clock, full=ErrorCode.CLOUD_OVERLOADED)
        self._slot = slot
        self._is_held_back = False
        self.slot = detector_slot(slot, self._model_changed)
        self.jobs = MemoryJobs(clock, ttl_s=settings.ttl_s, max_kept=settings.max_kept)
        self.answers = MemoryAnswers(clock, ttl_s=settings.ttl_s, max_kept=settings.max_kept)
        self.nonces = MemoryNonces(clock)

    def start(self) -> None:
        """Load the model and start the threads.

        Raises:
            ModelError: the model is missing or was refused.
        """
        settings = self._settings
        detector = self.slot.load()
        self._session = LocalEngine(
            detector.run_batch,
            capacity=settings.places + settings.runners.runners,
            max_batch=settings.max_batch,
            report=self._reports.batch,
            watchman=self._watchman,
        )
        self._runner = JobRunner(
            self.jobs, self._infer_job, self._reports.job, settings.runners, self._watchman
        )
        self._reports.model(detector)
        if settings.watch_s:
            self.slot.watch(settings.watch_s, self._look_for_newer, self._watchman)
        self._trouble = None

    def stop(self, timeout: Deadline) -> None:
        """Finish what is in, then the jobs, then end the session."""
        was_ready, self._trouble = self._trouble is None, "the service is stopping"
        self.slot.stop()
        while was_ready and self.admission.taken and not timeout.has_passed():
            time.sleep(_DRAIN_POLL_S)
        if self._runner:
            self._runner.stop(timeout)
        if self._session:
            self._session.stop(timeout.remaining_s())

    def trouble(self) -> str | None:
        """Tell why nothing can be taken in."""
        return self._trouble or why_closed(self.slot)

    def troubles(self, now_at: datetime) -> list[Trouble]:
        """Tell what is wrong with the model, and with the newest one."""
        return slot_troubles(self.slot, now_at)

    def refuse_if_full(self, caller: str) -> None:
        """Refuse before a body is parsed."""
        self._ready()
        self.admission.refuse_if_full(caller)

    def inspect(
        self, picture: Picture, deadline: Deadline, *, caller: str, claim: Claim | None = None
    ) -> Inspected:
        """Run one picture through the house, see `House.inspect`."""
        with self._entered(caller, 1, deadline) as (detector, session):
            begun = self._begin(detector, session, picture, deadline)
            try:
                return self._end(begun, deadline)
            except FireError as err:
                if claim and err.code is ErrorCode.CLOUD_TIMEOUT:
                    begun.promise.add_done_callback(
                        functools.partial(self._settle_late, begun, claim)
                    )
                raise

    def inspect_many(
        self, pictures: Sequence[Picture], deadline: Deadline, *, caller: str
    ) -> list[Inspected | FireError]:
        """Run several pictures; each takes a place and has its own outcome."""
        with self._entered(caller, len(pictures), deadline) as (detector, session):
            begun = [
                _or_error(functools.partial(self._begin, detector, session, picture, deadline))
                for picture in pictures
            ]
            return [
                one
                if isinstance(one, FireError)
                else _or_error(functools.partial(self._end, one, deadline))
                for one in begun
            ]

    def submit(
        self, picture: Picture, deadline: Deadline, *, owner: str, callback_url: str | None
    ) -> str:
        """Accept a job, see `House.submit`."""
        self._ready()
        order = Order(
            job_id=str(uuid.uuid4()),
            owner=owner,
            picture=picture,
            deadline=deadline,
            callback_url=callback_url,
        )
        if self._runner:
            self._runner.submit(order)
        return order.job_id

    def models(self) -> list[dict[str, Any]]:
        """Tell which model runs."""
        detector = self.slot.current
        if detector is None:
            return []
        return [detector.status()]

    def reload(self) -> Reloaded:
        """Take the newest version of the model."""
        self._is_held_back = False
        return self.slot.reload()

    def go_back(self) -> Reloaded:
        """Take the version before the one that runs; what looks for newer ones stops until `reload`.

        Raises:
            ModelError(HTTP_NOT_FOUND): there is none before it.
            ModelError(MODEL_REFUSED): it is not fit; the one that runs goes on.
        """
        running = self.slot.current  # also one that must not be asked: it is gone back from
        if running is None:
            raise _not_ready("the model is loading")
        done = self.slot.offer(earlier(self._slot, running.identity.version), lambda: None)
        self._is_held_back = True
        return done

    def waiting(self) -> Mapping[str, int]:
        """Tell how many pictures and jobs wait."""
        return {
            "queue": self._session.queued() if self._session else 0,
            "jobs": self._runner.waiting() if self._runner else 0,
        }

    def _ready(self) -> tuple[Detector, LocalEngine]:
        detector, session = self.slot.current, self._session
        trouble = self.trouble()
        if trouble is not None or detector is None or session is None:
            raise _not_ready(trouble or "the model is loading")
        return detector, session

    @contextmanager
    def _entered(
        self, caller: str, count: int, deadline: Deadline
    ) -> Iterator[tuple[Detector, LocalEngine]]:
        with self.admission.place(caller, count=count, deadline=deadline):
            # Asked for inside: a stopping service waits for those who are in, and nobody enters after that.
            yield self._ready()

    def _begin(
        self, detector: Detector, session: LocalEngine, picture: Picture, deadline: Deadline
    ) -> _Begun:
        entered_mono_s = self._clock.mono_s()
        prepared = detector.prepare(picture)
        decoded_mono_s = self._clock.mono_s()
        return _Begun(
            picture=picture,
            detector=detector,
            letterbox=prepared.letterbox,
            promise=session.submit(prepared.tensor, deadline, detector.run_batch),
            entered_mono_s=entered_mono_s,
            decoded_mono_s=decoded_mono_s,
        )

    def _end(
        self, begun: _Begun, deadline: Deadline, beat: Callable[[], None] | None = None
    ) -> Inspected:
        try:
            raw = _wait(begun.promise, deadline, beat)
        except concurrent.futures.TimeoutError as err:
            # Two codes, for whoever pays: what was taken back certainly did not run, the rest may have.
            if begun.promise.cancel():
                detail = "the picture waited past its deadline and was not run"
                raise FireError(ErrorCode.DEADLINE_MISSED, detail) from err
            detail = "the model was still at work at the deadline"
            raise FireError(ErrorCode.CLOUD_TIMEOUT, detail) from err
        return self._inspected(begun, raw)

    def _inspected(self, begun: _Begun, raw: RawOutput) -> Inspected:
        ran_mono_s = self._clock.mono_s()
        finding = begun.detector.finding(raw, begun.letterbox)
        started_mono_s = begun.promise.started_mono_s or begun.decoded_mono_s
        stages_s = {
            "decode": begun.decoded_mono_s - begun.entered_mono_s,
            "queue": started_mono_s - begun.decoded_mono_s,
            "infer": ran_mono_s - started_mono_s,
            "post": self._clock.mono_s() - ran_mono_s,
        }
        stage_ms = {name: 1000 * max(0.0, s) for name, s in stages_s.items()}
        self._reports.stages(stage_ms)
        result = result_of(
            finding,
            begun.detector.identity,
            begun.picture,
            cost=self._settings.cost,
            took_ms=sum(stage_ms.values()),
        )
        return Inspected(result=result, stage_ms=stage_ms)

    def _settle_late(self, begun: _Begun, claim: Claim, promise: Future[RawOutput]) -> None:
        try:
            claim.settle(Answer.of(self._inspected(begun, promise.result()).result))
        except FireError as err:
            claim.settle(Answer.of_error(err))

    def _infer_job(
        self, picture: Picture, deadline: Deadline, beat: Callable[[], None]
    ) -> dict[str, Any]:
        detector, session = self.slot.current, self._session
        if detector is None or session is None:
            raise _not_ready("the model is loading")
        begun = self._begin(detector, session, picture, deadline)
        return self._end(begun, deadline, beat).result

    def _look_for_newer(self) -> None:
        if not self._is_held_back:
            self.slot.reload()

    def _model_changed(self, detector: Detector) -> None:
        if self._session:
            self._session.use(detector.run_batch)
        self._reports.model(detector)


def _not_ready(detail: str) -> ModelError:
    return ModelError(ErrorCode.MODEL_NOT_READY, detail, retry_after_s=2.0)


def _wait(promise: Promise, deadline: Deadline, beat: Callable[[], None] | None) -> RawOutput:
    """Wait until the deadline, in pieces with a sign of life between them where one is wanted."""
    while beat is not None and deadline.remaining_s() > _BEAT_S:
        try:
            return promise.result(timeout=_BEAT_S)
        except concurrent.futures.TimeoutError:
            beat()
    return promise.result(timeout=deadline.remaining_s())


def _or_error(make: Callable[[], _T]) -> _T | FireError:
    try:
        return make()
    except FireError as err:
        return err
