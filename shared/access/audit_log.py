"""Who changed what, and who looked at evidence: lines that are added and never altered.

Ring: adapter (SQLite, a thread). A line is on disk before the change it tells of begins. The file is opened with its
first line, so that a service that nobody changes needs no folder for it. A damaged one is kept beside and a new one
tells so in its first line: a box on which nothing can be changed any more cannot be told that its alarm was seen.
"""

from __future__ import annotations

import functools
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from shared.clock import Clock
from shared.disk.disk_thread import DiskThread
from shared.disk.store import Store, is_damage, set_damaged_aside
from shared.errors import StoreError

MAX_LINES = 200
_SUBJECT_CHARACTERS = 300
_KEEP_DAYS = 730  # two years; a line has some 150 bytes
# Between two lines; longer is a clock that was set, or a box that nobody touched.
_BELIEVED_DAYS = 30
_MIGRATIONS = (
    """
    CREATE TABLE audit (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        address TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        outcome TEXT NOT NULL,
        req_id TEXT NOT NULL
    );
    CREATE TRIGGER audit_is_never_altered BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'audit lines are never altered'); END;
    CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
        WHEN OLD.at > strftime('%Y-%m-%dT%H:%M:%S', 'now', '-729 days')
        BEGIN SELECT RAISE(ABORT, 'audit lines are kept for two years'); END;
    """,
)
# How many days passed since each line, by the lines after it: a clock that is set forward by years ages none of them.
_LAST_OLD = """
    WITH steps AS (
        SELECT number, julianday(lead(at) OVER (ORDER BY number)) - julianday(at) AS days FROM audit
    ), ages AS (
        SELECT number, sum(min(max(coalesce(days, 0), 0), ?)) OVER (ORDER BY number DESC) AS days FROM steps
    )
    SELECT max(number) FROM ages WHERE days > ?
"""
_COLUMNS = "number, at, name, role, address, action, subject, outcome, req_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """One line. `action` is method and route, or a word such as `sign_in`; `subject` is the path that was asked for.

    `outcome`: `begun`, `refused`, `failed` (the change was answered with an error) or `seen` (evidence).
    """

    name: str
    role: str
    address: str
    action: str
    subject: str
    outcome: str
    req_id: str


class AuditLog:
    """The lines of one service; safe for use by many threads and processes."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Keep where the file is."""
        self._path = path
        self._clock = clock
        self._disk = DiskThread("audit")
        self._turn, self._lock = threading.Lock(), threading.Lock()  # taken in this order
        self._store: Store | None = None
        self._pruned_at: datetime | None = None

    def add(self, line: AuditLine) -> None:
        """Add a line; it is on disk when this returns.

        Raises:
            StoreError(STORE_UNAVAILABLE)
        """
        self._disk.do(functools.partial(self._add, line))

    def newest(self, *, limit: int, before: int | None) -> list[Mapping[str, object]]:
        """Give lines, newest first; `before` is the number of the last line that the caller has.

        Raises:
            StoreError(STORE_UNAVAILABLE)
        """
        return self._disk.do(functools.partial(self._newest, limit, before))

    def close(self) -> None:
        """Close the file."""
        self._disk.stop(self._close)

    def _add(self, line: AuditLine) -> None:
        # One writer at a time, as SQLite has it anyway: a line must not go into a file that another is setting aside.
        with self._turn:
            store = self._opened()
            try:
                self._write(store, line)
            except StoreError as err:
                if not is_damage(err):
                    raise
                self._let_go(store)
                self._write(self._opened(), line)

    def _newest(self, limit: int, before: int | None) -> list[Mapping[str, object]]:
        last = before if before is not None else 2**62
        with self._opened().transaction() as sql:
            rows = sql.execute(
                f"SELECT {_COLUMNS} FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?",  # noqa: S608 # our names
                (last, min(limit, MAX_LINES)),
            ).fetchall()
        names = _COLUMNS.split(", ")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _close(self) -> None:
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None

    def _write(self, store: Store, line: AuditLine) -> None:
        now_at = self._clock.now_at()
        values = (
            now_at.isoformat(timespec="milliseconds"),
            line.name,
            line.role,
            line.address,
            line.action,
            line.subject[:_SUBJECT_CHARACTERS].encode("utf-8", "replace").decode(),
            line.outcome,
            line.req_id,
        )
        with store.transaction() as sql:
            sql.execute(
                "INSERT INTO audit (at, name, role, address, action, subject, outcome, req_id)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )
            if self._pruned_at is None or now_at - self._pruned_at > timedelta(days=1):
                self._pruned_at = now_at
                _prune(sql, (now_at - timedelta(days=_KEEP_DAYS)).isoformat())

    def _let_go(self, store: Store) -> None:
        """Close a file that is damaged, unless another thread did; the next opening sets it aside."""
        with self._lock:
            if self._store is store:
                store.close()
                self._store = None

    def _opened(self) -> Store:
        with self._lock:
            if self._store is None:
                self._store = self._open()
            return self._store

    def _open(self) -> Store:
        try:
            return self._checked()
        except StoreError as err:
            aside = set_damaged_aside(self._path, err, self._clock.now_at())
            if aside is None:
                raise
        store = self._checked()
        self._write(store, _first_line(aside))
        return store

    def _checked(self) -> Store:
        return Store(self._path, _MIGRATIONS, is_checked=True)


def _prune(sql: sqlite3.Connection, oldest_at: str) -> None:
    """Drop lines that are two years old by the clock and by the lines that came after them."""
    is_any = sql.execute("SELECT 1 FROM audit WHERE at < ? LIMIT 1", (oldest_at,)).fetchone()
    if is_any is None:  # the rule: counting takes 0.2 s for 100,000 lines
        return
    (last,) = sql.execute(_LAST_OLD, (_BELIEVED_DAYS, _KEEP_DAYS)).fetchone()
    sql.execute("DELETE FROM audit WHERE at < ? AND number <= ?", (oldest_at, last or 0))


def _first_line(aside: str) -> AuditLine:
    return AuditLine(
        name="",
        role="",
        address="",
        action="audit_set_aside",
        subject=aside,
        outcome="failed",
        req_id="",
    )
