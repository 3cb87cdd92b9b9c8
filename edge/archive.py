"""Reads the evidence store: pages of events, an event, its frames and pictures, the journal. Ring: adapter.

Works beside a running service and without one, also on a read-only disk.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

from edge.chain import GENESIS, Entry, EntryKind, entry_of
from edge.record_codec import (
    event_of,
    frame_of,
    notice_of,
    origin_of,
    said_of,
    signed_of,
    sortable,
)
from edge.record_schema import MIGRATIONS
from edge.record_types import (
    MOST_EVENTS_A_PAGE,
    EventPage,
    EventQuery,
    EventRecord,
    FrameRecord,
    Mark,
    Notice,
    Said,
)
from shared.blobs import Blobs
from shared.error_code import ErrorCode
from shared.errors import RequestError, StoreError
from shared.store import ReadStore

DATABASE = "records.sqlite3"
PICTURES = "pictures"
MAX_PICTURE_BYTES = 100_000_000  # the largest value of limits.max_bytes

_EVENT_COLUMNS = (
    "event_id, opened_seq, event_seq, origin_seq, acknowledged_seq, marked_seq, held_seq"
)
_CALLING = "(is_closed=0 OR (acknowledged_seq IS NULL AND severity<>'uncertain'))"


class Archive:
    """The store as a reader sees it; safe for use by many threads."""

    def __init__(self, folder: Path) -> None:
        """Open it for reading.

        Raises:
            StoreError: absent, unreadable, damaged, or of another version.
        """
        self.folder = folder
        self.pictures = Blobs(folder / PICTURES, max_bytes=MAX_PICTURE_BYTES, is_read_only=True)
        self._store = ReadStore(folder / DATABASE, len(MIGRATIONS))

    def close(self) -> None:
        """Close the database."""
        self._store.close()

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Read several times from one state."""
        with self._store.snapshot() as db:
            yield db

    def events(self, query: EventQuery) -> EventPage:
        """Give a page of events, newest first unless the query says otherwise.

        Raises:
            RequestError(REQUEST_FIELD_INVALID): the cursor is not one of ours, or the limit out of 1…200.
        """
        if not 1 <= query.limit <= MOST_EVENTS_A_PAGE:
            detail = f"limit is {query.limit}, allowed are 1 to {MOST_EVENTS_A_PAGE}"
            raise RequestError(ErrorCode.REQUEST_FIELD_INVALID, detail)
        where, values = _conditions(query)
        way = "ASC" if query.is_oldest_first else "DESC"
        sql = (
            f"SELECT {_EVENT_COLUMNS}, opened_at FROM event WHERE {where}"  # noqa: S608 – conditions are ours
            f" ORDER BY opened_at {way}, event_id {way} LIMIT ?"
        )
        with self.snapshot() as db:
            rows = db.execute(sql, (*values, query.limit + 1)).fetchall()
            shown = rows[: query.limit]
            found = _event_records(db, shown)
        has_more = len(rows) > len(shown) and not query.is_oldest_first
        cursor = _cursor(shown[-1][-1], shown[-1][0]) if has_more else None
        return EventPage(
            events=tuple(_readable(found)),
            cursor=cursor,
            unreadable=tuple(
                str(row[0])
                for row, event in zip(shown, found, strict=True)
                if isinstance(event, StoreError)
            ),
        )

    def event(self, event_id: str) -> EventRecord:
        """Give one event.

        Raises:
            RequestError(EVENT_UNKNOWN)
        """
        with self.snapshot() as db:
            return _event_record(db, event_id)

    def frames(self, event_id: str) -> tuple[FrameRecord, ...]:
        """Give the frames of an event in time order, each with all that was said of it.

        Raises:
            RequestError(EVENT_UNKNOWN)
        """
        with self.snapshot() as db:
            _require(db, event_id)
            return _frames(db, event_id)

    def alerts(self, event_id: str) -> tuple[Notice, ...]:
        """Tell what came of every message about an event, in the order in which it came.

        Raises:
            RequestError(EVENT_UNKNOWN)
        """
        with self.snapshot() as db:
            _require(db, event_id)
            lines = db.execute(
                "SELECT seq, line FROM journal WHERE event_id=? AND kind='alerted'"
                " AND line IS NOT NULL ORDER BY seq",
                (event_id,),
            )
            return tuple(notice_of(_read_entry(seq, line).body) for seq, line in lines)

    def picture(self, event_id: str, frame_id: str) -> bytes:
        """Give the bytes of a frame's picture, held against its hash.

        Raises:
            RequestError(EVENT_UNKNOWN, FRAME_UNKNOWN)
            StoreError(EVIDENCE_DAMAGED): the file is gone or is not what was written.
        """
        with self.snapshot() as db:
            _require(db, event_id)
            row = db.execute(
                "SELECT sha256 FROM frame WHERE event_id=? AND frame_id=?", (event_id, frame_id)
            ).fetchone()
        if row is None:
            raise RequestError(ErrorCode.FRAME_UNKNOWN, f"event {event_id}, frame {frame_id[:64]}")
        try:
            content = self.pictures.read(row[0])
        except OSError as err:
            detail = f"picture of frame {frame_id}, file {row[0]}: {err.strerror}"
            raise StoreError(ErrorCode.EVIDENCE_DAMAGED, detail) from err
        if hashlib.sha256(content).hexdigest() != row[0]:
            detail = f"picture of frame {frame_id} was changed, file {row[0]}"
            raise StoreError(ErrorCode.EVIDENCE_DAMAGED, detail)
        return content

    def head(self, before: date | None = None) -> tuple[int, str]:
        """Give the number of the newest entry, or of the newest before a day, and the chain's hash there."""
        with self.snapshot() as db:
            last = "SELECT seq, chain FROM head WHERE day<? ORDER BY seq DESC LIMIT 1"
            day = "~" if before is None else before.isoformat()
            seq, chain = db.execute(last, (day,)).fetchone() or (0, GENESIS)
        return int(seq), str(chain)

    def knows_head(self, chain: str) -> bool:
        """Tell whether a chain hash is or was one of this journal: one of its rows, or the last of a day."""
        with self.snapshot() as db:
            found = db.execute(
                "SELECT 1 FROM journal WHERE chain=? UNION SELECT 1 FROM head WHERE chain=?",
                (chain, chain),
            ).fetchone()
        return found is not None

    def bytes_kept(self) -> int:
        """Tell how many bytes all pictures have."""
        with self.snapshot() as db:
            row = db.execute("SELECT value FROM fact WHERE name='bytes'").fetchone()
        return int(row[0]) if row else 0

    def bytes_of_day(self, day: date) -> int:
        """Tell how many bytes of pictures came on a day of the clock by which evidence ages."""
        with self.snapshot() as db:
            row = db.execute("SELECT bytes FROM head WHERE day=?", (day.isoformat(),)).fetchone()
        return int(row[0]) if row else 0

    def oldest_kept_at(self) -> datetime | None:
        """Tell when the event that waits longest for its end was last added to."""
        with self.snapshot() as db:
            (oldest,) = db.execute("SELECT min(kept_at) FROM event").fetchone()
        return None if oldest is None else datetime.fromisoformat(oldest)

    def last_kept_at(self) -> datetime | None:
        """Tell where the clock by which evidence ages stood when something was last written."""
        known_at = self._time_fact("kept_at")
        if known_at is not None:
            return known_at
        with self.snapshot() as db:
            (day,) = db.execute("SELECT max(day) FROM head").fetchone()
        return _time_or_none(f"{day}T00:00:00+00:00")

    def set_aside_at(self) -> datetime | None:
        """Tell when, by that clock, the journal before this one was set aside; None when its pictures are gone."""
        return self._time_fact("set_aside_at")

    def _time_fact(self, name: str) -> datetime | None:
        with self.snapshot() as db:
            row = db.execute("SELECT value FROM fact WHERE name=?", (name,)).fetchone()
        return None if row is None else _time_or_none(row[0])

    def expired(self, before: datetime) -> list[str]:
        """Name the events that are not held and were last added to before a time, the oldest first."""
        with self.snapshot() as db:
            rows = db.execute(
                "SELECT event_id FROM event WHERE is_held=0 AND kept_at<? ORDER BY kept_at",
                (sortable(before),),
            )
            return [event_id for (event_id,) in rows]

    def expiring_bytes(self, before: datetime) -> int:
        """Sum the pictures of those events."""
        with self.snapshot() as db:
            (total,) = db.execute(
                "SELECT coalesce(sum(bytes), 0) FROM event JOIN frame USING(event_id)"
                " JOIN file USING(sha256) WHERE is_held=0 AND kept_at<?",
                (sortable(before),),
            ).fetchone()
        return int(total)

    def removable(self) -> list[EventRecord]:
        """Give every event that is not held, still has pictures, and can be read."""
        with self.snapshot() as db:
            rows = db.execute(
                f"SELECT {_EVENT_COLUMNS} FROM event WHERE is_held=0"  # noqa: S608 – a constant
                " AND EXISTS(SELECT 1 FROM frame WHERE frame.event_id=event.event_id)"
            ).fetchall()
            return list(_readable(_event_records(db, rows)))


def _conditions(query: EventQuery) -> tuple[str, list[Any]]:
    wanted: list[tuple[str, Any]] = []
    if query.camera is not None:
        wanted.append(("camera=?", query.camera))
    if query.severity is not None:
        wanted.append(("severity=?", query.severity.value))
    if query.grade is not None:
        wanted.append(("grade=?", query.grade.value))
    if query.is_reviewed is not None:
        wanted.append(("is_reviewed=?", query.is_reviewed))
    if query.is_held is not None:
        wanted.append(("is_held=?", query.is_held))
    if query.is_closed is not None:
        wanted.append(("is_closed=?", query.is_closed))
    if query.since is not None:
        wanted.append(("opened_at>=?", sortable(query.since)))
    if query.until is not None:
        wanted.append(("opened_at<?", sortable(query.until)))
    if not query.with_tests:
        wanted.append(("is_test=?", False))
    conditions = [condition for condition, _ in wanted]
    values = [value for _, value in wanted]
    if query.is_calling:
        conditions.append(_CALLING)
    if query.cursor is not None:
        conditions.append("(opened_at, event_id) < (?, ?)")
        values += _position(query.cursor)
    return " AND ".join(conditions) or "1", values


def _time_or_none(text: str) -> datetime | None:
    """Read a time; None of one that is damaged: a box watches and records on all the same."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else None


def _cursor(opened_at: str, event_id: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([opened_at, event_id]).encode()).decode().rstrip("=")


def _position(cursor: str) -> list[str]:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        position = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        opened_at, event_id = position
    except (ValueError, TypeError, binascii.Error, RecursionError) as err:
        raise _bad_cursor(cursor) from err
    if not (isinstance(opened_at, str) and isinstance(event_id, str)):
        raise _bad_cursor(cursor)
    return [opened_at, event_id]


def _bad_cursor(cursor: str) -> RequestError:
    return RequestError(
        ErrorCode.REQUEST_FIELD_INVALID, f"cursor {cursor[:40]!r} is not one that was given"
    )


def _require(db: sqlite3.Connection, event_id: str) -> None:
    if db.execute("SELECT 1 FROM event WHERE event_id=?", (event_id,)).fetchone() is None:
        raise RequestError(ErrorCode.EVENT_UNKNOWN, f"event {event_id[:64]!r}")


def _event_record(db: sqlite3.Connection, event_id: str) -> EventRecord:
    _require(db, event_id)
    rows = db.execute(
        f"SELECT {_EVENT_COLUMNS} FROM event WHERE event_id=?",  # noqa: S608 – a constant
        (event_id,),
    ).fetchall()
    found = _event_records(db, rows)[0]
    if isinstance(found, StoreError):
        raise found
    return found


def _readable(found: Iterable[EventRecord | StoreError]) -> Iterator[EventRecord]:
    return (event for event in found if isinstance(event, EventRecord))


def _event_records(db: sqlite3.Connection, rows: Sequence[Any]) -> list[EventRecord | StoreError]:
    """Give each row's event, or why it cannot be read."""
    lines = _lines(db, [seq for row in rows for seq in row[1:7] if seq is not None])
    event_ids = json.dumps([row[0] for row in rows])
    kept = {
        event_id: (count, size)
        for event_id, count, size in db.execute(
            "SELECT event_id, count(*), coalesce(sum(bytes), 0) FROM frame LEFT JOIN file USING(sha256)"
            " WHERE event_id IN (SELECT value FROM json_each(?)) GROUP BY event_id",
            (event_ids,),
        )
    }
    gone = dict(
        db.execute(
            "SELECT event_id, count(*) FROM journal WHERE kind='frame' AND line IS NULL"
            " AND event_id IN (SELECT value FROM json_each(?)) GROUP BY event_id",
            (event_ids,),
        ).fetchall()
    )
    found: list[EventRecord | StoreError] = []
    for event_id, *seqs in (row[:7] for row in rows):
        try:
            entries = [None if s is None else _read_entry(s, lines.get(s)) for s in seqs]
            here, away = kept.get(event_id, (0, 0)), gone.get(event_id, 0)
            found.append(_assembled(event_id, entries, here, away))
        except StoreError as err:
            found.append(err)
    return found


def _lines(db: sqlite3.Connection, seqs: Sequence[int]) -> dict[int, str | None]:
    rows = db.execute(
        "SELECT seq, line FROM journal WHERE seq IN (SELECT value FROM json_each(?))",
        (json.dumps(seqs),),
    )
    return dict(rows.fetchall())


def _read_entry(seq: int, line: str | None) -> Entry:
    with _reading(f"entry {seq} of the journal"):
        return entry_of(line or "")


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Call what is written otherwise than this version writes it damaged, whatever it lacks."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as err:
        raise StoreError(ErrorCode.EVIDENCE_DAMAGED, f"{what} cannot be read") from err


def _assembled(
    event_id: str, entries: Sequence[Entry | None], kept: tuple[int, int], gone: int
) -> EventRecord:
    opened, newest, origin, acknowledged, marked, held = entries
    if opened is None or newest is None:
        raise StoreError(ErrorCode.EVIDENCE_DAMAGED, f"event {event_id} has lost its entries")
    with _reading(f"event {event_id}"):
        mark = marked.body["mark"] if marked else None
        return EventRecord(
            event=event_of(event_id, newest.body["event"]),
            origin=origin_of(origin.body) if origin else None,
            acknowledged=signed_of(acknowledged.at, acknowledged.body) if acknowledged else None,
            mark=Mark(mark) if mark else None,
            marked=signed_of(marked.at, marked.body) if marked else None,
            held=signed_of(held.at, held.body) if held and held.body["is_held"] else None,
            camera_facts=opened.body["camera"],
            frames_kept=kept[0],
            frames_gone=gone,
            bytes_kept=kept[1],
        )


def _frames(db: sqlite3.Connection, event_id: str) -> tuple[FrameRecord, ...]:
    lines = db.execute(
        "SELECT seq, line FROM journal WHERE event_id=? AND kind IN ('frame', 'verdict')"
        " AND line IS NOT NULL ORDER BY seq",
        (event_id,),
    )
    entries = [_read_entry(seq, line) for seq, line in lines]
    with _reading(f"a frame of event {event_id}"):
        said: dict[str, list[Said]] = {}
        for entry in entries:
            verdict = entry.body["verdict"]
            if verdict is not None:
                said.setdefault(entry.body["frame_id"], []).append(said_of(entry.at, verdict))
        frames = [
            frame_of(entry.seq, entry.body, tuple(said.get(entry.body["frame_id"], ())))
            for entry in entries
            if entry.kind is EntryKind.FRAME
        ]
    return tuple(sorted(frames, key=lambda frame: (frame.captured_at, frame.seq)))
