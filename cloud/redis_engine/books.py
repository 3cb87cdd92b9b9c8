"""Jobs, answers by Idempotency-Key and nonces, the same at all front ends of a Redis. Ring: adapter (network)."""

from __future__ import annotations

import math

from cloud.jobs.answer import Answer
from cloud.jobs.idempotency import Kept, MemoryAnswers, answer_for, expired
from cloud.jobs.jobs import Job, JobBook, JobState
from cloud.redis_engine.link import RedisLink
from shared.access.auth import MemoryNonces
from shared.errors import FireError


class RedisJobs:
    """Jobs in Redis, see `cloud.jobs.jobs.JobBook`."""

    def __init__(self, link: RedisLink, meanwhile: JobBook | None) -> None:
        """Keep the connection; `meanwhile` knows the jobs that were taken here while Redis was away."""
        self._link = link
        self._meanwhile = meanwhile

    def look(self, owner: str, job_id: str) -> Job | None:
        """Find a job of this caller."""
        if self._meanwhile and (job := self._meanwhile.look(owner, job_id)):
            return job
        with self._link.guard():
            return self._look(owner, job_id)

    def _look(self, owner: str, job_id: str) -> Job | None:
        link = self._link
        found = link.client.hgetall(link.key("job", job_id))
        if not found or found[b"owner"].decode() != owner:
            return None
        state = JobState(found[b"state"].decode())
        if state is JobState.QUEUED:
            order = found[b"stream"].decode() + ":order"
            before = link.client.zrank(order, job_id)
            return Job(job_id=job_id, owner=owner, state=state, position=int(before or 0))
        if state is JobState.RUNNING:
            return Job(job_id=job_id, owner=owner, state=state)
        answer = link.answer_of(job_id)
        if answer is None:
            return Job(job_id=job_id, owner=owner, state=JobState.EXPIRED)
        return Job(job_id=job_id, owner=owner, state=state, answer=answer)

    def remove(self, owner: str, job_id: str) -> Job | None:
        """Cancel or forget a job."""
        link = self._link
        if self._meanwhile and (job := self._meanwhile.remove(owner, job_id)):
            return job
        job = self.look(owner, job_id)
        if job is None:
            return None
        if not link.take_back(link.later, job_id):
            names = [link.key(kind, job_id) for kind in ("job", "answer", "wake")]
            link.ask(lambda: link.client.delete(*names))
        return job


class RedisAnswers:
    """Answers by caller and key in Redis, see `cloud.jobs.idempotency.AnswerBook`."""

    def __init__(
        self, link: RedisLink, *, ttl_s: float, meanwhile: MemoryAnswers | None = None
    ) -> None:
        """Keep the connection; `meanwhile` keeps answers while Redis is away, None refuses then."""
        self._link = link
        self._ttl_s = max(1, round(ttl_s))
        self._meanwhile = meanwhile

    def begin(self, owner: str, key: str, asked: str, *, within_s: float) -> Answer | None:
        """Claim a key, see `AnswerBook.begin`."""
        try:
            known = self._link.claim(self.name(owner, key), asked, math.ceil(within_s))
        except FireError as err:
            return self._instead(err).begin(owner, key, asked, within_s=within_s)
        return answer_for(self._kept(*known), asked) if known else None

    def keep(self, owner: str, key: str, answer: Answer) -> None:
        """Keep the answer of a claimed key."""
        try:
            self._link.settle(self.name(owner, key), answer, self._ttl_s)
        except FireError as err:
            self._instead(err).keep(owner, key, answer)

    def release(self, owner: str, key: str) -> None:
        """Free a claimed key."""
        try:
            self._link.settle(self.name(owner, key), None, self._ttl_s)
        except FireError as err:
            self._instead(err).release(owner, key)

    def look(self, owner: str, key: str) -> Kept | None:
        """Find what is known of a key, see `AnswerBook.look`."""
        name = self.name(owner, key)
        try:
            kept = self._look(name)
            is_expired = kept is None and self._link.was_kept(name)
        except FireError as err:
            return self._instead(err).look(owner, key)
        if is_expired:
            raise expired(key)
        return kept

    def name(self, owner: str, key: str) -> str:
        """Name the key of a claim; neither part can hold a slash."""
        return self._link.key("kept", f"{owner}/{key}")

    def _look(self, name: str) -> Kept | None:
        with self._link.guard():
            asked, answer = self._link.client.hmget(name, "asked", "answer")
            return None if asked is None else self._kept(asked, answer)

    def _kept(self, asked: bytes, answer: bytes | None) -> Kept:
        return Kept(
            asked=asked.decode(), answer=None if answer is None else Answer.from_json(answer)
        )

    def _instead(self, err: FireError) -> MemoryAnswers:
        if self._meanwhile is None:
            raise err
        return self._meanwhile


class RedisNonces:
    """Nonces in Redis, so that a request cannot be replayed at another front end."""

    def __init__(self, link: RedisLink, meanwhile: MemoryNonces | None) -> None:
        """Keep the connection; `meanwhile` remembers them, too, for when Redis is away; None refuses then."""
        self._link = link
        self._meanwhile = meanwhile

    def is_new(self, edge_id: str, nonce: str, ttl_s: float) -> bool:
        """Remember a nonce, see `Nonces.is_new`."""
        link, name = self._link, self._link.key("nonce", edge_id, nonce)
        if self._meanwhile and not self._meanwhile.is_new(edge_id, nonce, ttl_s):
            return False
        try:
            return bool(link.ask(lambda: link.client.set(name, 1, nx=True, ex=round(ttl_s))))
        except FireError:
            if self._meanwhile is None:
                raise
            return True
