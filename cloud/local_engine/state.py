"""Sessions and reports of one cloud on its own disk. Ring: adapter (SQLite).

The file is opened with the first thing to keep, so that a service that nobody signs in to needs no folder for it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from cloud.fleet.fleet import KEPT_DAYS, MOST_EDGES, Heard, News
from shared.access.sessions import MOST_SESSIONS, SeenSession
from shared.clock import Clock
from shared.disk.store import Store, set_damaged_aside
from shared.errors import StoreError

_MIGRATIONS = (
    """
    CREATE TABLE sessions (key TEXT PRIMARY KEY, seen_at TEXT NOT NULL, told BLOB NOT NULL);
    CREATE TABLE edges (name TEXT PRIMARY KEY, heard_at TEXT NOT NULL, told BLOB NOT NULL);
    """,
)
_SESSION = TypeAdapter(SeenSession)


class SqliteState:
    """One file, see `cloud.kept_state.KeptState`."""

    def __init__(self, path: Path, clock: Clock, *, longest_s: float) -> None:
        """Keep where it is; a session is kept for `longest_s` at most."""
        self._path = path
        self._clock = clock
        self._longest_s = longest_s
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._closed: str | None = None

    @property
    def trouble(self) -> str | None:
        """Tell why the last thing could not be kept."""
        return self._store.trouble if self._store else self._closed

    def load(self, key: str) -> SeenSession | None:
        """Give a session; a damaged line is none."""
        if not self._path.exists():
            return None
        with self._opened().transaction() as connection:
            row = connection.execute("SELECT told FROM sessions WHERE key = ?", (key,)).fetchone()
        with suppress(ValidationError):
            return _SESSION.validate_json(row[0]) if row else None
        return None

    def save(self, key: str, seen: SeenSession) -> None:
        """Keep a session; those that are over go, and above the bound the one that was silent longest."""
        over_at = self._clock.now_at() - timedelta(seconds=self._longest_s)
        entry = (key, seen.seen_at.isoformat(), _SESSION.dump_json(seen))
        with self._opened().transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)", entry)
            connection.execute("DELETE FROM sessions WHERE seen_at < ?", (over_at.isoformat(),))
            connection.execute(
                "DELETE FROM sessions WHERE key NOT IN "
                "(SELECT key FROM sessions ORDER BY seen_at DESC LIMIT ?)",
                (MOST_SESSIONS,),
            )

    def remove(self, key: str) -> None:
        """Forget a session."""
        if not self._path.exists():
            return
        with self._opened().transaction() as connection:
            connection.execute("DELETE FROM sessions WHERE key = ?", (key,))

    def put(self, heard: Sequence[Heard]) -> None:
        """Keep what edges reported; the oldest go."""
        over_at = self._clock.now_at() - timedelta(days=KEPT_DAYS)
        entries = [(h.report.name, h.heard_at.isoformat(), h.to_json()) for h in heard]
        with self._opened().transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO edges VALUES (?, ?, ?)", entries)
            connection.execute("DELETE FROM edges WHERE heard_at < ?", (over_at.isoformat(),))
            connection.execute(
                "DELETE FROM edges WHERE name NOT IN "
                "(SELECT name FROM edges ORDER BY heard_at DESC LIMIT ?)",
                (MOST_EDGES,),
            )

    def news(self, since: float) -> News:
        """Give everything the first time; nobody else writes here afterwards."""
        if since or not self._path.exists():
            return News(heard=(), until=1.0)
        with self._opened().transaction() as connection:
            rows = connection.execute("SELECT told FROM edges").fetchall()
        found = (Heard.from_json(told) for (told,) in rows)
        return News(heard=tuple(h for h in found if h is not None), until=1.0)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._store:
                self._store.close()

    def _opened(self) -> Store:
        with self._lock:
            if self._store is None:
                try:
                    self._store = self._open()
                except StoreError as err:
                    self._closed = err.detail
                    raise
            return self._store

    def _open(self) -> Store:
        try:
            return Store(self._path, _MIGRATIONS)
        except StoreError as err:
            if set_damaged_aside(self._path, err, self._clock.now_at()) is None:
                raise
            return Store(self._path, _MIGRATIONS)
