"""Checks the whole evidence store: the chain, the rows that point into it, every picture. Ring: adapter (the store).

It reads beside a running service: the rows from one snapshot, the pictures in small steps. A picture that looks wrong
is looked at once more before it is told, because the service may just have moved or deleted it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from edge.record.archive import Archive
from edge.record.chain import ChainCheck, Entry, EntryKind, Finding, FindingKind, Row
from edge.record.codec import event_of, sortable
from edge.record.types import Verification

_STEP = 200  # pictures a snapshot: a long one keeps the write-ahead log from shrinking
_SAYS_WHAT_IT_IS = (EntryKind.OPENED, EntryKind.UPDATED, EntryKind.CLOSED)
_POINTED_AT = (EntryKind.ORIGIN, EntryKind.ACKNOWLEDGED, EntryKind.MARKED, EntryKind.HELD)


def verify(archive: Archive) -> Verification:
    """Check everything that is kept.

    Raises:
        StoreError: the database cannot be read.
    """
    with archive.snapshot() as db:
        chain, index = ChainCheck(), _IndexCheck(db)
        for values in db.execute(f"SELECT {', '.join(Row.__slots__)} FROM journal ORDER BY seq"):  # noqa: S608 – ours
            row = Row(**dict(zip(Row.__slots__, values, strict=True)))
            index.take(row, chain.take(row))
        chain.finish()
        index.finish()
        heads = dict(db.execute("SELECT day, chain FROM head ORDER BY day").fetchall())
    pictures = _PictureCheck(archive, index.set_aside_at)
    pictures.run()
    return Verification(
        findings=(*chain.findings, *index.findings, *pictures.findings),
        entries=chain.entries,
        files=pictures.files,
        head=chain.head,
        heads=heads,
        strays=pictures.strays,
    )


class _IndexCheck:
    """Holds every row that points into the journal against the journal."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.findings: list[Finding] = []
        self.set_aside_at: datetime | None = None
        self._db = db
        self._events: dict[str, dict[str, Any]] = {}
        self._has_gone: set[str | None] = set()
        self._days: dict[str, int] = {}

    def take(self, row: Row, entry: Entry | None) -> None:
        """Take in a row of the journal, and its entry when it still has one."""
        if entry is None:
            self._has_gone.add(row.event_id)
            return
        self._days[entry.kept_at.date().isoformat()] = entry.seq
        try:
            if entry.event_id is not None:
                self._take_about(entry.event_id, entry)
            elif entry.kind is EntryKind.STARTED and entry.body["set_aside"]:
                self.set_aside_at = entry.at
        except (ValueError, KeyError, TypeError):
            self._find(FindingKind.CHANGED, f"journal row {row.seq}", "its text lacks something")

    def finish(self) -> None:
        """Compare the tables with what the journal says."""
        self._compare_events()
        self._compare_heads()
        queries = {
            (FindingKind.ADDED, "frame row", "no entry of the journal stands behind it"): (
                "SELECT frame.event_id || ' ' || frame_id FROM frame LEFT JOIN journal USING(seq)"
                " WHERE line IS NULL OR kind<>'frame' OR journal.event_id<>frame.event_id"
            ),
            (FindingKind.CHANGED, "file row", "it does not count the frames that need the file"): (
                "SELECT sha256 FROM file LEFT JOIN"
                " (SELECT sha256, count(*) AS needed FROM frame GROUP BY sha256) USING(sha256)"
                " WHERE coalesce(needed, 0)<>uses"
            ),
            (FindingKind.MISSING, "file row", "a frame needs it"): (
                "SELECT DISTINCT sha256 FROM frame WHERE sha256 NOT IN (SELECT sha256 FROM file)"
            ),
            (FindingKind.CHANGED, "fact row", "the sum of all bytes is another one"): (
                "SELECT name FROM fact WHERE name='bytes'"
                " AND value<>(SELECT coalesce(sum(bytes), 0) FROM file)"
            ),
            (FindingKind.CHANGED, "head row", "the journal has another hash, or none, there"): (
                "SELECT day FROM head LEFT JOIN journal USING(seq) WHERE head.chain IS NOT journal.chain"
                " AND seq>=(SELECT min(seq) FROM journal)"
            ),
        }
        for (kind, table, detail), sql in queries.items():
            for (key,) in self._db.execute(sql):
                self._find(kind, f"{table} {key}", detail)

    def _take_about(self, event_id: str, entry: Entry) -> None:
        body, kind = entry.body, entry.kind
        expected = self._events.setdefault(event_id, {})
        if kind in _SAYS_WHAT_IT_IS:
            event = event_of(event_id, body["event"])
            expected["opened_seq"] = expected.get("opened_seq", entry.seq)
            expected |= {
                "event_seq": entry.seq,
                "camera": event.camera,
                "severity": event.severity.value,
                "grade": event.grade.value,
                "opened_at": sortable(event.opened_at),
                "is_closed": event.closed_at is not None,
                "is_test": event.is_test,
            }
        elif kind in _POINTED_AT:
            expected[f"{kind.value}_seq"] = entry.seq
        if kind is EntryKind.MARKED:
            expected["is_reviewed"] = body["mark"] is not None
        elif kind is EntryKind.HELD:
            expected["is_held"] = body["is_held"]
        elif kind is EntryKind.FRAME:
            self._compare_frame(event_id, entry)
        if kind in (*_SAYS_WHAT_IT_IS, EntryKind.FRAME):
            expected["kept_at"] = sortable(entry.kept_at)

    def _compare_frame(self, event_id: str, entry: Entry) -> None:
        frame_id, sha256 = entry.body["frame_id"], entry.body["sha256"]
        found = self._db.execute(
            "SELECT seq, sha256, bytes FROM frame LEFT JOIN file USING(sha256)"
            " WHERE event_id=? AND frame_id=?",
            (event_id, frame_id),
        ).fetchone()
        what = f"frame row {event_id} {frame_id}"
        if found is None:
            self._find(FindingKind.MISSING, what, f"entry {entry.seq} of the journal has it")
        elif found != (entry.seq, sha256, entry.body["bytes"]):
            self._find(FindingKind.CHANGED, what, f"entry {entry.seq} of the journal differs")

    def _compare_events(self) -> None:
        self._db.row_factory = sqlite3.Row
        try:
            rows = {row["event_id"]: dict(row) for row in self._db.execute("SELECT * FROM event")}
        finally:
            self._db.row_factory = None
        for event_id, expected in self._events.items():
            row = rows.pop(event_id, None)
            if row is None:
                self._find(FindingKind.MISSING, f"event row {event_id}", "the journal has it")
                continue
            unknown = {"kept_at"} if event_id in self._has_gone else set()
            wrong = [k for k, v in expected.items() if row[k] != v and k not in unknown]
            # What the journal never said must not be set: an index nobody wrote an entry for.
            wrong += [k for k, v in row.items() if k not in expected and k != "event_id" and v]
            if wrong:
                detail = f"the journal differs: {', '.join(sorted(wrong))}"
                self._find(FindingKind.CHANGED, f"event row {event_id}", detail)
        for event_id in rows:
            self._find(FindingKind.ADDED, f"event row {event_id}", "the journal does not know it")

    def _compare_heads(self) -> None:
        heads: dict[str, int] = dict(self._db.execute("SELECT day, seq FROM head").fetchall())
        for day, seq in self._days.items():
            if heads.get(day, 0) < seq:
                detail = f"entry {seq} of the journal is of that day"
                self._find(FindingKind.MISSING, f"head row {day}", detail)

    def _find(self, kind: FindingKind, what: str, detail: str) -> None:
        self.findings.append(Finding(kind=kind, what=what, detail=detail))


class _PictureCheck:
    """Holds every picture against its name, and the folders against the rows."""

    def __init__(self, archive: Archive, set_aside_at: datetime | None) -> None:
        self.findings: list[Finding] = []
        self.files = 0
        self.strays = 0
        self._archive = archive
        self._set_aside_at = set_aside_at

    def run(self) -> None:
        """Read everything."""
        for name, of_frame in self._listed():
            self.files += 1
            found = self._look_at(name, of_frame)
            if found is not None and self._is_listed(name):
                self.findings.append(found)
        for path in self._archive.pictures.settled():
            self._look_for(path)

    def _listed(self) -> Iterator[tuple[str, str]]:
        last = ""
        while True:
            with self._archive.snapshot() as db:
                rows = db.execute(
                    "SELECT sha256, (SELECT event_id || ' frame ' || frame_id FROM frame"
                    " WHERE frame.sha256=file.sha256 LIMIT 1) FROM file WHERE sha256>?"
                    " ORDER BY sha256 LIMIT ?",
                    (last, _STEP),
                ).fetchall()
            if not rows:
                return
            yield from rows
            last = rows[-1][0]

    def _look_at(self, name: str, of_frame: str) -> Finding | None:
        what = f"file {name}"
        try:
            content = self._archive.pictures.read(name)
        except FileNotFoundError:
            return Finding(kind=FindingKind.MISSING, what=what, detail=f"event {of_frame}")
        except OSError as err:
            detail = f"event {of_frame}: {err.strerror}"
            return Finding(kind=FindingKind.MISSING, what=what, detail=detail)
        if hashlib.sha256(content).hexdigest() == name:
            return None
        return Finding(kind=FindingKind.CHANGED, what=what, detail=f"event {of_frame}")

    def _look_for(self, path: Path) -> None:
        """Look whether a file of the folders belongs there."""
        is_in_place = self._archive.pictures.is_in_place(path)
        if is_in_place and (self._is_listed(path.name) or not path.exists()):
            return
        if is_in_place and self._is_stray(path):
            self.strays += 1
            return
        what = f"file {path.relative_to(self._archive.folder)}"
        detail = "no frame needs it"
        self.findings.append(Finding(kind=FindingKind.ADDED, what=what, detail=detail))

    def _is_stray(self, path: Path) -> bool:
        """Tell whether a journal that was set aside may have listed it: it was there before the new one began."""
        at = self._set_aside_at
        return at is not None and path.stat().st_mtime <= at.timestamp()

    def _is_listed(self, name: str) -> bool:
        with self._archive.snapshot() as db:
            found = db.execute(
                "SELECT 1 FROM file WHERE sha256=? UNION SELECT 1 FROM doomed WHERE sha256=?",
                (name, name),
            ).fetchone()
        return found is not None
