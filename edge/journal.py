"""Writes entries of the evidence journal, and the rows that point to them. Ring: adapter (SQLite)."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Any

from edge.chain import GENESIS, Entry, EntryKind, line_of, link, row_hash
from edge.fire_event import FireEvent, KeptFrame
from edge.record_codec import Body, frame_body, sortable, verdict_body
from shared.error_code import ErrorCode
from shared.errors import RequestError


class Journal:
    """The end of the journal inside an open transaction; `at` and `kept_at` stamp all that is written in it."""

    def __init__(self, db: sqlite3.Connection, *, at: datetime, kept_at: datetime) -> None:
        """Keep the transaction and its times."""
        self.db = db
        self._at = at
        self._kept_at = kept_at

    def append(self, kind: EntryKind, event_id: str | None, body: Body) -> int:
        """Add an entry at the end of the chain and give its number."""
        last = "SELECT seq, chain FROM journal ORDER BY seq DESC LIMIT 1"
        seq, previous = self.db.execute(last).fetchone() or (0, GENESIS)
        entry = Entry(
            seq=seq + 1,
            at=self._at,
            kept_at=self._kept_at,
            kind=kind,
            event_id=event_id,
            body=body,
        )
        line = line_of(entry)
        hashed = row_hash(line)
        self.db.execute(
            "INSERT INTO journal VALUES(?,?,?,?,?,?)",
            (entry.seq, kind.value, event_id, line, hashed, link(previous, hashed)),
        )
        return entry.seq

    def append_event(self, kind: EntryKind, event: FireEvent, body: Body) -> None:
        """Add what an event is now, and point to it."""
        seq = self.append(kind, event.event_id, body)
        columns = {
            "event_id": event.event_id,
            "camera": event.camera,
            "severity": event.severity.value,
            "grade": event.grade.value,
            "opened_at": sortable(event.opened_at),
            "kept_at": sortable(self._kept_at),
            "is_closed": event.closed_at is not None,
            "is_test": event.is_test,
            "opened_seq": seq,
            "event_seq": seq,
        }
        changing = ("severity", "grade", "kept_at", "is_closed", "event_seq")
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        changes = ", ".join(f"{name}=excluded.{name}" for name in changing)
        self.db.execute(
            f"INSERT INTO event({names}) VALUES({marks})"
            f" ON CONFLICT(event_id) DO UPDATE SET {changes}",
            tuple(columns.values()),
        )

    def append_frame(self, event_id: str, kept: KeptFrame, sha256: str) -> None:
        """Add a frame; of one that is there already, the verdict that came later."""
        frame_id = kept.frame.frame_id
        is_there = "SELECT 1 FROM frame WHERE event_id=? AND frame_id=?"
        if self.db.execute(is_there, (event_id, frame_id)).fetchone():
            if kept.verdict is not None:
                body = {"frame_id": frame_id, "verdict": verdict_body(kept.verdict)}
                self.append(EntryKind.VERDICT, event_id, body)
            return
        seq = self.append(EntryKind.FRAME, event_id, frame_body(kept, sha256))
        self.db.execute("INSERT INTO frame VALUES(?,?,?,?)", (event_id, frame_id, seq, sha256))
        self.db.execute(
            "INSERT INTO file VALUES(?,?,1) ON CONFLICT(sha256) DO UPDATE SET uses=uses+1",
            (sha256, len(kept.frame.picture.encoded)),
        )
        self.db.execute(
            "UPDATE event SET kept_at=? WHERE event_id=?", (sortable(self._kept_at), event_id)
        )

    def append_about(self, event_id: str, kind: EntryKind, body: Body, **columns: Any) -> None:
        """Add an entry about an event, let the event point to it, and change its other `columns`."""
        self.require(event_id)
        columns[f"{kind.value}_seq"] = self.append(kind, event_id, body)
        changes = ", ".join(f"{name}=?" for name in columns)
        self.db.execute(
            f"UPDATE event SET {changes} WHERE event_id=?",  # noqa: S608 – the names are ours
            (*columns.values(), event_id),
        )

    def is_known(self, event_id: str) -> bool:
        """Tell whether an event is kept."""
        found = self.db.execute("SELECT 1 FROM event WHERE event_id=?", (event_id,)).fetchone()
        return found is not None

    def require(self, event_id: str) -> None:
        """Make sure that an event is kept.

        Raises:
            RequestError(EVENT_UNKNOWN)
        """
        if not self.is_known(event_id):
            raise RequestError(ErrorCode.EVENT_UNKNOWN, f"event {event_id[:64]!r}")

    def is_needed(self, sha256: str) -> bool:
        """Tell whether any frame needs a picture's file."""
        found = self.db.execute("SELECT 1 FROM file WHERE sha256=?", (sha256,)).fetchone()
        return found is not None
