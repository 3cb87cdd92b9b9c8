"""Zones that were drawn on the page, on disk: every version of every camera's, none altered. Ring: adapter (SQLite)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from edge.config_events import ZoneSection, ZoneSections
from shared.error_code import ErrorCode
from shared.errors import StoreError
from shared.store import Store

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
    """Versions by camera. Every call may raise StoreError."""

    def __init__(self, path: Path) -> None:
        """Open or create the file."""
        self._path = path
        self._store = Store(path, _MIGRATIONS, is_checked=True)

    def newest(self) -> list[SavedZones]:
        """Give the version of each camera that was saved last."""
        with self._store.transaction() as db:
            rows = db.execute(
                "SELECT number, camera, at, by, body FROM zones"
                " WHERE number IN (SELECT max(number) FROM zones GROUP BY camera)"
            ).fetchall()
        return [self._saved(*row) for row in rows]

    def versions(self, camera: str, most: int) -> list[SavedZones]:
        """Give a camera's versions, the newest first."""
        with self._store.transaction() as db:
            rows = db.execute(
                "SELECT number, camera, at, by, body FROM zones WHERE camera = ?"
                " ORDER BY number DESC LIMIT ?",
                (camera, most),
            ).fetchall()
        return [self._saved(*row) for row in rows]

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

    def _saved(self, number: int, camera: str, at: str, by: str, body: str | None) -> SavedZones:
        try:
            zones = None if body is None else ZONES.validate_json(body)
        except ValidationError as err:  # watching on without a private zone is no choice of ours
            detail = f"{self._path}: version {number} of {camera}'s zones cannot be read: {err}"
            raise StoreError(ErrorCode.STORE_UNAVAILABLE, detail) from err
        return SavedZones(
            number=number, camera=camera, at=datetime.fromisoformat(at), by=by, zones=zones
        )
