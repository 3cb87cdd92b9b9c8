"""Work on a disk, on a thread of its own: one that hangs keeps nobody for more than a moment. Ring: adapter (a thread).

A worn-out card or a network folder whose server is away may neither take a write nor refuse it, and no thread that
waits for it can be called back. So it is not the asker's thread that waits, and once it hangs everybody is refused at
once.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from shared.clock import SystemClock
from shared.error_code import ErrorCode
from shared.errors import StoreError
from shared.logs import get_logger

PATIENCE_S = 5.0
"""Of whoever has nothing to fall back on: a card that tidies up has been seen to take a second."""
_HANGS_AFTER_S = 2.0  # as long as SQLite waits for another process
_STOP_WAIT_S = 5.0
_PARTS = 4

_P = ParamSpec("_P")
_T = TypeVar("_T")


class DiskThread:
    """Does one thing after the other; safe for use by many threads.

    Its queue holds no more than the threads that wait: what nobody waits for any more and was not begun is not done.
    """

    def __init__(
        self, name: str, *, patience_s: float = PATIENCE_S, hangs_after_s: float = _HANGS_AFTER_S
    ) -> None:
        """Prepare; the thread begins with the first work.

        Args:
            name: of the thread.
            patience_s: how long callers wait who do not say.
            hangs_after_s: what takes longer hangs.
        """
        self._name = name
        self._patience_s = patience_s
        self._hangs_after_s = hangs_after_s
        self._clock = SystemClock()
        self._begun_mono_s: float | None = None
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._turn = threading.Lock()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def trouble(self) -> str | None:
        """Tell that the disk hangs; None while it answers."""
        begun_mono_s = self._begun_mono_s
        if begun_mono_s is None or self._clock.mono_s() - begun_mono_s < self._hangs_after_s:
            return None
        return "the disk does not answer"

    def do(
        self,
        work: Callable[[], _T],
        *,
        within_s: float | None = None,
        late: Callable[[_T], object] = lambda result: None,
    ) -> _T:
        """Have something done and give what came of it.

        Args:
            work: what to do; raises what it likes.
            within_s: how long the caller waits; `patience_s` for None.
            late: undoes it, on the thread, where it succeeded after the caller had left.

        Raises:
            StoreError(STORE_UNAVAILABLE): the disk did not answer in time, or hangs already.
        """
        if self.trouble:
            raise self._unanswered()
        promised: Future[_T] = Future()
        if not self._take(functools.partial(_fulfil, promised, work)):
            return work()  # the thread has ended, and what it worked on was closed
        try:
            return _awaited(promised, self._patience_s if within_s is None else within_s)
        except TimeoutError:
            if promised.cancel():
                raise self._unanswered() from None
            if promised.done():  # at the last moment, or the work itself raised this
                return promised.result()
        promised.add_done_callback(functools.partial(_undo, late))
        raise self._unanswered()

    def stop(self, last: Callable[[], object] = lambda: None) -> None:
        """End after what is under way, and after one `last` work; for a disk that hangs nobody waits."""
        self._take(functools.partial(_fulfil, Future(), last))
        with self._turn:
            self._is_stopped = True
            self._waiting.put(None)
        if self.trouble is None:
            self._thread.join(_STOP_WAIT_S)

    def _take(self, step: Callable[[], None]) -> bool:
        """Put something in line; False after `stop`."""
        with self._turn:
            if not self._is_stopped:
                if self._thread.ident is None:
                    self._thread.start()
                self._waiting.put(step)
            return not self._is_stopped

    def _unanswered(self) -> StoreError:
        return StoreError(ErrorCode.STORE_UNAVAILABLE, f"{self._name}: the disk does not answer")

    def _run(self) -> None:
        while (step := self._waiting.get()) is not None:
            self._begun_mono_s = self._clock.mono_s()
            step()
            self._begun_mono_s = None


def _awaited(promised: Future[_T], within_s: float) -> _T:
    """Wait in parts, of which a stop of the whole process uses up one: its disk could not answer meanwhile either."""
    for _ in range(_PARTS - 1):
        with contextlib.suppress(TimeoutError):
            return promised.result(within_s / _PARTS)
    return promised.result(within_s / _PARTS)


def _fulfil(promised: Future[_T], work: Callable[[], _T]) -> None:
    if not promised.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except Exception as err:  # thread top: whoever waits hears of it
        promised.set_exception(err)
    else:
        promised.set_result(result)


def _undo(late: Callable[[_T], object], promised: Future[_T]) -> None:
    if promised.exception() is not None:
        return
    try:
        late(promised.result())
    except StoreError as err:
        get_logger().error("late_write_not_undone", detail=err.detail)


class _HasDisk(Protocol):
    _disk: DiskThread


_S = TypeVar("_S", bound=_HasDisk)


def on_disk(method: Callable[Concatenate[_S, _P], _T]) -> Callable[Concatenate[_S, _P], _T]:
    """Let a method run on the `_disk` of its object; it raises StoreError when the disk does not answer."""

    @functools.wraps(method)
    def run(self: _S, /, *args: _P.args, **named: _P.kwargs) -> _T:
        return self._disk.do(functools.partial(method, self, *args, **named))

    return run
