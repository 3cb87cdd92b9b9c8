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
    ALERTED = "alerted"
    STARTED = "started"
    CLOCK_SET = "clock_set"
    PRUNED = "pruned"
    CUT = "cut"


class FindingKind(StrEnum):
    """What can be wrong with evidence."""

    CHANGED = "changed"
    MISSING = "missing"
    ADDED = "added"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it was written: a file, or a row by its table and key."""

    kind: FindingKind
    what: str
    detail: str


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the journal as it is stored; `line` is None once it was deleted."""

    seq: int
    kind: str
    event_id: str | None
    line: str | None
    row_sha256: str
    chain: str


class ChainCheck:
    """Walks over the journal's rows in order and names each one that is not as it was written.

    After a break it goes on from what stands there, so that one change is one finding.
    """

    def __init__(self) -> None:
        """Begin before the first row."""
        self.findings: list[Finding] = []
        self.entries = 0
        self._previous: Row | None = None
        self._begin: Row | None = None
        self._gone: list[int] = []
        self._accounted: list[list[int]] = []
        self._cuts: dict[int, str] = {}

    @property
    def head(self) -> str:
        """Tell the chain's last hash."""
        return self._previous.chain if self._previous else GENESIS

    def take(self, row: Row) -> Entry | None:
        """Check the next row; gives its entry when it has one that is sound."""
        self.entries += 1
        expected_seq = self._previous.seq + 1 if self._previous else row.seq
        if row.seq != expected_seq:
            self._find(FindingKind.MISSING, expected_seq, f"rows up to {row.seq - 1} are missing")
        elif self._previous is None:
            self._begin = row
        elif row.chain != link(self._previous.chain, row.row_sha256):
            self._find(FindingKind.CHANGED, row.seq, "its hash does not follow from the row before")
        self._previous = row
        if row.line is None:
            self._gone.append(row.seq)
            return None
        return self._read(row, row.line)

    def finish(self) -> None:
        """Check what only the whole tells: the beginning, and that every deletion was written down."""
        begin = self._begin
        if begin is not None:
            before = GENESIS if begin.seq == 1 else self._cuts.get(begin.seq - 1)
            if before is None:
                detail = f"rows up to {begin.seq - 1} are missing"
                self._find(FindingKind.MISSING, 1, detail)
            elif begin.chain != link(before, begin.row_sha256):
                self._find(
                    FindingKind.CHANGED, begin.seq, "its hash does not follow from the row before"
                )
        accounted = {seq for first, last in self._accounted for seq in range(first, last + 1)}
        for first, last in as_ranges(seq for seq in self._gone if seq not in accounted):
            detail = f"the lines up to {last} were deleted and nothing says why"
            self._find(FindingKind.MISSING, first, detail)

    def _read(self, row: Row, line: str) -> Entry | None:
        if row_hash(line) != row.row_sha256:
            self._find(FindingKind.CHANGED, row.seq, "its text does not have its hash")
            return None
        try:
            entry = entry_of(line)
            if entry.kind is EntryKind.PRUNED:
                self._accounted += [[int(first), int(last)] for first, last in entry.body["seqs"]]
            elif entry.kind is EntryKind.CUT:
                self._cuts[int(entry.body["through"])] = str(entry.body["chain"])
        except (ValueError, KeyError, TypeError):
            self._find(FindingKind.CHANGED, row.seq, "its text is not that of an entry")
            return None
        if (entry.seq, entry.kind, entry.event_id) != (row.seq, row.kind, row.event_id):
            self._find(FindingKind.CHANGED, row.seq, "its columns differ from its text")
            return None
        return entry

    def _find(self, kind: FindingKind, seq: int, detail: str) -> None:
        self.findings.append(Finding(kind=kind, what=f"journal row {seq}", detail=detail))
