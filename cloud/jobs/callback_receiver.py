"""Delivers finished jobs to one caller's server, try after try. Ring: adapter (network)."""

from __future__ import annotations

import base64
import hashlib
import heapq
import hmac
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import requests

from shared.clock import Clock
from shared.logs import get_logger
from shared.watch.heartbeat import Watchman
from shared.web.socket_deadline import DeadlineAdapter, SocketDeadlines

_BEAT_S = 5.0
_SILENT_S = 30.0
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_CUT_S = 1.0  # a thread whose socket was shut needs no longer
# Messages of 1 kB; above, the newest is given up and the result can still be fetched.
_MAX_WAITING = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackSettings:
    """With what messages are signed, how often each is tried, and how long one try may take."""

    key: bytes
    tries: int
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a receiver is told; `tries` counts those that failed."""

    job_id: str
    url: str
    body: bytes
    tries: int = 0


def sign_callback(key: bytes, message_id: str, at_s: int, body: bytes) -> str:
    """Give the value of `webhook-signature`; a receiver computes the same and compares."""
    content = f"{message_id}.{at_s}.".encode() + body
    digest = hmac.new(key, content, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


class CallbackReceiver:
    """One thread that delivers the messages of one host, each up to `tries` times with growing pauses."""

    def __init__(
        self,
        address: str,
        settings: CallbackSettings,
        *,
        clock: Clock,
        count: Callable[[str], None],
        watchman: Watchman,
    ) -> None:
        """Start the thread; `count` is told `delivered`, `failed` or `refused` a message."""
        self._address = address
        self._settings = settings
        self._clock = clock
        self._count = count
        self._watchman = watchman
        self.given_up = ""
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, Message]] = []
        self._wake = threading.Condition()
        self._ends_mono_s: float | None = None
        self._deadlines = SocketDeadlines()
        self._session = requests.Session()
        self._session.trust_env = False
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, DeadlineAdapter(pool_connections=1, pool_maxsize=1))
        self._name = f"callbacks-{address}"
        self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        watchman.watch(self._name, allowed_s=settings.timeout_s + _SILENT_S)
        self._thread.start()

    def send(self, message: Message) -> None:
        """Queue a message; above the bound it is given up, logged and counted."""
        with self._wake:
            if len(self._waiting) < _MAX_WAITING:
                self._put(message, 0.0)
                return
        self._drop(message, "too many wait", "refused")

    def end(self, timeout_s: float) -> None:
        """Let it deliver what it can within `timeout_s`, each message once more at most, and end; waits for nothing."""
        self._watchman.unwatch(self._name)
        with self._wake:
            self._ends_mono_s = self._clock.mono_s() + timeout_s
            self._wake.notify()

    def join(self) -> None:
        """Wait for the thread that was told to end; a try that is still under way is cut then."""
        self._thread.join(max(0.0, (self._ends_mono_s or 0.0) - self._clock.mono_s()))
        self._deadlines.stop()
        self._thread.join(_CUT_S)
        self._session.close()
        with self._wake:
            left, self._waiting = self._waiting, []
        for _, _, message in left:
            self._drop(message, "the service stopped", "failed")

    def _put(self, message: Message, pause_s: float) -> None:
        at_mono_s = self._clock.mono_s() + pause_s
        heapq.heappush(self._waiting, (at_mono_s, next(self._order), message))
        self._wake.notify()

    def _work(self) -> None:
        while (message := self._next()) is not None:
            try:
                self._deliver(message)
            except Exception as err:  # sink call: one message must not end the others
                get_logger().error("callback_failed", job_id=message.job_id, exc_info=err)
                self._count("failed")

    def _next(self) -> Message | None:
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
                self._watchman.beat(self._name)
                due_s = self._waiting[0][0] - now_mono_s if self._waiting else _BEAT_S
                self._wake.wait(min(_BEAT_S, due_s))

    def _deliver(self, message: Message) -> None:
        self._watchman.beat(self._name)
        reason = self._post(message)
        if reason is None:
            self.given_up = ""
            self._count("delivered")
            return
        tried = replace(message, tries=message.tries + 1)
        if tried.tries >= self._settings.tries or self._ends_mono_s is not None:
            self.given_up = f"{self._address}: {reason}"
            self._drop(message, reason, "failed")
            return
        with self._wake:
            self._put(tried, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0**message.tries))

    def _drop(self, message: Message, reason: str, outcome: str) -> None:
        get_logger().warning("callback_given_up", job_id=message.job_id, reason=reason)
        self._count(outcome)

    def _post(self, message: Message) -> str | None:
        """Send once; returns why it failed."""
        at_s = int(self._clock.now_at().timestamp())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message.job_id,
            "webhook-timestamp": str(at_s),
            "webhook-signature": sign_callback(
                self._settings.key, message.job_id, at_s, message.body
            ),
        }
        with self._deadlines.call(self._settings.timeout_s):
            try:
                response = self._session.post(
                    message.url,
                    data=message.body,
                    headers=headers,
                    timeout=self._settings.timeout_s,
                    allow_redirects=False,
                    stream=True,  # the answer's body is never read
                )
            except (requests.RequestException, OSError) as err:
                return type(err).__name__
            response.close()
        return None if 200 <= response.status_code < 300 else f"HTTP {response.status_code}"
