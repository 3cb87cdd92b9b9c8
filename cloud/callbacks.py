"""Telling a caller's own server that a job is finished. Ring: adapter (network).

Only addresses that the operator listed are called. Each message is signed as standardwebhooks.com describes:
`webhook-signature: v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. The `webhook-id` stays the same over
all tries, so that a receiver can tell a repeated message from a new one.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import hmac
import itertools
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from cloud.answer import Answer
from cloud.jobs import JobState
from cloud.troubles import callbacks_failing
from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import FireError, RequestError
from shared.heartbeat import NOBODY, Watchman
from shared.logs import get_logger
from shared.socket_deadline import DeadlineAdapter, SocketDeadlines
from shared.trouble import Trouble

_THREAD = "callbacks"
_BEAT_S = 5.0
_SILENT_S = 30.0
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_MAX_WAITING = (
    1000  # messages of 1 kB; above, the newest is given up and the result can still be fetched
)
_MAX_URL_CHARACTERS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    job_id: str
    url: str
    body: bytes
    tries: int = 0


def check_callback(url: str, allowed: Sequence[str]) -> str:
    """Hold a caller's address against the operator's list.

    Args:
        url: what the caller sent.
        allowed: addresses; one that ends in `/` allows everything below it, any other only itself.

    Raises:
        RequestError(CALLBACK_FORBIDDEN): not on the list, or written so that it could mean another place.
    """
    try:
        path = urlsplit(url).path
    except ValueError:  # brackets that hold no address
        path = ".."
    is_plain = url.isascii() and url.isprintable() and len(url) <= _MAX_URL_CHARACTERS
    is_tricky = set("\\@#% ") & set(url) or ".." in path or "//" in path
    fits = any(url == entry or (entry.endswith("/") and url.startswith(entry)) for entry in allowed)
    if not is_plain or is_tricky or not fits:
        raise RequestError(ErrorCode.CALLBACK_FORBIDDEN, f"{url[:100]!r} is not on the list")
    return url


def sign_callback(key: bytes, message_id: str, at_s: int, body: bytes) -> str:
    """Give the value of `webhook-signature`; a receiver computes the same and compares."""
    content = f"{message_id}.{at_s}.".encode() + body
    digest = hmac.new(key, content, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def callback_body(job_id: str, state: JobState, answer: Answer) -> bytes:
    """Write the message about a finished job: id, state, and the result or the error."""
    message: dict[str, Any] = {"request_id": job_id, "status": state.value}
    try:
        message |= {"err_no": 0, "result": answer.result()}
    except FireError as err:
        message |= {"err_no": err.code.row.number, "err_msg": err.code.row.text_en, "result": None}
    return json.dumps(message).encode()


class Callbacks:
    """One thread that delivers messages, each up to `tries` times with growing pauses."""

    def __init__(
        self,
        clock: Clock,
        *,
        key: bytes,
        tries: int,
        timeout_s: float,
        count: Callable[[str], None] = lambda outcome: None,
        watchman: Watchman = NOBODY,
    ) -> None:
        """Start the thread; `count` is told `delivered`, `failed` or `refused` a message."""
        self._watchman = watchman
        self._given_up = ""
        self._clock = clock
        self._key = key
        self._tries = tries
        self._timeout_s = timeout_s
        self._count = count
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, _Message]] = []
        self._wake = threading.Condition()
        self._ends_mono_s: float | None = None
        self._deadlines = SocketDeadlines()
        self._session = requests.Session()
        self._session.trust_env = False
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, DeadlineAdapter(pool_connections=4, pool_maxsize=1))
        self._thread = threading.Thread(target=self._work, name=_THREAD, daemon=True)
        watchman.watch(_THREAD, allowed_s=timeout_s + _SILENT_S)
        self._thread.start()

    def send(self, job_id: str, url: str, body: bytes) -> None:
        """Queue a message; above the bound it is given up, logged and counted."""
        with self._wake:
            if len(self._waiting) < _MAX_WAITING:
                message = _Message(job_id=job_id, url=url, body=body)
                self._put(message, 0.0)
                return
        get_logger().warning("callback_given_up", job_id=job_id, reason="too many wait")
        self._count("refused")

    def troubles(self, now_at: datetime) -> list[Trouble]:
        """Tell when the newest message that was done with could not be delivered."""
        return [callbacks_failing(self._given_up, now_at)] if self._given_up else []

    def stop(self, timeout_s: float) -> None:
        """Deliver what can be delivered within `timeout_s`, each message once more at most; then end."""
        self._watchman.unwatch(_THREAD)
        with self._wake:
            self._ends_mono_s = self._clock.mono_s() + timeout_s
            self._wake.notify()
        self._thread.join(timeout_s + self._timeout_s)
        self._session.close()
        self._deadlines.stop()

    def _put(self, message: _Message, pause_s: float) -> None:
        at_mono_s = self._clock.mono_s() + pause_s
        heapq.heappush(self._waiting, (at_mono_s, next(self._order), message))
        self._wake.notify()

    def _work(self) -> None:
        while (message := self._next()) is not None:
            try:
                self._deliver(message)
            except Exception as err:  # thread top: one message must not end the others
                get_logger().error("callback_failed", job_id=message.job_id, exc_info=err)
                self._count("failed")

    def _next(self) -> _Message | None:
        with self._wake:
            while True:
                now_mono_s = self._clock.mono_s()
                is_over = self._ends_mono_s is not None and (
                    not self._waiting or now_mono_s >= self._ends_mono_s
                )
                if is_over:
                    return None
                if self._waiting and (self._waiting[0][0] <= now_mono_s or self._ends_mono_s):
                    return heapq.heappop(self._waiting)[2]
                self._watchman.beat(_THREAD)
                due_s = self._waiting[0][0] - now_mono_s if self._waiting else _BEAT_S
                self._wake.wait(min(_BEAT_S, due_s))

    def _deliver(self, message: _Message) -> None:
        self._watchman.beat(_THREAD)
        reason = self._post(message)
        if reason is None:
            self._given_up = ""
            self._count("delivered")
            return
        tried = replace(message, tries=message.tries + 1)
        if tried.tries >= self._tries or self._ends_mono_s is not None:
            get_logger().warning("callback_given_up", job_id=message.job_id, reason=reason)
            self._given_up = f"{urlsplit(message.url).netloc}: {reason}"
            self._count("failed")
            return
        with self._wake:
            self._put(tried, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0**message.tries))

    def _post(self, message: _Message) -> str | None:
        """Send once; returns why it failed."""
        at_s = int(self._clock.now_at().timestamp())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message.job_id,
            "webhook-timestamp": str(at_s),
            "webhook-signature": sign_callback(self._key, message.job_id, at_s, message.body),
        }
        with self._deadlines.call(self._timeout_s):
            try:
                response = self._session.post(
                    message.url,
                    data=message.body,
                    headers=headers,
                    timeout=self._timeout_s,
                    allow_redirects=False,
                    stream=True,  # the answer's body is never read
                )
            except (requests.RequestException, OSError) as err:
                return type(err).__name__
            response.close()
        return None if 200 <= response.status_code < 300 else f"HTTP {response.status_code}"
