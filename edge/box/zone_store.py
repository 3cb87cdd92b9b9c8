"""Zones that were drawn on the page, on disk: every version of every camera's, none altered. Ring: adapter (SQLite)."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from edge.config.events import ZoneSection, ZoneSections
from shared.disk.store import Store
from shared.logs import get_logger

_MIGRATIONS = (
    """
    CREATE TABLE zones(
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        camera TEXT NOT NULL,
        at TEXT NOT NULL,
        by TEXT NOT NULL,
        body TEXT
    );
    CREATE INDEX zones_of ON zones(camera, number)
    """,
)
_ASIDE = "damaged:"  # before the name of a camera, which has no colon
_KEPT_VERSIONS = 100  # of one camera; a version with all its zones has at most some 30 kB
ZONES: TypeAdapter[dict[str, ZoneSection]] = TypeAdapter(ZoneSections)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedZones:
    """One version; `zones` is None where a camera was given back to the configuration."""

    number: int
    camera: str
    at: datetime
    by: str
    zones: dict[str, ZoneSection] | None


class ZoneStore:
    """Versions by camera; `unread` are those of whose newest version nothing could be made. Calls raise StoreError."""

    def __init__(self, path: Path) -> None:
        """Open or create the file."""
        self.unread: set[str] = set()
        self._store = Store(path, _MIGRATIONS, is_checked=True)

    def newest(self) -> list[SavedZones]:
        """Give the version of each camera that was saved last; what cannot be read is set aside, see `unread`."""
        with self._store.transaction() as db:
            cameras = db.execute(
                "SELECT DISTINCT camera FROM zones WHERE camera NOT LIKE ?", (f"{_ASIDE}%",)
            ).fetchall()
            found = [self._newest_of(db, camera) for (camera,) in cameras]
        return [saved for saved in found if saved is not None]

    def versions(self, camera: str, most: int) -> list[SavedZones]:
        """Give a camera's versions that can be read, the newest first."""
        with self._store.transaction() as db:
            rows = _rows_of(db, camera, most)
        return [saved for row in rows if (saved := _saved_or_none(*row)) is not None]

    def add(
        self,
        camera: str,
        zones: dict[str, ZoneSection] | None,
        *,
        at: datetime,
        by: str,
        after: int,
    ) -> SavedZones | None:
        """Add a version; None, and nothing is changed, when the newest is not the one it comes `after` (0: none)."""
        body = None if zones is None else ZONES.dump_json(zones).decode()
        with self._store.transaction() as db:
            (newest,) = db.execute(
                "SELECT coalesce(max(number), 0) FROM zones WHERE camera = ?", (camera,)
            ).fetchone()
            if newest != after:
                return None
            row = db.execute(
                "INSERT INTO zones(camera, at, by, body) VALUES(?,?,?,?)",
                (camera, at.isoformat(), by, body),
            )
            number = row.lastrowid or 0
            db.execute(
                "DELETE FROM zones WHERE camera = ? AND number NOT IN"
                " (SELECT number FROM zones WHERE camera = ? ORDER BY number DESC LIMIT ?)",
                (camera, camera, _KEPT_VERSIONS),
            )
        return SavedZones(number=number, camera=camera, at=at, by=by, zones=zones)

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def _newest_of(self, db: sqlite3.Connection, camera: str) -> SavedZones | None:
        for row in _rows_of(db, camera, _KEPT_VERSIONS):
            saved = _saved_or_none(*row)
            if saved is not None:
                return saved
            self.unread.add(camera)
            db.execute("UPDATE zones SET camera=? WHERE number=?", (_ASIDE + camera, row[0]))
        return None


def _rows_of(db: sqlite3.Connection, camera: str, most: int) -> list[tuple[Any, ...]]:
    return db.execute(
        "SELECT number, camera, at, by, body FROM zones WHERE camera = ?"
        " ORDER BY number DESC LIMIT ?",
        (camera, most),
    ).fetchall()


def _saved_or_none(number: int, camera: str, at: str, by: str, body: Any) -> SavedZones | None:
    try:
        zones = None if body is None else ZONES.validate_json(body)
        saved_at = datetime.fromisoformat(at)
    except ValueError as err:
        get_logger().error("zones_unreadable", camera=camera, version=number, detail=str(err)[:200])
        return None
    return SavedZones(number=number, camera=camera, at=saved_at, by=by, zones=zones)
