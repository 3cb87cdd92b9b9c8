"""Reads the evidence store: pages of events, an event, its frames and pictures, the journal. Ring: adapter.

Works beside a running service and without one, also on a read-only disk.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

from edge.alert.notice import Notice
from edge.record.chain import GENESIS
from edge.record.codec import sortable
from edge.record.event_query import conditions, cursor_after
from edge.record.event_reading import (
    EVENT_COLUMNS,
    damaged_entries,
    event_records,
    frames_of,
    notices_of,
    readable,
    with_clock,
)
from edge.record.schema import MIGRATIONS
from edge.record.types import MOST_EVENTS_A_PAGE, EventPage, EventQuery, EventRecord, FrameRecord
from shared.disk.blobs import Blobs
from shared.disk.store import ReadStore
from shared.error_code import ErrorCode
from shared.errors import RequestError, StoreError

DATABASE = "records.sqlite3"
PICTURES = "pictures"
MAX_PICTURE_BYTES = 100_000_000  # the largest value of limits.max_bytes


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
        where, values = conditions(query)
        way = "ASC" if query.is_oldest_first else "DESC"
        sql = (
            f"SELECT {EVENT_COLUMNS}, opened_at FROM event WHERE {where}"  # noqa: S608 – conditions are ours
            f" ORDER BY opened_at {way}, event_id {way} LIMIT ?"
        )
        with self.snapshot() as db:
            rows = db.execute(sql, (*values, query.limit + 1)).fetchall()
            shown = rows[: query.limit]
            found = event_records(db, shown)
        has_more = len(rows) > len(shown) and not query.is_oldest_first
        cursor = cursor_after(shown[-1][-1], shown[-1][0]) if has_more else None
        return EventPage(
            events=tuple(readable(found)),
            cursor=cursor,
            unreadable=tuple(
                str(row[0])
                for row, event in zip(shown, found, strict=True)
                if isinstance(event, StoreError)
            ),
        )

    def event(self, event_id: str) -> EventRecord:
        """Give one event, and which of all entries about it were altered or are damaged.

        Raises:
            RequestError(EVENT_UNKNOWN)
            StoreError(EVIDENCE_DAMAGED): no entry that says what it is can be read.
        """
        with self.snapshot() as db:
            _require(db, event_id)
            rows = db.execute(
                f"SELECT {EVENT_COLUMNS} FROM event WHERE event_id=?",  # noqa: S608 – a constant
                (event_id,),
            ).fetchall()
            (found,) = event_records(db, rows)
            if isinstance(found, StoreError):
                raise found
            damaged = damaged_entries(db, event_id)
            return with_clock(db, replace(found, damaged=damaged), opened_seq=rows[0][1])

    def frames(self, event_id: str) -> tuple[FrameRecord, ...]:
        """Give the frames of an event in time order, each with all that was said of it; damaged ones are left out.

        Raises:
            RequestError(EVENT_UNKNOWN)
        """
        with self.snapshot() as db:
            _require(db, event_id)
            return frames_of(db, event_id)

    def alerts(self, event_id: str) -> tuple[Notice, ...]:
        """Tell what came of every message about an event, as it came; damaged entries are left out.

        Raises:
            RequestError(EVENT_UNKNOWN)
        """
        with self.snapshot() as db:
            _require(db, event_id)
            return notices_of(db, event_id)

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
        """Give every event that is not held, still has pictures, and is known well enough to tell its worth."""
        with self.snapshot() as db:
            rows = db.execute(
                f"SELECT {EVENT_COLUMNS} FROM event WHERE is_held=0"  # noqa: S608 – a constant
                " AND EXISTS(SELECT 1 FROM frame WHERE frame.event_id=event.event_id)"
            ).fetchall()
            return [event for event in readable(event_records(db, rows)) if not event.damaged]


def _time_or_none(text: str) -> datetime | None:
    """Read a time; None of one that is damaged: a box watches and records on all the same."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else None


def _require(db: sqlite3.Connection, event_id: str) -> None:
    if db.execute("SELECT 1 FROM event WHERE event_id=?", (event_id,)).fetchone() is None:
        raise RequestError(ErrorCode.EVENT_UNKNOWN, f"event {event_id[:64]!r}")
