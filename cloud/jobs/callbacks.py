"""Telling callers' own servers that a job is finished: who may be called, with which words, through whom. Ring: rim.

Only addresses that the operator listed are called. Each message is signed as standardwebhooks.com describes:
`webhook-signature: v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. The `webhook-id` stays the same over
all tries, so that a receiver can tell a repeated message from a new one. Every receiver has a thread and a queue of its
own (`cloud.jobs.callback_receiver`): one that is dead or slow delays nobody else's messages.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from cloud.jobs.answer import Answer
from cloud.jobs.callback_receiver import CallbackReceiver, CallbackSettings, Message
from cloud.jobs.jobs import JobState
from cloud.troubles import callbacks_failing
from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import FireError, RequestError
from shared.logs import get_logger
from shared.watch.heartbeat import NOBODY, Watchman
from shared.watch.trouble import Trouble

_MAX_URL_CHARACTERS = 500


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


def callback_body(job_id: str, state: JobState, answer: Answer) -> bytes:
    """Write the message about a finished job: id, state, and the result or the error."""
    message: dict[str, Any] = {"request_id": job_id, "status": state.value}
    try:
        message |= {"err_no": 0, "err_msg": "success", "result": answer.result()}
    except FireError as err:
        message |= {"err_no": err.code.row.number, "err_msg": err.code.row.text_en, "result": None}
    return json.dumps(message).encode()


class Callbacks:
    """The receivers, one for each host and port of the operator's list; safe for use by many threads."""

    def __init__(
        self,
        clock: Clock,
        settings: CallbackSettings,
        allowed: Sequence[str],
        *,
        count: Callable[[str], None] = lambda outcome: None,
        watchman: Watchman = NOBODY,
    ) -> None:
        """Start without any receiver.

        Args:
            clock: the machine's clocks.
            settings: how each message is sent.
            allowed: the operator's list, see `check_callback`.
            count: told `delivered`, `failed` or `refused` a message.
            watchman: watches the receivers' threads.
        """
        self._clock = clock
        self._settings = settings
        self._allowed = allowed
        self._count = count
        self._watchman = watchman
        self._lock = threading.Lock()
        self._receivers: dict[str, CallbackReceiver] = {}

    def send(self, job_id: str, url: str, body: bytes) -> None:
        """Queue a message, see `CallbackReceiver.send`.

        The address is held against the list again: it may come out of a Redis that others write to, too.
        """
        try:
            check_callback(url, self._allowed)
        except RequestError as err:
            get_logger().warning("callback_given_up", job_id=job_id, reason=err.detail)
            self._count("refused")
            return
        self._receiver(urlsplit(url).netloc).send(Message(job_id=job_id, url=url, body=body))

    def troubles(self, now_at: datetime) -> list[Trouble]:
        """Tell which receivers did not take the newest message that was done with."""
        with self._lock:
            receivers = list(self._receivers.values())
        failing = [receiver.given_up for receiver in receivers if receiver.given_up]
        return [callbacks_failing("; ".join(failing), now_at)] if failing else []

    def stop(self, timeout_s: float) -> None:
        """Deliver what can be delivered within `timeout_s`, each message once more at most; then end."""
        with self._lock:
            receivers = list(self._receivers.values())
        for receiver in receivers:
            receiver.end(timeout_s)
        for receiver in receivers:
            receiver.join()

    def _receiver(self, address: str) -> CallbackReceiver:
        with self._lock:
            if address not in self._receivers:
                self._receivers[address] = CallbackReceiver(
                    address,
                    self._settings,
                    clock=self._clock,
                    count=self._count,
                    watchman=self._watchman,
                )
            return self._receivers[address]
