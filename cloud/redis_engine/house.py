"""A front end without a model: pictures go through Redis to workers anywhere. Ring: adapter.

The bound holds over all front ends, since room and entry are one script. While Redis or every worker is away a front
end that has the model itself answers alone, the others say 503.
"""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloud.engine import Inspected
from cloud.jobs.answer import Answer
from cloud.jobs.idempotency import Claim
from cloud.local_engine.house import LocalHouse
from cloud.redis_engine.books import RedisAnswers, RedisJobs, RedisNonces
from cloud.redis_engine.link import Bound, RedisLink
from cloud.redis_engine.reload import ReloadBoard, Told
from cloud.redis_engine.status import WorkerStatus
from cloud.troubles import no_worker, redis_away, redis_evicts, redis_lost
from shared.access.admission import Admission
from shared.clock import Clock
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import FireError, ModelError
from shared.logs import get_logger
from shared.types import Picture, Reloaded
from shared.watch.trouble import Trouble, TroubleKey, TroubleKind

_SPARE_LIFE_S = 60
_UNBOUNDED = 1 << 50  # callers who wait are bounded by their places and by limits.max_bytes
_RELOAD_WITHIN_S = 90.0  # a worker notices within its beat, then builds and tries the model
_RELOAD_POLL_S = 0.1
_DRAIN_POLL_S = 0.01
_NOT_SERVED = "no worker takes pictures"
_PICTURE_LOST = "Redis lost what it held, this picture with it"
_LOST = TroubleKey(kind=TroubleKind.LINK, subject="redis", code="redis_lost")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontSettings:
    """Bounds over all front ends."""

    places: int
    jobs: Bound
    ttl_s: float


class RedisHouse:
    """The front end's side, see `cloud.engine.House`."""

    def __init__(
        self,
        settings: FrontSettings,
        link: RedisLink,
        clock: Clock,
        fallback: LocalHouse | None,
        active: Callable[[], Iterable[Trouble]],
    ) -> None:
        """Keep what it works with; `fallback` answers while Redis is away, `active` gives the troubles that hold."""
        self._settings = settings
        self._link = link
        self._clock = clock
        self._fallback = fallback
        self._active = active
        self._trouble: str | None = "the service is starting"
        self._is_served = True  # as of the last look
        self._is_over = False
        self._mark: bytes | None = None
        self._asked_until_mono_s = -math.inf  # for the jobs that were taken here
        self.admission = Admission(settings.places, clock, full=ErrorCode.CLOUD_OVERLOADED)
        self.jobs = RedisJobs(link, fallback.jobs if fallback else None)
        self.answers = RedisAnswers(
            link, ttl_s=settings.ttl_s, meanwhile=fallback.answers if fallback else None
        )
        self._board = ReloadBoard(link)
        self.nonces = RedisNonces(link, fallback.nonces if fallback else None)

    def start(self) -> None:
        """Create the streams; a Redis that is away may come later."""
        if self._fallback:
            self._fallback.start()
        try:
            self._link.prepare()
        except FireError as err:
            if err.code is not ErrorCode.ENGINE_UNAVAILABLE:
                raise
        self._trouble = None

    def stop(self, timeout: Deadline) -> None:
        """Wait for callers who wait, and tell the last ones that nothing will come; jobs stay in Redis."""
        self._trouble = "the service is stopping"
        tell_s = 2 * self._link.longest_block_s  # whoever waits looks up once, and says goodbye
        self._drain(timeout.earlier(tell_s))
        self._is_over = True
        self._drain(Deadline.after(tell_s, self._clock))  # also when the time is spent already
        if self._fallback:
            self._fallback.stop(timeout)
        self._link.close()

    def trouble(self) -> str | None:
        """Tell why nothing can be taken in: stopping, or neither a worker nor a model of this process answers."""
        if self._trouble is not None:
            return self._trouble
        try:
            self._link.mark()
            why = None if _is_served(self._alive()) else _NOT_SERVED
        except FireError as err:
            why = err.detail
        return self._fallback.trouble() if why and self._fallback else why

    def troubles(self, now_at: datetime) -> list[Trouble]:
        """Tell whether Redis answers, and what the workers and the model of this process tell."""
        own = self._fallback.troubles(now_at) if self._fallback else []
        try:
            alive = self._alive()
            self._look_for_loss()
            if any(known.key == _LOST and known.acknowledged_at for known in self._active()):
                self._link.forget_lost()  # seen at one front end is seen at all
            is_lost, policy = self._link.is_lost(), self._link.evicts_by()
        except FireError as err:
            return [redis_away(err.detail, now_at), *own]
        self._is_served = _is_served(alive)
        if is_lost:
            own.append(redis_lost(now_at))
        if policy:
            own.append(redis_evicts(policy, now_at))
        if not alive:
            own.append(no_worker(now_at))
        return [*own, *(trouble for worker in alive.values() for trouble in worker.troubles)]

    def refuse_if_full(self, caller: str) -> None:
        """Refuse before a body is parsed."""
        self._check_open()
        self.admission.refuse_if_full(caller)

    def inspect(
        self, picture: Picture, deadline: Deadline, *, caller: str, claim: Claim | None = None
    ) -> Inspected:
        """Send one picture to a worker and wait, see `House.inspect`."""
        try:
            (outcome,) = self._ask([picture], deadline, caller, claim)
        except FireError as err:
            return self._instead(err).inspect(picture, deadline, caller=caller, claim=claim)
        if isinstance(outcome, FireError):
            raise outcome
        return outcome

    def inspect_many(
        self, pictures: Sequence[Picture], deadline: Deadline, *, caller: str
    ) -> list[Inspected | FireError]:
        """Send several pictures, all or none, and wait for each."""
        try:
            return self._ask(pictures, deadline, caller, None)
        except FireError as err:
            return self._instead(err).inspect_many(pictures, deadline, caller=caller)

    def submit(
        self, picture: Picture, deadline: Deadline, *, owner: str, callback_url: str | None
    ) -> str:
        """Queue a job, see `House.submit`."""
        self._check_open()
        job_id = str(uuid.uuid4())
        life_s = self._life_s(deadline)
        fields = [job_id, owner, picture.encoded, _ms(deadline), callback_url or "", ""]
        jobs = self._settings.jobs
        try:
            self._leave_to_fallback()
            before = self._link.submit(self._link.later, jobs, life_s, [fields])
        except FireError as err:
            instead = self._instead(err)
            return instead.submit(picture, deadline, owner=owner, callback_url=callback_url)
        if before < 0:
            what = f"jobs wait, in at most {jobs.bytes} bytes,"
            raise self._full(-before - 1, jobs.pictures, what)
        until_mono_s = self._clock.mono_s() + life_s
        self._asked_until_mono_s = max(self._asked_until_mono_s, until_mono_s)
        return job_id

    def models(self) -> list[dict[str, Any]]:
        """Tell what the workers run; the same model on several is named once."""
        try:
            found = [worker.model for worker in self._alive().values()]
        except FireError:
            found = []
        if not found and self._fallback:
            found = self._fallback.models()
        return list({json.dumps(model, sort_keys=True): model for model in found}.values())

    def reload(self) -> Reloaded:
        """Let every worker that lives take the newest version, and wait for what they say.

        Raises:
            ModelError(MODEL_REFUSED): one of them stays with its model, named with its reason.
            ModelError(MODEL_NOT_READY): no worker is there, or one did not say anything in time.
            FireError(ENGINE_UNAVAILABLE)
        """
        if self._fallback:
            self._fallback.reload()
        number = self._board.ask()
        deadline = Deadline.after(_RELOAD_WITHIN_S, self._clock)
        told: dict[str, Told] = {}
        while silent := self._alive().keys() - told.keys():
            if deadline.has_passed():
                detail = f"no word from {', '.join(sorted(silent))}"
                raise ModelError(ErrorCode.MODEL_NOT_READY, detail, retry_after_s=10.0)
            time.sleep(_RELOAD_POLL_S)
            told = self._board.told(number)
        return _together(told)

    def go_back(self) -> Reloaded:
        """Refuse: each worker has a models folder of its own.

        Raises:
            ModelError(HTTP_NOT_FOUND)
        """
        detail = "take the newer version out of the workers' models folders, then reload"
        raise ModelError(ErrorCode.HTTP_NOT_FOUND, detail)

    def waiting(self) -> Mapping[str, int]:
        """Tell how many wait over all front ends; nothing while Redis is away."""
        link = self._link
        try:
            queue, jobs = (
                link.ask(lambda s=stream: link.client.xlen(s))  # type: ignore[misc]
                for stream in (link.now, link.later)
            )
        except FireError:
            return {"queue": 0, "jobs": 0}
        return {"queue": int(queue), "jobs": int(jobs)}

    def _drain(self, until: Deadline) -> None:
        while self.admission.taken and not until.has_passed():
            time.sleep(_DRAIN_POLL_S)

    def _look_for_loss(self) -> None:
        """See by its mark whether Redis lost what it held; that counts while somebody may ask for a job of before.

        Only who took jobs knows of any; the others learn it through Redis, since they are asked for them, too.
        """
        mark = self._link.mark()
        asked_for_s = self._asked_until_mono_s - self._clock.mono_s()
        if self._mark not in (None, mark) and asked_for_s > 0:
            self._link.tell_lost(asked_for_s)
        self._mark = mark

    def _leave_to_fallback(self) -> None:
        """Turn to the model of this process, where there is one, while no worker takes pictures."""
        if self._fallback and not self._is_served:
            raise FireError(ErrorCode.ENGINE_UNAVAILABLE, _NOT_SERVED)

    def _instead(self, err: FireError) -> LocalHouse:
        """Give who answers instead of the workers; raises the error where nobody does, or where it is another one."""
        if self._fallback is None or err.code is not ErrorCode.ENGINE_UNAVAILABLE:
            raise err
        return self._fallback

    def _ask(
        self,
        pictures: Sequence[Picture],
        deadline: Deadline,
        caller: str,
        claim: Claim | None,
    ) -> list[Inspected | FireError]:
        with self.admission.place(caller, count=len(pictures), deadline=deadline):
            self._check_open()
            self._leave_to_fallback()
            ids = [str(uuid.uuid4()) for _ in pictures]
            kept = self.answers.name(claim.owner, claim.key) if claim else ""
            wait_ms = _ms(deadline)
            fields = [
                [job_id, "", picture.encoded, wait_ms, "", kept]
                for job_id, picture in zip(ids, pictures, strict=True)
            ]
            link = self._link
            bound = Bound(pictures=self._settings.places, bytes=_UNBOUNDED)
            before = link.submit(link.now, bound, self._life_s(deadline), fields)
            if before < 0:
                raise self._full(-before - 1, self._settings.places, "places taken")
            return [self._outcome(job_id, deadline) for job_id in ids]

    def _outcome(self, job_id: str, deadline: Deadline) -> Inspected | FireError:
        try:
            answer = self._wait(job_id, deadline) or self._link.answer_of(job_id)
            if answer is None:
                return self._given_up(job_id)
        except FireError as err:
            if self._fallback:
                raise
            # No 503, which would say to whoever pays that it certainly did not run.
            detail = f"{err.detail}; a worker may have been at work"
            return FireError(ErrorCode.CLOUD_TIMEOUT, detail, retry_after_s=err.retry_after_s)
        try:
            told = answer.result()
        except FireError as err:
            return err
        stage_ms = told.pop("stage_ms", {})
        return Inspected(result=told, stage_ms=stage_ms)

    def _given_up(self, job_id: str) -> FireError:
        """Take back a picture that nobody waits for any longer, and tell whether it certainly did not run."""
        is_taken_back = self._link.take_back(self._link.now, job_id)
        if not is_taken_back:
            detail = f"the model was still at work {'at the stop' if self._is_over else 'at the deadline'}"
            return FireError(ErrorCode.CLOUD_TIMEOUT, detail)
        if self._is_over:
            detail = "the service stopped before this picture's turn"
            return FireError(ErrorCode.HTTP_UNAVAILABLE, detail)
        detail = "the picture waited past its deadline and was not run"
        return FireError(ErrorCode.DEADLINE_MISSED, detail)

    def _wait(self, job_id: str, deadline: Deadline) -> Answer | None:
        link, wake = self._link, self._link.key("wake", job_id)
        while not (deadline.has_passed() or self._is_over):
            block_s = max(0.01, min(link.longest_block_s, deadline.remaining_s()))
            with link.guard():
                found = link.client.blpop([wake], timeout=block_s)
                if found is not None:
                    return Answer.from_json(found[1])
            if not link.is_known(job_id):
                raise FireError(ErrorCode.ENGINE_UNAVAILABLE, _PICTURE_LOST, retry_after_s=2.0)
        return None

    def _alive(self) -> dict[str, WorkerStatus]:
        """Give what each living worker says of itself, by its name."""
        with self._link.guard():
            return self._read_alive()

    def _read_alive(self) -> dict[str, WorkerStatus]:
        link = self._link
        names = sorted(name.decode() for name in link.client.smembers(link.key("workers")))
        texts = link.client.mget([link.key("worker", name) for name in names]) if names else []
        if gone := [name for name, text in zip(names, texts, strict=True) if text is None]:
            # Killed ones cannot say goodbye; one that only was slow enters itself again with its next beat.
            for name in gone:
                if link.client.srem(
                    link.key("workers"), name
                ):  # the first front end that sees it tells
                    get_logger().warning("worker_lost", worker=name)
        told = {
            name: WorkerStatus.from_json(text)
            for name, text in zip(names, texts, strict=True)
            if text is not None
        }
        return {name: status for name, status in told.items() if status is not None}

    def _check_open(self) -> None:
        if self._trouble is not None:
            raise ModelError(ErrorCode.MODEL_NOT_READY, self._trouble, retry_after_s=2.0)

    def _life_s(self, deadline: Deadline) -> int:
        """Tell how long an unfinished job is known: its deadline, and then some."""
        return round(deadline.remaining_s() + 2 * self._settings.ttl_s) + _SPARE_LIFE_S

    def _full(self, taken: int, bound: int, what: str) -> FireError:
        detail = f"{taken} of {bound} {what} over all front ends"
        wait_s = self.admission.expected_wait_s(taken)
        return FireError(ErrorCode.CLOUD_OVERLOADED, detail, retry_after_s=wait_s)


def _is_served(alive: Mapping[str, WorkerStatus]) -> bool:
    return any(worker.is_open for worker in alive.values())


def _together(told: Mapping[str, Told]) -> Reloaded:
    refusals = [f"{name}: {one.refusal}" for name, one in sorted(told.items()) if one.refusal]
    if refusals:
        raise ModelError(ErrorCode.MODEL_REFUSED, "; ".join(refusals))
    done = [one.reloaded for one in told.values() if one.reloaded]
    if not done:
        raise ModelError(ErrorCode.MODEL_NOT_READY, "no worker is there", retry_after_s=5.0)
    return next((one for one in done if one.is_changed), done[0])


def _ms(deadline: Deadline) -> int:
    return max(1, round(1000 * deadline.remaining_s()))
