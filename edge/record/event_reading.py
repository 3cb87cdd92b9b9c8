"""Puts events and frames together from the journal's entries that tell of them. Ring: adapter (SQLite).

An entry that was altered or is damaged is left out and its number told; what the others say is shown without it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from edge.alert.notice import Notice
from edge.event.fire_event import FireEvent, Origin
from edge.record.chain import Entry, EntryKind, entry_of, row_hash
from edge.record.clock_set import ClockSet, clock_set_of, reckoned
from edge.record.codec import event_of, frame_of, notice_of, origin_of, said_of, signed_of
from edge.record.types import EventRecord, FrameRecord, Mark, Said, Signed
from shared.error_code import ErrorCode
from shared.errors import StoreError
from shared.types import ClockQuality

EVENT_COLUMNS = (
    "event_id, opened_seq, event_seq, origin_seq, acknowledged_seq, marked_seq, held_seq"
)
# Those of one run of the box: between the start before an entry and the start after it.
_CLOCK_SETS = """event_id IS NULL AND kind='clock_set'
    AND seq>(SELECT coalesce(max(seq), 0) FROM journal WHERE event_id IS NULL AND kind='started' AND seq<?1)
    AND seq<(SELECT coalesce(min(seq), 1<<62) FROM journal WHERE event_id IS NULL AND kind='started' AND seq>?1)"""
_Made = TypeVar("_Made")
_Row = tuple[int, str, str, str]  # number, kind, line, hash


class _Entries:
    """Rows of the journal by number; `damaged` numbers those that were wanted and could not be read."""

    def __init__(self, rows: Mapping[int, _Row]) -> None:
        self._rows = rows
        self.damaged: list[int] = []

    def of_kind(self, *kinds: EntryKind) -> list[int]:
        """Number those of some kinds in order."""
        return [seq for seq, row in sorted(self._rows.items()) if row[1] in kinds]

    def read(self, seq: int | None, make: Callable[[Entry], _Made]) -> _Made | None:
        """Make a value of an entry; None where there is none, and of one that is not what was written."""
        if seq is None:
            return None
        try:
            _, kind, line, row_sha256 = self._rows[seq]
            entry = entry_of(line)
            if (entry.seq, entry.kind, row_hash(line)) == (seq, kind, row_sha256):
                return make(entry)
        except (ValueError, KeyError, TypeError):  # also one that another version wrote otherwise
            pass
        self.damaged.append(seq)
        return None

    def read_all(self, make: Callable[[Entry], _Made], *kinds: EntryKind) -> Iterator[_Made]:
        """Make values of all that can be read, in order."""
        made = (self.read(seq, make) for seq in self.of_kind(*kinds))
        return (value for value in made if value is not None)


def readable(found: Iterable[EventRecord | StoreError]) -> Iterator[EventRecord]:
    """Give the events that could be read."""
    return (event for event in found if isinstance(event, EventRecord))


def event_records(db: sqlite3.Connection, rows: Sequence[Any]) -> list[EventRecord | StoreError]:
    """Give the event of each row of `EVENT_COLUMNS`, or why it cannot be read."""
    seqs = json.dumps([seq for row in rows for seq in row[1:7] if seq is not None])
    lines = _rows(db, "seq IN (SELECT value FROM json_each(?))", seqs)
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
    for event_id, *own in (row[:7] for row in rows):
        entries = _Entries(lines)
        event = entries.read(own[1], _event) or _newest_readable(db, event_id)
        if event is None:
            detail = f"event {event_id}: no entry that says what it is can be read"
            found.append(StoreError(ErrorCode.EVIDENCE_DAMAGED, detail))
        else:
            here, away = kept.get(event_id, (0, 0)), gone.get(event_id, 0)
            found.append(_assembled(event, entries, own, here, away))
    return found


def damaged_entries(db: sqlite3.Connection, event_id: str) -> tuple[int, ...]:
    """Number all entries about an event that were altered or are damaged."""
    entries = _about(db, event_id)
    for kind, make in _MAKERS.items():
        for seq in entries.of_kind(kind):
            entries.read(seq, make)
    return tuple(sorted(entries.damaged))


def with_clock(db: sqlite3.Connection, record: EventRecord, opened_seq: int) -> EventRecord:
    """Add what the journal says of the clock in the run of the box that opened an event."""
    entries = _Entries(_rows(db, _CLOCK_SETS, opened_seq))
    sets = dict(entries.read_all(_clock_set, EntryKind.CLOCK_SET))
    if not sets:
        return record
    shown_id = (record.origin or record.event).frame_id
    shown = next((f for f in frames_of(db, record.event.event_id) if f.frame_id == shown_id), None)
    # A camera's own time is no matter of our clock; neither is one of which nobody knows any more whose it was.
    is_ours = shown is not None and shown.clock_quality is ClockQuality.RECEIVED
    reckoned_at = reckoned(record.began_at, opened_seq, sets) if is_ours else None
    return replace(record, clock_sets=sets, reckoned_at=reckoned_at)


def frames_of(db: sqlite3.Connection, event_id: str) -> tuple[FrameRecord, ...]:
    """Give the frames of an event in time order, each with all that was said of it."""
    entries = _about(db, event_id)
    frames = {frame.frame_id: frame for frame in entries.read_all(_frame, EntryKind.FRAME)}
    for frame_id, said in entries.read_all(_word, EntryKind.VERDICT):
        if (frame := frames.get(frame_id)) is not None:
            frames[frame_id] = replace(frame, said=(*frame.said, said))
    return tuple(sorted(frames.values(), key=lambda frame: (frame.captured_at, frame.seq)))


def notices_of(db: sqlite3.Connection, event_id: str) -> tuple[Notice, ...]:
    """Tell what came of every message about an event, in the order in which it came."""
    return tuple(_about(db, event_id).read_all(_notice, EntryKind.ALERTED))


def _about(db: sqlite3.Connection, event_id: str) -> _Entries:
    return _Entries(_rows(db, "event_id=? AND line IS NOT NULL", event_id))


def _rows(db: sqlite3.Connection, where: str, value: str | int) -> dict[int, _Row]:
    sql = f"SELECT seq, kind, line, row_sha256 FROM journal WHERE {where}"  # noqa: S608 – a constant
    return {row[0]: row for row in db.execute(sql, (value,))}


def _newest_readable(db: sqlite3.Connection, event_id: str) -> FireEvent | None:
    """Give the event as it was last told of by an entry that can be read."""
    kinds = (EntryKind.OPENED, EntryKind.UPDATED, EntryKind.CLOSED)
    told = list(_about(db, event_id).read_all(_event, *kinds))
    return told[-1] if told else None


def _assembled(
    event: FireEvent,
    entries: _Entries,
    own: Sequence[int | None],
    kept: tuple[int, int],
    gone: int,
) -> EventRecord:
    opened, _, origin, acknowledged, marked, held = own
    label = entries.read(marked, _label)
    return EventRecord(
        event=event,
        origin=entries.read(origin, _origin),
        acknowledged=entries.read(acknowledged, _signed),
        mark=label and label[0],
        marked=label and label[1],
        held=entries.read(held, _held),
        camera_facts=entries.read(opened, _facts) or {},
        frames_kept=kept[0],
        frames_gone=gone,
        bytes_kept=kept[1],
        damaged=tuple(entries.damaged),
    )


def _event(entry: Entry) -> FireEvent:
    return event_of(str(entry.event_id), entry.body["event"])


def _facts(entry: Entry) -> dict[str, Any]:
    return dict(entry.body["camera"])


def _frame(entry: Entry) -> FrameRecord:
    verdict = entry.body["verdict"]
    return frame_of(entry.seq, entry.body, (said_of(entry.at, verdict),) if verdict else ())


def _word(entry: Entry) -> tuple[str, Said]:
    return entry.body["frame_id"], said_of(entry.at, entry.body["verdict"])


def _origin(entry: Entry) -> Origin:
    return origin_of(entry.body)


def _signed(entry: Entry) -> Signed:
    return signed_of(entry.at, entry.body)


def _label(entry: Entry) -> tuple[Mark | None, Signed]:
    mark = entry.body["mark"]
    return Mark(mark) if mark else None, _signed(entry)


def _held(entry: Entry) -> Signed | None:
    return _signed(entry) if entry.body["is_held"] else None


def _clock_set(entry: Entry) -> tuple[int, ClockSet]:
    return entry.seq, clock_set_of(entry.body)


def _notice(entry: Entry) -> Notice:
    return notice_of(entry.body)


_MAKERS: Mapping[EntryKind, Callable[[Entry], object]] = {
    EntryKind.OPENED: lambda entry: (_event(entry), _facts(entry)),
    EntryKind.UPDATED: _event,
    EntryKind.CLOSED: _event,
    EntryKind.FRAME: _frame,
    EntryKind.VERDICT: _word,
    EntryKind.ORIGIN: _origin,
    EntryKind.ACKNOWLEDGED: _signed,
    EntryKind.MARKED: _label,
    EntryKind.HELD: _held,
    EntryKind.ALERTED: _notice,
}
