"""The hash chain that makes a later change of evidence visible. Ring: domain.

Every fact is one entry of an append-only journal. An entry is a line of canonical JSON; its row hash is the SHA-256 of
that line, and the chain hash is the SHA-256 of the previous chain hash and the row hash. Deletion by retention takes
the line and leaves the row hash, so the chain still verifies; a later entry says what was deleted and why. Whoever can
write the disk can also compute a new chain: what proves age is a head that was noted elsewhere, in a log or a message.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

GENESIS = hashlib.sha256(b"emberlink evidence journal, version 1").hexdigest()


class EntryKind(StrEnum):
    """What an entry of the journal tells; the values are stored."""

    OPENED = "opened"
    UPDATED = "updated"
    CLOSED = "closed"
    FRAME = "frame"
    VERDICT = "verdict"
    ORIGIN = "origin"
    ACKNOWLEDGED = "acknowledged"
    MARKED = "marked"
    HELD = "held"
    STARTED = "started"
    PRUNED = "pruned"
    CUT = "cut"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One fact. `at` is the wall clock's time, `kept_at` that of the clock by which evidence ages."""

    seq: int
    at: datetime
    kept_at: datetime
    kind: EntryKind
    event_id: str | None
    body: Mapping[str, Any]


def canonical(values: Any) -> str:
    """Write JSON in the one form that is hashed: sorted keys, no spaces, ASCII.

    Raises:
        ValueError: NaN or infinity.
    """
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)


def line_of(entry: Entry) -> str:
    """Write an entry as its line."""
    return canonical(
        {
            "seq": entry.seq,
            "at": entry.at.isoformat(),
            "kept_at": entry.kept_at.isoformat(),
            "kind": entry.kind.value,
            "event_id": entry.event_id,
            "body": entry.body,
        }
    )


def entry_of(line: str) -> Entry:
    """Read a line back.

    Raises:
        ValueError, KeyError: it is not the line of an entry.
    """
    values = json.loads(line)
    return Entry(
        seq=values["seq"],
        at=datetime.fromisoformat(values["at"]),
        kept_at=datetime.fromisoformat(values["kept_at"]),
        kind=EntryKind(values["kind"]),
        event_id=values["event_id"],
        body=values["body"],
    )


def row_hash(line: str) -> str:
    """Hash one line."""
    return hashlib.sha256(line.encode("ascii", "backslashreplace")).hexdigest()


def link(previous: str, row_sha256: str) -> str:
    """Give the chain hash of a row from the chain hash before it."""
    return hashlib.sha256(f"{previous}{row_sha256}".encode()).hexdigest()


def as_ranges(numbers: Iterable[int]) -> list[list[int]]:
    """Write numbers as sorted ranges `[first, last]`, both included."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ranges
