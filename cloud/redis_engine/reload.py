"""A reload that reaches every worker: one number that grows, and what each worker says of it. Ring: adapter (network).

A front end raises the number; workers see that with their next beat, reload, and write down how it went.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cloud.redis_engine.link import RedisLink
from shared.errors import FireError
from shared.logs import get_logger
from shared.types import ModelIdentity, Reloaded

_KEPT_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one worker said: what it did, or why it stays with its model."""

    reloaded: Reloaded | None
    refusal: str


class ReloadBoard:
    """The number and the answers, in Redis; every call may raise FireError(ENGINE_UNAVAILABLE)."""

    def __init__(self, link: RedisLink) -> None:
        """Keep the connection."""
        self._link = link
        self._key = link.key("reload")

    def ask(self) -> int:
        """Ask all workers to reload; gives the number of this wish."""
        return self._link.ask(lambda: int(self._link.client.incr(self._key)))

    def newest(self) -> int:
        """Tell the number of the newest wish."""
        return self._link.ask(lambda: int(self._link.client.get(self._key) or 0))

    def tell(self, number: int, worker: str, told: Mapping[str, Any]) -> None:
        """Write down how it went at one worker."""
        link, key = self._link, self._answers(number)
        link.ask(lambda: link.client.hset(key, worker, json.dumps(told)))
        link.ask(lambda: link.client.expire(key, _KEPT_S))

    def told(self, number: int) -> dict[str, Told]:
        """Read what the workers said so far, by their names."""
        with self._link.guard():
            found = self._link.client.hgetall(self._answers(number))
            return {name.decode(): _told(json.loads(text)) for name, text in found.items()}

    def _answers(self, number: int) -> str:
        return self._link.key("reload", str(number))


class ReloadListener:
    """A worker's side: `look` is called now and then; a reload runs in a thread of its own, one at a time."""

    def __init__(self, board: ReloadBoard, worker: str, reload: Callable[[], Reloaded]) -> None:
        """Keep what to do."""
        self._board = board
        self._worker = worker
        self._reload = reload
        # A wish from before the start is answered, too: whoever asked may still wait.
        self._seen = 0
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Begin a reload when one was asked for since the last look.

        Raises:
            FireError(ENGINE_UNAVAILABLE)
        """
        newest = self._board.newest()
        is_idle = self._thread is None or not self._thread.is_alive()
        if newest == self._seen or not is_idle:
            return
        self._seen = newest
        work = functools.partial(self._work, newest)
        self._thread = threading.Thread(target=work, name="worker-reload", daemon=True)
        self._thread.start()

    def _work(self, number: int) -> None:
        try:
            told: dict[str, Any] = self._reload().as_dict()
        except FireError as err:
            told = {"refusal": err.detail}
        except Exception as err:  # thread top: the worker goes on with the model it has
            get_logger().error("worker_reload_failed", exc_info=err)
            told = {"refusal": "see the log of the worker"}
        try:
            self._board.tell(number, self._worker, told)
        except FireError as err:
            get_logger().error("worker_reload_not_told", detail=err.detail)


def _told(wire: Mapping[str, Any]) -> Told:
    if "refusal" in wire:
        return Told(reloaded=None, refusal=str(wire["refusal"]))
    before = wire["before"]
    done = Reloaded(
        model=ModelIdentity(**wire["model"]), before=ModelIdentity(**before) if before else None
    )
    return Told(reloaded=done, refusal="")
