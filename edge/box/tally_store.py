"""The counts of the tally on disk. Ring: adapter (SQLite)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from edge.box.tally import Counts, Key
from shared.disk.store import Store

_MIGRATIONS = (
    """
    CREATE TABLE tally(
        hour TEXT NOT NULL, camera TEXT NOT NULL, name TEXT NOT NULL, count INTEGER NOT NULL,
        PRIMARY KEY(hour, camera, name)
    ) WITHOUT ROWID
    """,
)


class SqliteTallyStore:
    """Keeps counts by hour, camera and name."""

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            StoreError
        """
        self._store = Store(path, _MIGRATIONS, is_checked=True)

    def add(self, counts: Counts) -> None:
        """Add counts to what is kept.

        Raises:
            StoreError
        """
        rows = [(key.hour, key.camera, key.name, count) for key, count in counts.items()]
        if not rows:
            return
        with self._store.transaction() as db:
            db.executemany(
                "INSERT INTO tally VALUES(?,?,?,?)"
                " ON CONFLICT(hour, camera, name) DO UPDATE SET count=count+excluded.count",
                rows,
            )

    def between(self, first_hour: str, last_hour: str, names: Sequence[str]) -> dict[Key, int]:
        """Give some counts of some hours, both ends included.

        Raises:
            StoreError
        """
        with self._store.transaction() as db:
            rows = db.execute(
                "SELECT hour, camera, name, count FROM tally"
                " WHERE hour BETWEEN ? AND ? AND name IN (SELECT value FROM json_each(?))",
                (first_hour, last_hour, json.dumps(names)),
            ).fetchall()
        return {Key(hour=h, camera=c, name=n): count for h, c, n, count in rows}

    def days(self, first_day: str, last_day: str, names: Sequence[str]) -> dict[Key, int]:
        """Give some counts of some days, both ends included; the keys' hours are days.

        Raises:
            StoreError
        """
        with self._store.transaction() as db:
            rows = db.execute(
                "SELECT substr(hour, 1, 10) AS day, camera, name, sum(count) FROM tally"
                " WHERE hour BETWEEN ? AND ? AND name IN (SELECT value FROM json_each(?))"
                " GROUP BY day, camera, name",
                (first_day, f"{last_day}T24", json.dumps(names)),
            ).fetchall()
        return {Key(hour=day, camera=c, name=n): count for day, c, n, count in rows}

    def prune(self, before_day: str) -> None:
        """Forget the hours before a day, `YYYY-MM-DD`.

        Raises:
            StoreError
        """
        with self._store.transaction() as db:
            db.execute("DELETE FROM tally WHERE hour<?", (before_day,))

    def close(self) -> None:
        """Close the file."""
        self._store.close()
