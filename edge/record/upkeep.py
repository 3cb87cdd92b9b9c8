"""Looks after what a box keeps: lets go of what is old, warns when room runs out, notes the head of the chain each day.

Ring: adapter (a thread).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date, datetime, timedelta

from prometheus_client import CollectorRegistry, Gauge

from edge.decide.ledger import Ledger
from edge.record.records import Records
from shared.errors import FireError, StoreError
from shared.logs import get_logger
from shared.watch.supervise import Supervisor

_THREAD = "upkeep"
_EVERY_S = 60.0  # the room that eight cameras fill meanwhile is some 100 MB
# After a round that failed: a disk that can be written again is noticed within a minute.
_AGAIN_S = 20.0
_SILENT_S = 900.0  # after a month without room there is much to delete
_STOP_WAIT_S = 5.0


class Upkeep:
    """The thread that does it; one round a minute."""

    def __init__(
        self,
        records: Records,
        ledger: Ledger,
        supervisor: Supervisor,
        *,
        keep_days: int,
        also: Callable[[float], None] = lambda every_s: None,
        forget: Callable[[datetime], None] = lambda now_at: None,
    ) -> None:
        """Keep what to look after.

        Args:
            records: the evidence.
            ledger: its rows go after `keep_days`, but not within the month they count for.
            supervisor: watches the thread.
            keep_days: of evidence and ledger.
            also: done in each round, whatever became of the evidence; told the seconds since the last one.
            forget: told the time by which evidence ages, in each round in which that can be used.
        """
        self._records = records
        self._ledger = ledger
        self._supervisor = supervisor
        self._keep_days = keep_days
        self._also = also
        self._forget = forget
        self._noted: date | None = None
        self._waited_s = _EVERY_S
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=_THREAD, daemon=True)

    def start(self) -> None:
        """Begin with a round now."""
        self._supervisor.watch(_THREAD, allowed_s=_SILENT_S)
        self._thread.start()

    def stop(self) -> None:
        """End after the step it is at; what is half deleted is finished at the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_WAIT_S)

    def round(self) -> None:
        """Do everything that is due.

        Raises:
            StoreError: something could not be written; the evidence store has told so as a trouble.
        """
        try:
            now_at = self._records.keep_clock.now_at()
            today = now_at.date()
            self._records.prune()
            self._forget(now_at)
            if today != self._noted:
                self._note_day(today)
                self._noted = today
        finally:  # each has a file of its own, perhaps on another disk
            self._ledger.look_again()
            self._also(self._waited_s)

    def add_metrics(self, registry: CollectorRegistry) -> None:
        """Add what the evidence takes, asked at each scrape; NaN while the store cannot be read."""
        size = Gauge("fire_edge_evidence_bytes", "Bytes of kept pictures.", registry=registry)
        size.set_function(_or_nan(lambda: self._records.archive.bytes_kept()))
        age = Gauge(
            "fire_edge_evidence_oldest_seconds",
            "Since the oldest kept event was last added to; 0 without any.",
            registry=registry,
        )
        age.set_function(_or_nan(self._oldest_s))

    def _note_day(self, today: date) -> None:
        # A head in a log that left the box proves that nothing before it was made up later. Of a day that is over it is
        # the last one, where exports of its events end; at a start it is the newest.
        seq, chain = self._records.archive.head(before=today if self._noted else None)
        get_logger().info("evidence_head", day=today.isoformat(), seq=seq, chain=chain)
        month = today.replace(day=1)
        before = min(today - timedelta(days=self._keep_days), month)
        removed = self._ledger.prune(before.isoformat())
        if removed:
            get_logger().info("ledger_pruned", before=before.isoformat(), rows=removed)

    def _oldest_s(self) -> float:
        oldest_at = self._records.archive.oldest_kept_at()
        if oldest_at is None:
            return 0.0
        return (self._records.keep_clock.now_at() - oldest_at).total_seconds()

    def _run(self) -> None:
        while True:
            self._supervisor.beat(_THREAD)
            wait_s = _AGAIN_S
            try:
                self.round()
                wait_s = _EVERY_S
            except StoreError as err:
                get_logger().error("upkeep_failed", detail=err.detail)
            except Exception as err:  # thread top: the next round may do better
                get_logger().error("upkeep_failed", exc_info=err)
            if self._stopping.wait(wait_s):
                return
            self._waited_s = wait_s


def _or_nan(read: Callable[[], float]) -> Callable[[], float]:
    def value() -> float:
        try:
            return float(read())
        except FireError:
            return float("nan")

    return value
