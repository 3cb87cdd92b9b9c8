"""The outbox's rows on disk; a picture that several items send is kept once, by its hash.

Ring: adapter (SQLite, a thread).
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from edge.outbox.item import ItemClass, OutboxItem, StoredItem
from shared.disk.disk_thread import PATIENCE_S, DiskThread, on_disk
from shared.disk.store import Store
from shared.logs import get_logger

# An alert must be tried within two seconds, and its evidence may have taken one.
_ALARM_WITHIN_S = 0.8
OUTBOX_FILE = "outbox.sqlite3"
"""Its name in the state folder."""

_MIGRATIONS = (
    """
    CREATE TABLE item(
        seq INTEGER PRIMARY KEY AUTOINCREMENT, item_id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, key TEXT NOT NULL,
        class TEXT NOT NULL, payload TEXT NOT NULL, picture TEXT, bytes INTEGER NOT NULL, created_at TEXT NOT NULL,
        expires_at TEXT NOT NULL, refusals INTEGER NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '',
        quarantined_at TEXT
    );
    CREATE INDEX item_by_picture ON item(picture);
    CREATE TABLE picture(sha256 TEXT PRIMARY KEY, content BLOB NOT NULL);
    CREATE TABLE tally(class TEXT NOT NULL, result TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (class, result))
        WITHOUT ROWID
    """,
)


_COLUMNS = (
    "seq, item_id, kind, key, class, bytes, created_at, expires_at, refusals, error, quarantined_at"
)


class OutboxStore:
    """One database file; every change is synced before it returns.

    Every call may raise StoreError, and does so soon where the disk hangs.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file."""
        self._store = Store(path, _MIGRATIONS)
        self._disk = DiskThread("outbox-disk")

    @property
    def trouble(self) -> str | None:
        """Tell why it cannot be written; None when it can, as far as is known."""
        return self._disk.trouble or self._store.trouble

    def insert(
        self,
        items: Sequence[OutboxItem],
        created_at: datetime,
        expires_at: Mapping[ItemClass, datetime],
    ) -> list[StoredItem]:
        """Keep items, all or none; those whose id is there already are left out.

        What comes to be after the caller has left is taken out again: the caller keeps it elsewhere.
        """
        is_alarm = any(item.item_class is ItemClass.ALARM for item in items)
        return self._disk.do(
            lambda: self._insert(items, created_at, expires_at),
            within_s=_ALARM_WITHIN_S if is_alarm else PATIENCE_S,
            late=self._take_out,
        )

    def _insert(
        self,
        items: Sequence[OutboxItem],
        created_at: datetime,
        expires_at: Mapping[ItemClass, datetime],
    ) -> list[StoredItem]:
        stored = []
        with self._store.transaction() as db:
            for item in items:
                digest = _keep_picture(db, item.picture)
                row = db.execute(
                    "INSERT OR IGNORE INTO item(item_id, kind, key, class, payload, picture, bytes, created_at,"
                    f" expires_at) VALUES(?,?,?,?,?,?,?,?,?) RETURNING {_COLUMNS}",
                    (
                        item.item_id,
                        item.kind,
                        item.key,
                        item.item_class.value,
                        json.dumps(item.payload, ensure_ascii=False),
                        digest,
                        item.size_bytes,
                        created_at.isoformat(),
                        expires_at[item.item_class].isoformat(),
                    ),
                ).fetchone()
                if row is not None:
                    stored.append(_stored(row))
        return stored

    def rows(self) -> list[StoredItem]:
        """Give all rows in the order in which they were put; one that cannot be read is left out and logged."""
        with self._store.transaction() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM item ORDER BY seq").fetchall()  # noqa: S608 # a constant
        return [stored for row in rows if (stored := _stored_or_none(row))]

    @on_disk
    def read(self, seq: int) -> OutboxItem | None:
        """Give an item with its payload and picture; None when it is gone."""
        with self._store.transaction() as db:
            row = db.execute(
                "SELECT item_id, kind, key, class, payload, content FROM item"
                " LEFT JOIN picture ON picture.sha256 = item.picture WHERE seq=?",
                (seq,),
            ).fetchone()
        if row is None:
            return None
        item_id, kind, key, item_class, payload, picture = row
        return OutboxItem(
            item_id=item_id,
            kind=kind,
            key=key,
            item_class=ItemClass(item_class),
            payload=json.loads(payload),
            picture=picture,
        )

    @on_disk
    def remove(self, items: Iterable[tuple[int, ItemClass]], result: str) -> None:
        """Delete items and count them under what became of them."""
        with self._store.transaction() as db:
            for seq, item_class in items:
                if _delete(db, seq):
                    _count(db, item_class, result)

    @on_disk
    def count(self, item_class: ItemClass, result: str) -> None:
        """Count an item that never came to be."""
        with self._store.transaction() as db:
            _count(db, item_class, result)

    @on_disk
    def note_refusal(
        self, seq: int, refusals: int, error: str, quarantined_at: datetime | None
    ) -> StoredItem | None:
        """Keep how often an item was refused, and since when it is in quarantine; None when it is gone or damaged."""
        at = quarantined_at.isoformat() if quarantined_at else None
        with self._store.transaction() as db:
            row = db.execute(
                f"UPDATE item SET refusals=?, error=?, quarantined_at=? WHERE seq=? RETURNING {_COLUMNS}",  # noqa: S608 # a constant
                (refusals, error, at, seq),
            ).fetchone()
        return _stored_or_none(row) if row else None

    @on_disk
    def release(self, item_id: str) -> bool:
        """Take an item out of quarantine; False when none of that id is there."""
        with self._store.transaction() as db:
            done = db.execute(
                "UPDATE item SET refusals=0, quarantined_at=NULL WHERE item_id=?"
                " AND quarantined_at IS NOT NULL RETURNING seq",
                (item_id,),
            ).fetchone()
        return done is not None

    def tallies(self) -> dict[ItemClass, dict[str, int]]:
        """Tell how many items came to which end, since the file was made."""
        with self._store.transaction() as db:
            rows = db.execute("SELECT class, result, n FROM tally").fetchall()
        found: dict[ItemClass, dict[str, int]] = {c: {} for c in ItemClass}
        for item_class, result, n in rows:
            if item_class in found:
                found[ItemClass(item_class)][result] = n
        return {item_class: results for item_class, results in found.items() if results}

    def version(self) -> int:
        """Give a number that changes when another process has written."""
        with self._store.transaction() as db:
            (number,) = db.execute("PRAGMA data_version").fetchone()
        return int(number)

    def close(self) -> None:
        """Close the file."""
        self._disk.stop(self._store.close)

    def _take_out(self, stored: Iterable[StoredItem]) -> None:
        with self._store.transaction() as db:
            for row in stored:
                _delete(db, row.seq)


def _keep_picture(db: sqlite3.Connection, picture: bytes | None) -> str | None:
    if picture is None:
        return None
    digest = hashlib.sha256(picture).hexdigest()
    db.execute("INSERT OR IGNORE INTO picture VALUES(?,?)", (digest, picture))
    return digest


def _delete(db: sqlite3.Connection, seq: int) -> bool:
    """Delete an item, with its picture when no other has it; False when it is gone already."""
    row = db.execute("DELETE FROM item WHERE seq=? RETURNING picture", (seq,)).fetchone()
    if row is None:
        return False
    db.execute(
        "DELETE FROM picture WHERE sha256=?1 AND NOT EXISTS (SELECT 1 FROM item WHERE picture=?1)",
        row,
    )
    return True


def _count(db: sqlite3.Connection, item_class: ItemClass, result: str) -> None:
    db.execute(
        "INSERT INTO tally VALUES(?,?,1) ON CONFLICT DO UPDATE SET n = n + 1",
        (item_class.value, result),
    )


def _stored_or_none(row: tuple[Any, ...]) -> StoredItem | None:
    try:
        return _stored(row)
    except (ValueError, TypeError) as err:
        get_logger().error("outbox_row_unreadable", seq=row[0], detail=str(err))
        return None


def _stored(row: tuple[Any, ...]) -> StoredItem:
    seq, item_id, kind, key, item_class, size, created, expires, refusals, error, quarantined = row
    return StoredItem(
        seq=seq,
        item_id=item_id,
        kind=kind,
        key=key,
        item_class=ItemClass(item_class),
        size_bytes=size,
        created_at=datetime.fromisoformat(created),
        expires_at=datetime.fromisoformat(expires),
        refusals=refusals,
        error=error,
        quarantined_at=datetime.fromisoformat(quarantined) if quarantined else None,
    )
