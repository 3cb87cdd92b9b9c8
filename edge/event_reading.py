"""Puts events and frames together from the journal's entries that tell of them. Ring: adapter (SQLite)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from edge.chain import Entry, EntryKind, entry_of
from edge.record_codec import event_of, frame_of, notice_of, origin_of, said_of, signed_of
from edge.record_types import EventRecord, FrameRecord, Mark, Notice, Said
from shared.error_code import ErrorCode
from shared.errors import StoreError

EVENT_COLUMNS = (
    "event_id, opened_seq, event_seq, origin_seq, acknowledged_seq, marked_seq, held_seq"
)


def readable(found: Iterable[EventRecord | StoreError]) -> Iterator[EventRecord]:
    """Give the events that could be read."""
    return (event for event in found if isinstance(event, EventRecord))


def event_records(db: sqlite3.Connection, rows: Sequence[Any]) -> list[EventRecord | StoreError]:
    """Give the event of each row of `EVENT_COLUMNS`, or why it cannot be read."""
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


def frames_of(db: sqlite3.Connection, event_id: str) -> tuple[FrameRecord, ...]:
    """Give the frames of an event in time order, each with all that was said of it."""
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


def notices_of(db: sqlite3.Connection, event_id: str) -> tuple[Notice, ...]:
    """Tell what came of every message about an event, in the order in which it came."""
    lines = db.execute(
        "SELECT seq, line FROM journal WHERE event_id=? AND kind='alerted'"
        " AND line IS NOT NULL ORDER BY seq",
        (event_id,),
    )
    return tuple(notice_of(_read_entry(seq, line).body) for seq, line in lines)
