"""What was told of which event to whom, on disk. Ring: adapter (SQLite, a thread)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from edge.alert.rules import Case
from shared.disk.disk_thread import DiskThread, on_disk
from shared.disk.store import Store
from shared.logs import get_logger

_MIGRATIONS = (
    "CREATE TABLE alert_case(event_id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID",
)
_CASE = TypeAdapter(Case)
_PATIENCE_S = 0.5  # the alerts of other events wait meanwhile


class AlertStore:
    """One row an event; every change is synced before it returns.

    Every call may raise StoreError, and does so soon where the disk hangs.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file."""
        self._store = Store(path, _MIGRATIONS)
        self._disk = DiskThread("alerts-disk", patience_s=_PATIENCE_S)

    @on_disk
    def save(self, case: Case) -> None:
        """Keep a case."""
        with self._store.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO alert_case VALUES(?,?)",
                (case.event.event_id, _CASE.dump_json(case).decode()),
            )

    def load(self) -> list[Case]:
        """Give all cases; a row that cannot be read any more is left out and logged."""
        with self._store.transaction() as db:
            rows = db.execute("SELECT event_id, body FROM alert_case").fetchall()
        cases = []
        for event_id, body in rows:
            try:
                cases.append(_CASE.validate_json(body))
            except ValidationError as err:
                get_logger().error(
                    "alert_case_unreadable", event_id=event_id, detail=str(err)[:200]
                )
        return cases

    @on_disk
    def forget(self, event_ids: Iterable[str]) -> None:
        """Delete cases."""
        with self._store.transaction() as db:
            db.executemany("DELETE FROM alert_case WHERE event_id=?", [(e,) for e in event_ids])

    def close(self) -> None:
        """Close the file."""
        self._disk.stop(self._store.close)
