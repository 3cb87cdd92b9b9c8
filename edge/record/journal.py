"""Writes entries of the evidence journal, and the rows that point to them. Ring: adapter (SQLite)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from edge.event.fire_event import FireEvent, KeptFrame
from edge.record.chain import GENESIS, Entry, EntryKind, as_ranges, line_of, link, row_hash
from edge.record.codec import Body, frame_body, sortable, verdict_body
from shared.error_code import ErrorCode
from shared.errors import RequestError


class Journal:
    """The end of the journal inside an open transaction; `at` and `kept_at` stamp all that is written in it."""

    def __init__(self, db: sqlite3.Connection, *, at: datetime, kept_at: datetime) -> None:
        """Keep the transaction and its times."""
        self.db = db
        self._at = at
        self._kept_at = kept_at
        self._day = kept_at.date().isoformat()

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
        chain = link(previous, hashed)
        self.db.execute(
            "INSERT INTO journal VALUES(?,?,?,?,?,?)",
            (entry.seq, kind.value, event_id, line, hashed, chain),
        )
        self.db.execute(
            "INSERT INTO head VALUES(?,?,?,0)"
            " ON CONFLICT(day) DO UPDATE SET seq=excluded.seq, chain=excluded.chain",
            (self._day, entry.seq, chain),
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
        self._use_file(sha256, len(kept.frame.picture.encoded))
        self.db.execute(
            "UPDATE event SET kept_at=? WHERE event_id=?", (sortable(self._kept_at), event_id)
        )

    def _use_file(self, sha256: str, size_bytes: int) -> None:
        is_known = "UPDATE file SET uses=uses+1 WHERE sha256=? RETURNING 1"
        if self.db.execute(is_known, (sha256,)).fetchone():
            return
        self.db.execute("INSERT INTO file VALUES(?,?,1)", (sha256, size_bytes))
        self._add_bytes(size_bytes)
        self.db.execute("UPDATE head SET bytes=bytes+? WHERE day=?", (size_bytes, self._day))

    def _add_bytes(self, size_bytes: int) -> None:
        self.db.execute(
            "INSERT INTO fact VALUES('bytes', ?)"
            " ON CONFLICT(name) DO UPDATE SET value=CAST(value AS INTEGER)+excluded.value",
            (size_bytes,),
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

    def remove(self, event_id: str, seqs: Sequence[int], why: str) -> int:
        """Take the lines of entries of an event away, with the frames among them, and write down why.

        What is left of an entry is its hash, so that the chain still verifies.

        Returns:
            bytes of the pictures that nobody needs any more; `doomed` names them.
        """
        numbers = json.dumps(list(seqs))
        self.db.execute(
            "UPDATE journal SET line=NULL WHERE seq IN (SELECT value FROM json_each(?))",
            (numbers,),
        )
        frames = self.db.execute(
            "DELETE FROM frame WHERE event_id=? AND seq IN (SELECT value FROM json_each(?))"
            " RETURNING sha256",
            (event_id, numbers),
        ).fetchall()
        freed = sum(self._release_file(sha256) for (sha256,) in frames)
        body = {"event_id": event_id, "seqs": as_ranges(seqs), "frames": len(frames), "why": why}
        self.append(EntryKind.PRUNED, None, body)
        return freed

    def remove_event(self, event_id: str, why: str) -> int:
        """Take away all that is kept of an event; gives the freed bytes."""
        rows = self.db.execute(
            "SELECT seq FROM journal WHERE event_id=? AND line IS NOT NULL", (event_id,)
        )
        freed = self.remove(event_id, [seq for (seq,) in rows], why)
        self.db.execute("DELETE FROM event WHERE event_id=?", (event_id,))
        return freed

    def _release_file(self, sha256: str) -> int:
        """Say that one frame less needs a file; gives its bytes when that was the last one."""
        release = "UPDATE file SET uses=uses-1 WHERE sha256=? RETURNING uses, bytes"
        uses, size_bytes = self.db.execute(release, (sha256,)).fetchone() or (1, 0)
        if uses > 0:
            return 0
        self.db.execute("DELETE FROM file WHERE sha256=?", (sha256,))
        self.db.execute("INSERT OR IGNORE INTO doomed VALUES(?)", (sha256,))
        self._add_bytes(-size_bytes)
        return int(size_bytes)

    def cut(self, before: date) -> int:
        """Drop the oldest hashes when no line is left to go with them, and let the chain begin after them.

        The entry that says so holds the chain's hash at that place, so that the rest still verifies. Entries about the
        store itself go with them, all from before a day.

        Returns:
            how many entries were dropped.
        """
        first = self._first_row("1")
        living = self._first_row("line IS NOT NULL AND event_id IS NOT NULL")
        (last_old,) = self.db.execute(
            "SELECT max(seq) FROM head WHERE day<?", (before.isoformat(),)
        ).fetchone()
        through = last_old or 0
        if living is not None:
            through = min(through, living - 1)
        if first is None or through < first:
            return 0
        (chain,) = self.db.execute("SELECT chain FROM journal WHERE seq=?", (through,)).fetchone()
        self.append(EntryKind.CUT, None, {"through": through, "chain": chain})
        return self.db.execute("DELETE FROM journal WHERE seq<=?", (through,)).rowcount

    def _first_row(self, where: str) -> int | None:
        """Number the first row of a kind; reads up to it, which is soon: what is before the first line was cut."""
        sql = f"SELECT seq FROM journal WHERE {where} ORDER BY seq LIMIT 1"  # noqa: S608 – a constant
        row = self.db.execute(sql).fetchone()
        return None if row is None else int(row[0])

    def is_known(self, event_id: str) -> bool:
        """Tell whether an event is kept."""
        found = self.db.execute("SELECT 1 FROM event WHERE event_id=?", (event_id,)).fetchone()
        return found is not None

    def is_held(self, event_id: str) -> bool:
        """Tell whether somebody keeps an event from being deleted; also when it is gone already."""
        row = self.db.execute("SELECT is_held FROM event WHERE event_id=?", (event_id,)).fetchone()
        return row is None or bool(row[0])

    def seqs_of_frames(self, event_id: str, frame_ids: Sequence[str]) -> list[int]:
        """Number the entries about some frames of an event: the frames and all verdicts on them."""
        rows = self.db.execute(
            "SELECT seq FROM journal WHERE event_id=? AND kind IN ('frame', 'verdict') AND line IS NOT NULL"
            " AND CASE WHEN json_valid(line) THEN json_extract(line, '$.body.frame_id') END"
            " IN (SELECT value FROM json_each(?))",
            (event_id, json.dumps(list(frame_ids))),
        )
        return [seq for (seq,) in rows]

    def require(self, event_id: str) -> None:
        """Make sure that an event is kept.

        Raises:
            RequestError(EVENT_UNKNOWN)
        """
        if not self.is_known(event_id):
            raise RequestError(ErrorCode.EVENT_UNKNOWN, f"event {event_id[:64]!r}")

    def is_needed(self, sha256: str) -> bool:
        """Tell whether any frame needs a picture's file."""
        return is_needed(self.db, sha256)

    def note_set_aside(self) -> None:
        """Keep when the journal before this one was set aside, so that its pictures go when their time has come."""
        at = sortable(self._kept_at)
        self.db.execute("INSERT OR REPLACE INTO fact VALUES('set_aside_at', ?)", (at,))

    def mark_time(self) -> None:
        """Keep how far the clock of this store has come, so that it never goes back."""
        self.db.execute(
            "INSERT INTO fact VALUES('kept_at', ?)"
            " ON CONFLICT(name) DO UPDATE SET value=max(value, excluded.value)",
            (sortable(self._kept_at),),
        )


def is_needed(db: sqlite3.Connection, sha256: str) -> bool:
    """Tell whether any frame needs a picture's file."""
    return db.execute("SELECT 1 FROM file WHERE sha256=?", (sha256,)).fetchone() is not None
