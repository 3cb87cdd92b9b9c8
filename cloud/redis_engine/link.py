"""One Redis, as front ends and workers use it: names of keys, scripts, and failures as ours. Ring: adapter (network).

Two streams with one consumer group hold what waits: `now` for callers who wait, `later` for jobs. Everything that must
be true together is one script: room and entry, answer and acknowledgement. Redis' own clock times entries, so that
machines need not agree on theirs.

A Redis whose memory is full refuses whatever may take more of it, but lets a script go on that has begun to write. So
those that end work begin with something that takes none: what was accepted is finished, and its room given back.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cloud.jobs.answer import Answer
from cloud.jobs.jobs import JobState
from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import FireError

_T = TypeVar("_T")
GROUP = "workers"
_LONGEST_BLOCK_S = 1.0  # a worker that stops and a caller's deadline are noticed within this
_MOST_SAID = 200
_KEEPS = "noeviction"
# What the redis package, and we, stumble over when something else answers at that address.
_NO_REDIS = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
_FAIL_FAST_S = 1.0  # after a failure nobody asks again for this long, so that callers do not queue up behind timeouts

# KEYS: stream, sequence, bytes. ARGV: bound, prefix, life of a job in s, bound of bytes, then six fields a picture.
# The bytes are counted from when the stream was empty last, so that nothing that was lost is counted for ever.
_SUBMIT = """
local fields = 6
local count = (#ARGV - 4) / fields
local length = redis.call('XLEN', KEYS[1])
local bytes = 0
if length > 0 then bytes = tonumber(redis.call('GET', KEYS[3]) or 0) end
for n = 0, count - 1 do bytes = bytes + #ARGV[5 + n * fields + 2] end
if length + count > tonumber(ARGV[1]) or bytes > tonumber(ARGV[4]) then return -length - 1 end
redis.call('SET', KEYS[3], bytes)
for n = 0, count - 1 do
  local at = 5 + n * fields
  local id, owner, picture, wait_ms, callback, claim = unpack(ARGV, at, at + 5)
  local entry = redis.call('XADD', KEYS[1], '*', 'id', id, 'picture', picture, 'wait_ms', wait_ms)
  local job = ARGV[2] .. ':job:' .. id
  redis.call('HSET', job, 'state', 'queued', 'owner', owner, 'callback', callback, 'claim', claim,
    'stream', KEYS[1], 'entry', entry, 'bytes', #picture)
  redis.call('EXPIRE', job, ARGV[3])
  redis.call('ZADD', KEYS[1] .. ':order', redis.call('INCR', KEYS[2]), id)
end
return length
"""

# KEYS: stream, job. ARGV: id. Gives Redis' time in ms and what the job asks for, which is false when it was cancelled.
_START = """
redis.call('ZREM', KEYS[1] .. ':order', ARGV[1])
local now = redis.call('TIME')
local asked = redis.call('HMGET', KEYS[2], 'callback', 'claim')
if asked[1] then redis.call('HSET', KEYS[2], 'state', 'running') end
return {now[1] * 1000 + math.floor(now[2] / 1000), asked[1], asked[2]}
"""

# KEYS: stream, job, answer, wake, bytes. ARGV: id, entry, group, answer, state, ttl s,
# whether somebody waits, the picture's bytes. Gives 1 when it is still wanted.
_FINISH = """
redis.call('XACK', KEYS[1], ARGV[3], ARGV[2])
if redis.call('XDEL', KEYS[1], ARGV[2]) == 1 then redis.call('DECRBY', KEYS[5], ARGV[8]) end
redis.call('ZREM', KEYS[1] .. ':order', ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
local state = redis.call('HGET', KEYS[2], 'state')
if state == 'done' or state == 'failed' then return 0 end
redis.call('HSET', KEYS[2], 'state', ARGV[5])
redis.call('EXPIRE', KEYS[2], 2 * tonumber(ARGV[6]))
redis.call('SET', KEYS[3], ARGV[4], 'EX', ARGV[6])
if ARGV[7] == '1' then
  redis.call('RPUSH', KEYS[4], ARGV[4])
  redis.call('EXPIRE', KEYS[4], ARGV[6])
end
return 1
"""

# KEYS: stream, job, bytes. ARGV: id. Takes a waiting picture back: 1, or 0 when it runs or is finished.
_TAKE_BACK = """
if redis.call('ZREM', KEYS[1] .. ':order', ARGV[1]) == 0 then return 0 end
local found = redis.call('HMGET', KEYS[2], 'entry', 'bytes')
if found[1] and redis.call('XDEL', KEYS[1], found[1]) == 1 then
  redis.call('DECRBY', KEYS[3], found[2])
end
redis.call('DEL', KEYS[2])
return 1
"""

# KEYS: kept. ARGV: fingerprint of the request, s to settle it. Claims a key: nothing, or what is known of it.
_CLAIM = """
if redis.call('HSETNX', KEYS[1], 'asked', ARGV[1]) == 1 then
  redis.call('EXPIRE', KEYS[1], ARGV[2])
  return {}
end
return redis.call('HMGET', KEYS[1], 'asked', 'answer')
"""

# KEYS: worker, workers. ARGV: its name, what it says of itself, s until it counts as dead.
_LIVE = """
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
redis.call('SADD', KEYS[2], ARGV[1])
"""

# KEYS: mark. ARGV: a new mark. Gives the mark that stands, the new one where what Redis held was lost. It writes, so
# that a Redis that takes nothing in refuses it.
_MARK = """
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
"""

# KEYS: kept, was. ARGV: answer, ttl s. Keeps an answer; an empty one frees the key, when nobody has answered yet. What
# was kept is known to have expired as long again.
_SETTLE = """
local asked = redis.call('HGET', KEYS[1], 'asked')
if not asked then return 0 end
if ARGV[1] == '' then
  if redis.call('HEXISTS', KEYS[1], 'answer') == 0 then redis.call('DEL', KEYS[1], KEYS[2]) end
  return 0
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[1], 'answer', ARGV[1])
redis.call('SET', KEYS[2], 1, 'EX', 2 * tonumber(ARGV[2]))
return 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How much may wait in a stream, over all front ends."""

    pictures: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What a worker learns when it takes a picture; `now_ms` is Redis' clock."""

    now_ms: int
    is_wanted: bool
    callback_url: str
    claim: str


class RedisLink:
    """The connection, with its scripts; safe for use by many threads."""

    def __init__(self, url: str, prefix: str, clock: Clock, *, timeout_s: float) -> None:
        """Prepare a pool; nothing is sent yet. `longest_block_s`: for a call that waits, well before it times out."""
        self.longest_block_s = min(_LONGEST_BLOCK_S, timeout_s / 2)
        self._clock = clock
        self._down_until_mono_s = 0.0
        self._down_why = ""
        self.prefix = prefix
        self.client: Any = redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            socket_keepalive=True,
            health_check_interval=30,
            protocol=2,  # the answers' shapes are those of RESP2, whatever the package's default
            # A connection that died while it was idle is replaced once; a timeout is not tried again.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )
        self._submit = self.client.register_script(_SUBMIT)
        self._start = self.client.register_script(_START)
        self._finish = self.client.register_script(_FINISH)
        self._take_back = self.client.register_script(_TAKE_BACK)
        self._claim = self.client.register_script(_CLAIM)
        self._settle = self.client.register_script(_SETTLE)
        self._live = self.client.register_script(_LIVE)
        self._mark = self.client.register_script(_MARK)

    def key(self, *parts: str) -> str:
        """Name a key."""
        return ":".join((self.prefix, *parts))

    @property
    def now(self) -> str:
        """Name the stream of callers who wait."""
        return self.key("now")

    @property
    def later(self) -> str:
        """Name the stream of jobs."""
        return self.key("later")

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Turn every failure of Redis into ours, and fail fast for a moment after one that says that it is away.

        Raises:
            FireError(ENGINE_UNAVAILABLE)
        """
        if self._clock.mono_s() < self._down_until_mono_s:
            raise _away(self._down_why)
        try:
            yield
        except redis.ResponseError as err:  # it answers, and the next thing may be one that it does
            raise _away(f"Redis refuses: {_said(err)}") from err
        except _NO_REDIS as err:
            raise _away(f"what answers in Redis' place is none ({type(err).__name__})") from err
        except (redis.RedisError, OSError) as err:
            self._down_until_mono_s = self._clock.mono_s() + _FAIL_FAST_S
            self._down_why = f"Redis does not answer: {_reason(err)}"
            raise _away(self._down_why) from err

    def ask(self, make: Callable[[], _T]) -> _T:
        """Do one thing under `guard`."""
        with self.guard():
            return make()

    def prepare(self) -> None:
        """Create streams and group where they are missing.

        Raises:
            FireError(ENGINE_UNAVAILABLE)
        """
        with self.guard():
            for stream in (self.now, self.later):
                if self._has_group(stream):
                    continue
                try:
                    self.client.xgroup_create(stream, GROUP, id="0", mkstream=True)
                except redis.ResponseError as err:  # another one was quicker
                    if "BUSYGROUP" not in str(err):
                        raise

    def mark(self) -> bytes:
        """Give the mark of what Redis holds: another one than before when all of that was lost.

        Raises:
            FireError(ENGINE_UNAVAILABLE): it is away, or takes nothing in.
        """
        return self.ask(lambda: bytes(self._mark(keys=[self.key("mark")], args=[uuid.uuid4().hex])))

    def tell_lost(self, for_s: float) -> None:
        """Let every front end know, for so long, that jobs and results which somebody may ask for were lost."""
        key, life_s = self.key("lost"), math.ceil(for_s)

        def tell() -> None:
            if self.client.ttl(key) < life_s:  # another front end may have told it for longer
                self.client.set(key, 1, ex=life_s)

        self.ask(tell)

    def forget_lost(self) -> None:
        """Let every front end know that somebody has seen it."""
        self.ask(lambda: self.client.delete(self.key("lost")))

    def is_lost(self) -> bool:
        """Tell whether a front end said so."""
        return self.ask(lambda: bool(self.client.exists(self.key("lost"))))

    def evicts_by(self) -> str:
        """Name the rule by which Redis throws keys away when its memory is full; "" where it has none or tells none."""

        def ask() -> str:
            try:
                told = self.client.info("memory")
            except redis.ResponseError:  # whom Redis hides that from can still be served
                return ""
            policy = str(told.get("maxmemory_policy", _KEEPS))
            return policy if told.get("maxmemory") and policy != _KEEPS else ""

        return self.ask(ask)

    def live(self, worker: str, told: bytes, life_s: int) -> None:
        """Say that a worker lives, for so long."""
        keys = [self.key("worker", worker), self.key("workers")]
        self.ask(lambda: self._live(keys=keys, args=[worker, told, life_s]))

    def is_known(self, job_id: str) -> bool:
        """Tell whether a picture that was submitted is still known."""
        return self.ask(lambda: bool(self.client.exists(self.key("job", job_id))))

    def _has_group(self, stream: str) -> bool:
        try:
            groups = self.client.xinfo_groups(stream)
        except redis.ResponseError:  # no such stream
            return False
        return any(group["name"] == GROUP.encode() for group in groups)

    def submit(
        self, stream: str, bound: Bound, life_s: int, pictures: Sequence[Sequence[Any]]
    ) -> int:
        """Queue pictures, all or none; gives how many waited before, or −n − 1 where n leave no room."""
        arguments: list[Any] = [bound.pictures, self.prefix, life_s, bound.bytes]
        for fields in pictures:
            arguments.extend(fields)
        keys = [stream, self.key("sequence"), _bytes(stream)]
        return self.ask(lambda: int(self._submit(keys=keys, args=arguments)))

    def start(self, stream: str, job_id: str) -> Started:
        """Note that a picture's turn has come."""
        keys = [stream, self.key("job", job_id)]
        now_ms, callback, claim = self.ask(lambda: self._start(keys=keys, args=[job_id]))
        return Started(
            now_ms=int(now_ms),
            is_wanted=callback is not None,
            callback_url=(callback or b"").decode(),
            claim=(claim or b"").decode(),
        )

    def finish(
        self, stream: str, entry: str, job_id: str, answer: Answer, *, ttl_s: int, size: int
    ) -> bool:
        """Keep an answer, wake who waits, and take the entry of `size` bytes out; False: nobody wants it."""
        state = JobState.DONE if answer.error is None else JobState.FAILED
        named = (self.key(kind, job_id) for kind in ("job", "answer", "wake"))
        keys = [stream, *named, _bytes(stream)]
        is_waited_for = int(stream == self.now)
        arguments: list[Any] = [job_id, entry, GROUP, answer.to_json(), state.value, ttl_s]
        arguments += [is_waited_for, size]
        return self.ask(lambda: bool(self._finish(keys=keys, args=arguments)))

    def discard(self, stream: str, entry: bytes) -> None:
        """Take out an entry that nobody can read; its bytes count until the stream is empty."""
        self.ask(lambda: self.client.xack(stream, GROUP, entry))
        self.ask(lambda: self.client.xdel(stream, entry))

    def answer_of(self, job_id: str) -> Answer | None:
        """Find the kept answer of a picture."""

        def read() -> Answer | None:
            text = self.client.get(self.key("answer", job_id))
            return None if text is None else Answer.from_json(text)

        return self.ask(read)

    def take_back(self, stream: str, job_id: str) -> bool:
        """Cancel a waiting picture; False: it runs, or is finished."""
        keys = [stream, self.key("job", job_id), _bytes(stream)]
        return self.ask(lambda: bool(self._take_back(keys=keys, args=[job_id])))

    def claim(self, kept_key: str, asked: str, within_s: int) -> tuple[bytes, bytes | None] | None:
        """Claim an Idempotency-Key; gives None, or the fingerprint and the answer that are known of it."""
        found = self.ask(lambda: self._claim(keys=[kept_key], args=[asked, within_s]))
        return (found[0], found[1]) if found else None

    def settle(self, kept_key: str, answer: Answer | None, ttl_s: int) -> None:
        """Keep the answer of a claimed Idempotency-Key, or free the key."""
        text = b"" if answer is None else answer.to_json()
        keys = [kept_key, _was(kept_key)]
        self.ask(lambda: self._settle(keys=keys, args=[text, ttl_s]))

    def was_kept(self, kept_key: str) -> bool:
        """Tell whether an Idempotency-Key was known until lately."""
        return self.ask(lambda: bool(self.client.exists(_was(kept_key))))

    def close(self) -> None:
        """Close the pool."""
        self.client.close()


def _bytes(stream: str) -> str:
    return f"{stream}:bytes"


def _was(kept_key: str) -> str:
    return f"{kept_key}/was"  # no key holds a slash


def _said(err: redis.ResponseError) -> str:
    """Give Redis' own words, without those about the script that it said them to."""
    return str(err).partition(" script: ")[0][:_MOST_SAID]


def _reason(err: Exception) -> str:
    """Give the system's own word where there is one."""
    system = err.__context__ if isinstance(err.__context__, OSError) else err
    return getattr(system, "strerror", None) or type(err).__name__


def _away(detail: str) -> FireError:
    return FireError(ErrorCode.ENGINE_UNAVAILABLE, detail, retry_after_s=2.0)
