"""Packs an event for somebody else: pictures, report, journal, and a program that checks them. Ring: adapter (zip).

The same event gives the same bytes. Other events' entries between its own appear as hashes only, so that the chain can
be followed without showing them.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import BinaryIO

from edge.record.archive import Archive
from edge.record.chain import GENESIS
from edge.record.report import Report, render
from edge.record.standalone_verify import list_text, picture_name
from edge.record.types import FrameRecord
from shared.errors import FireError
from shared.types import MediaType

_THEN = (
    1980,
    1,
    1,
    0,
    0,
    0,
)  # the earliest time a zip can hold: the same event must give the same bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The part of the journal from an event's first entry on: `begin` and `end` are the chain before it and at its end.

    It ends with the event's last entry, or later, once that day is over: with the day's last one. That is the hash
    which the log tells of the day, so that who noted it finds it in the package.
    """

    first: int
    last: int
    begin: str
    end: str
    rows: tuple[str, ...]


@dataclass(slots=True)
class _Package:
    """A zip that remembers the hash of each file."""

    packed: zipfile.ZipFile
    hashes: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, content: bytes) -> None:
        info = zipfile.ZipInfo(name, _THEN)
        info.create_system, info.external_attr = 3, 0o644 << 16
        is_picture = name.startswith("pictures/")
        info.compress_type = zipfile.ZIP_STORED if is_picture else zipfile.ZIP_DEFLATED
        self.packed.writestr(info, content)
        self.hashes[name] = hashlib.sha256(content).hexdigest()


def export(
    archive: Archive, event_id: str, target: BinaryIO, *, zone: tzinfo, is_chinese: bool
) -> None:
    """Write the zip of an event.

    Args:
        archive: where it is kept.
        event_id: which.
        target: takes the bytes; needs not be seekable.
        zone: whose local time the report tells.
        is_chinese: the report's language.

    Raises:
        RequestError(EVENT_UNKNOWN)
        StoreError: the store cannot be read. What was altered is left out of the report, which says so.
    """
    record, frames = archive.event(event_id), archive.frames(event_id)
    segment = read_segment(archive, event_id, also=record.clock_sets)
    with zipfile.ZipFile(target, "w") as packed:
        package = _Package(packed)
        names, lost = _add_pictures(package, archive, event_id, frames)
        journal = "".join(f"{row}\n" for row in segment.rows)
        package.add("journal.jsonl", journal.encode())
        report = Report(
            record=record,
            frames=frames,
            notices=archive.alerts(event_id),
            pictures=names,
            lost=tuple(lost),
            chain_begin=segment.begin,
            chain_end=segment.end,
            first_entry=segment.first,
            last_entry=segment.last,
        )
        package.add("report.html", render(report, zone=zone, is_chinese=is_chinese).encode())
        package.add("verify.py", _verifier())
        damaged = list(record.damaged)
        chain = {
            "first": segment.first,
            "last": segment.last,
            "begin": segment.begin,
            "end": segment.end,
        }
        manifest = {
            "format": 1,
            "event_id": event_id,
            "files": package.hashes.copy(),
            "lost": lost,
            "damaged": damaged,
            "chain": chain,
        }
        package.add("manifest.json", list_text(manifest).encode())


def read_segment(archive: Archive, event_id: str, *, also: Collection[int] = ()) -> Segment:
    """Read the part of the journal that holds an event, and `also` some entries that tell of its clock."""
    with archive.snapshot() as db:
        first, last = db.execute(
            "SELECT min(seq), max(seq) FROM journal WHERE event_id=?", (event_id,)
        ).fetchone()
        first, last = min((first, *also)), max((last, *also))
        (last_of_day,) = db.execute(
            "SELECT min(seq) FROM head WHERE seq>=? AND day<(SELECT max(day) FROM head)", (last,)
        ).fetchone()
        last = last_of_day or last
        before = db.execute("SELECT chain FROM journal WHERE seq=?", (first - 1,)).fetchone()
        if before is None and first > 1:
            before = db.execute(
                "SELECT json_extract(line, '$.body.chain') FROM journal WHERE kind='cut'"
                " AND CASE WHEN json_valid(line) THEN json_extract(line, '$.body.through') END=?",
                (first - 1,),
            ).fetchone()
        rows = []
        end = GENESIS
        for seq, of_event, line, row_sha256, end in db.execute(  # noqa: B007 – the last one is used
            "SELECT seq, event_id, line, row_sha256, chain FROM journal WHERE seq BETWEEN ? AND ?"
            " ORDER BY seq",
            (first, last),
        ):
            row = {"seq": seq, "row_sha256": row_sha256}
            if line is not None and (of_event == event_id or seq in also):
                row["line"] = line
            rows.append(json.dumps(row, sort_keys=True))
    begin = before[0] if before else GENESIS
    return Segment(first=first, last=last, begin=begin, end=end, rows=tuple(rows))


def _add_pictures(
    package: _Package, archive: Archive, event_id: str, frames: Sequence[FrameRecord]
) -> tuple[dict[str, str], list[str]]:
    """Add the pictures in time order; gives their file names by frame, and the frames whose picture was altered."""
    names, lost = {}, []
    for number, frame in enumerate(frames, start=1):
        try:
            content = archive.picture(event_id, frame.frame_id)
        except FireError:
            lost.append(frame.frame_id)
            continue
        name = picture_name(
            number, frame.captured_at, frame.frame_id, is_png=frame.media_type is MediaType.PNG
        )
        package.add(name, content)
        names[frame.frame_id] = name
    return names, lost


def _verifier() -> bytes:
    return (importlib.resources.files("edge.record") / "standalone_verify.py").read_bytes()
