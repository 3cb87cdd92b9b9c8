"""Requests with an Idempotency-Key: the work is done once, its answer given as often as asked for. Ring: rim."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any

from flask import g, request

from cloud.caller import owner
from cloud.jobs.answer import Answer
from cloud.jobs.idempotency import AnswerBook, Claim, Once, answer_once
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import FireError

_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,3})(?=$|[,;\s])")
_LOOK_AGAIN_S = 0.02


class Keyed:
    """Answers by caller and key. At most `seats` callers wait for the first request with their key."""

    def __init__(self, book: AnswerBook, *, seats: int) -> None:
        """Keep where answers are; who waits holds a request thread but no place, hence `seats` ≥ 1 bounds them."""
        self.book = book
        self._seats = threading.BoundedSemaphore(seats)

    def result(
        self,
        key: str,
        asked: str,
        work: Callable[[Claim], Answer],
        until: Deadline | None = None,
    ) -> Any:
        """Give the result of a request: what was kept, or else what `work` does.

        A caller who says `Prefer: wait=<seconds>` (RFC 7240) waits for the first request with its key, up to `until`,
        instead of being sent away with 409: its second try gets the answer that its first one was too impatient for.
        When all seats are taken it is sent away after all.
        """

        def ask() -> Once:
            until_s = until.remaining_s() if until else 0.0
            return answer_once(self.book, owner(), key, asked, work, until_s=until_s)

        try:
            done = ask()
        except FireError as err:
            patience = _patience(until)
            if not _is_running(err) or patience is None:
                raise
            done = self._wait(ask, patience, err)
        g.is_replayed = done.is_replayed
        return done.answer.result()

    def _wait(self, ask: Callable[[], Once], patience: Deadline, refusal: FireError) -> Once:
        if not self._seats.acquire(blocking=False):
            raise refusal
        try:
            while not patience.has_passed():
                time.sleep(_LOOK_AGAIN_S)
                try:
                    return ask()
                except FireError as err:
                    if not _is_running(err):
                        raise
            raise refusal
        finally:
            self._seats.release()


def _is_running(error: FireError) -> bool:
    return error.code is ErrorCode.IDEMPOTENCY_RUNNING


def _patience(until: Deadline | None) -> Deadline | None:
    match = _WAIT.search(request.headers.get("Prefer", ""))
    if match is None or until is None:
        return None
    return Deadline.after(min(float(match[1]), until.remaining_s()), until.clock)
