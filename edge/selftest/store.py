"""The last test of each camera, on disk. Ring: adapter (SQLite)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from edge.selftest.rules import TestResult
from shared.disk.store import Store
from shared.logs import get_logger

_MIGRATIONS = (
    """
    CREATE TABLE result(camera TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE since(id INTEGER PRIMARY KEY CHECK (id = 1), at TEXT NOT NULL)
    """,
)
_RESULT = TypeAdapter(TestResult)


class SelfTestStore:
    """One row a camera. Every call may raise StoreError."""

    def __init__(self, path: Path) -> None:
        """Open or create the file."""
        self._store = Store(path, _MIGRATIONS, is_checked=True)

    def since(self, now_at: datetime) -> datetime:
        """Tell when this box was first asked, which is now when it never was."""
        with self._store.transaction() as db:
            db.execute("INSERT OR IGNORE INTO since VALUES(1, ?)", (now_at.isoformat(),))
            (at,) = db.execute("SELECT at FROM since").fetchone()
            try:
                return datetime.fromisoformat(at).astimezone(UTC)
            except ValueError as err:  # the schedule begins anew
                get_logger().error("selftest_unreadable", camera="", detail=str(err)[:200])
                db.execute("UPDATE since SET at=?", (now_at.isoformat(),))
        return now_at

    def save(self, result: TestResult) -> None:
        """Keep a result in place of the camera's last one."""
        with self._store.transaction() as db:
            body = _RESULT.dump_json(result).decode()
            db.execute("INSERT OR REPLACE INTO result VALUES(?,?)", (result.camera, body))

    def results(self) -> list[TestResult]:
        """Give the last result of each camera; one that cannot be read any more is left out and logged."""
        with self._store.transaction() as db:
            rows = db.execute("SELECT camera, body FROM result").fetchall()
        found = []
        for camera, body in rows:
            try:
                found.append(_RESULT.validate_json(body))
            except ValidationError as err:
                get_logger().error("selftest_unreadable", camera=camera, detail=str(err)[:200])
        return found

    def close(self) -> None:
        """Close the file."""
        self._store.close()
