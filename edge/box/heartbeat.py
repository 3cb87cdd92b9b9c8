"""Tells the cloud every half minute how this box is; never disturbs anything else. Ring: adapter (a thread).

A report that fails is forgotten: the next one tells everything again, and the breaker is not asked. On a box whose
frames are all quiet it is what notices that the cloud is away.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from shared.clock import Clock
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import FireError, LinkError
from shared.fleet import EVERY_S, EdgeReport
from shared.logs import get_logger
from shared.watch.supervise import Supervisor

_THREAD = "fleet-heartbeat"
_TRY_S = 5.0
_SILENT_S = 2.2 * EVERY_S + _TRY_S
_FIRST_S = 1.0
_AGAIN_S = 5.0  # after a report that no cloud took, so that its absence and its return are known within a minute
_SILENT_AFTER = 2  # one lost report may be a hiccup
_AWAY = (ErrorCode.CLOUD_UNREACHABLE, ErrorCode.CLOUD_TIMEOUT)  # any other error is an answer


class FleetHeartbeat:
    """Reports from a thread of its own."""

    def __init__(
        self,
        report: Callable[[], EdgeReport],
        send: Callable[[bytes, Deadline], None],
        supervisor: Supervisor,
        clock: Clock,
        *,
        every_s: float = EVERY_S,
    ) -> None:
        """Keep what to tell and how; `send` raises LinkError when nobody heard it."""
        self._report = report
        self._send = send
        self._supervisor = supervisor
        self._clock = clock
        self._every_s = every_s
        self._is_heard: bool | None = None
        self._lost_in_a_row = 0
        self.refusal: str | None = None
        """Why the cloud does not take this box's reports, nor its pictures then; None when it may."""
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=_THREAD, daemon=True)

    @property
    def is_cloud_silent(self) -> bool:
        """Tell whether the last reports found nobody who answers."""
        return self._lost_in_a_row >= _SILENT_AFTER

    def start(self) -> None:
        """Begin to report."""
        self._supervisor.watch(_THREAD, allowed_s=_SILENT_S + self._every_s)
        self._thread.start()

    def stop(self) -> None:
        """Stop; a report that is on its way may still arrive."""
        self._is_stopping.set()
        if self._thread.is_alive():
            self._supervisor.unwatch(_THREAD)
            self._thread.join(_TRY_S)

    def _run(self) -> None:
        wait_s = min(_FIRST_S, self._every_s)
        while not self._is_stopping.wait(wait_s):
            self._supervisor.beat(_THREAD)
            self._tell()
            pause_s = min(_AGAIN_S, self._every_s) if self._lost_in_a_row else self._every_s
            wait_s = pause_s * random.uniform(0.9, 1.1)  # boxes that start together drift apart

    def _tell(self) -> None:
        try:
            body = self._report().model_dump_json().encode()
            self._send(body, Deadline.after(_TRY_S, self._clock))
        except FireError as err:
            self._lost_in_a_row = self._lost_in_a_row + 1 if err.code in _AWAY else 0
            self.refusal = err.detail if isinstance(err, LinkError) and err.is_locked_out else None
            self._note(is_heard=False, detail=err.detail)
        except Exception as err:  # thread top: a report must never end the thread
            get_logger().error("fleet_report_failed", exc_info=err)
        else:
            self._lost_in_a_row = 0
            self.refusal = None
            self._note(is_heard=True, detail=None)

    def _note(self, *, is_heard: bool, detail: str | None) -> None:
        if is_heard is not self._is_heard:
            self._is_heard = is_heard
            event = "fleet_report_heard" if is_heard else "fleet_report_not_heard"
            get_logger().info(event, **({"detail": detail} if detail else {}))
