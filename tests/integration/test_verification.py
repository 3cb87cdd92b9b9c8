"""A check of the evidence names whatever is not as it was written."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from edge.record.archive import Archive
from edge.record.chain import FindingKind, Row, link, row_hash
from edge.record.retention import KeepRules
from edge.record.types import Mark, Verification
from edge.record.verification import verify
from shared.clock import SystemClock
from tests.helpers.clock import FakeClock
from tests.helpers.evidence import AT, fill, fire_event, kept_frame, open_records

_DAY_S = 86_400.0


@pytest.fixture
def folder(tmp_path) -> Path:
    """Fill a store with everything that can be in one: two events, one of them held and labelled, one pruned."""
    clock = FakeClock(AT)
    with open_records(tmp_path / "e", clock, rules=KeepRules(keep_days=30)) as records:
        fill(records, "old")
        clock.advance(20 * _DAY_S)
        fill(records, "one")
        clock.advance(11 * _DAY_S)
        records.prune()
        fill(records, "two")
        records.label("two", Mark.TRUE, by="mei")
        records.hold("two", is_held=True, by="mei", why="")
        records.acknowledge("two", by="mei")
    return tmp_path / "e"


def _check(folder: Path) -> Verification:
    archive = Archive(folder)
    try:
        return verify(archive)
    finally:
        archive.close()


def _found(folder: Path) -> list[tuple[FindingKind, str]]:
    return [(finding.kind, finding.what) for finding in _check(folder).findings]


def _tamper(folder: Path, sql: str, *values: object) -> None:
    with sqlite3.connect(folder / "records.sqlite3") as db:
        assert db.execute(sql, values).rowcount != 0
    db.close()


def _row(folder: Path, sql: str) -> tuple:
    with sqlite3.connect(folder / "records.sqlite3") as db:
        row = db.execute(sql).fetchone()
    db.close()
    return row


def _picture(folder: Path, event: str = "one") -> Path:
    (name,) = _row(folder, f"SELECT sha256 FROM frame WHERE event_id='{event}'")
    return folder / "pictures" / name[:2] / name[2:4] / name


def test_what_was_not_touched_is_unaltered(folder):
    result = _check(folder)
    assert result.findings == ()
    assert (result.is_unaltered, result.files) == (True, 6)
    assert result.heads[max(result.heads)] == result.head


@pytest.mark.parametrize("at", [0, 5, -1])
def test_one_changed_byte_of_a_picture_names_file_event_and_frame(folder, at):
    path = _picture(folder)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    (finding,) = _check(folder).findings
    assert (finding.kind, finding.what) == (FindingKind.CHANGED, f"file {path.name}")
    assert finding.detail.startswith("event one frame one-")


def test_a_missing_picture_is_named(folder):
    path = _picture(folder)
    path.unlink()
    assert _found(folder) == [(FindingKind.MISSING, f"file {path.name}")]


@pytest.mark.parametrize("name", ["extra.jpg", "ab/cd/extra", f"00/00/{'0' * 64}"])
def test_a_file_that_was_added_is_named(folder, name):
    path = folder / "pictures" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not evidence")
    assert _found(folder) == [(FindingKind.ADDED, f"file pictures/{name}")]


def test_a_changed_line_of_the_journal_is_named_by_its_number(folder):
    seq, line = _row(
        folder, "SELECT seq, line FROM journal WHERE kind='frame' AND line IS NOT NULL"
    )
    _tamper(folder, "UPDATE journal SET line=? WHERE seq=?", line.replace("yard", "gate"), seq)
    assert (FindingKind.CHANGED, f"journal row {seq}") in _found(folder)


def test_a_line_that_was_changed_with_its_hash_breaks_the_chain_after_it(folder):
    seq, line = _row(
        folder, "SELECT seq, line FROM journal WHERE kind='frame' AND line IS NOT NULL"
    )
    line = line.replace("0.8", "0.1")
    sql = "UPDATE journal SET line=?, row_sha256=? WHERE seq=?"
    _tamper(folder, sql, line, row_hash(line), seq)
    assert (FindingKind.CHANGED, f"journal row {seq}") in _found(folder)


def test_a_whole_chain_that_was_computed_anew_differs_from_the_head_that_was_noted(folder):
    noted = _check(folder).head
    with sqlite3.connect(folder / "records.sqlite3") as db:
        columns = ", ".join(Row.__slots__)
        rows = [
            Row(**dict(zip(Row.__slots__, r, strict=True)))
            for r in db.execute(f"SELECT {columns} FROM journal ORDER BY seq")
        ]
        chain = rows[-4].chain
        for row in rows[-3:]:
            line = row.line.replace("mei", "eve")
            chain = link(chain, row_hash(line))
            db.execute(
                "UPDATE journal SET line=?, row_sha256=?, chain=? WHERE seq=?",
                (line, row_hash(line), chain, row.seq),
            )
        db.execute("UPDATE head SET chain=? WHERE seq=?", (chain, rows[-1].seq))
    db.close()
    result = _check(folder)
    assert (result.is_unaltered, result.head != noted) == (True, True)


@pytest.mark.parametrize("where", ["kind='frame' AND event_id='one'", "kind='marked'"])
def test_a_row_of_the_journal_that_was_deleted_is_missing(folder, where):
    (seq,) = _row(folder, f"SELECT min(seq) FROM journal WHERE line IS NOT NULL AND {where}")
    _tamper(folder, "DELETE FROM journal WHERE seq=?", seq)
    assert (FindingKind.MISSING, f"journal row {seq}") in _found(folder)


def test_the_last_row_of_the_journal_that_was_deleted_is_missed(folder):
    (seq,) = _row(folder, "SELECT max(seq) FROM journal")
    _tamper(folder, "DELETE FROM journal WHERE seq=?", seq)
    assert _found(folder)


def test_the_first_rows_of_the_journal_that_were_deleted_are_missed(folder):
    _tamper(folder, "DELETE FROM journal WHERE seq<(SELECT min(seq)+2 FROM journal)")
    assert (FindingKind.MISSING, "journal row 1") in _found(folder)


def test_a_line_that_was_emptied_without_an_entry_that_says_why_is_missing(folder):
    (seq,) = _row(folder, "SELECT seq FROM journal WHERE kind='marked'")
    _tamper(folder, "UPDATE journal SET line=NULL WHERE seq=?", seq)
    assert (FindingKind.MISSING, f"journal row {seq}") in _found(folder)


@pytest.mark.parametrize("column", ["kind='held'", "event_id='two'", "event_id=NULL"])
def test_a_row_of_the_journal_that_is_filed_as_something_else_is_changed(folder, column):
    (seq,) = _row(folder, "SELECT min(seq) FROM journal WHERE kind='frame' AND event_id='one'")
    _tamper(folder, f"UPDATE journal SET {column} WHERE seq=?", seq)
    assert (FindingKind.CHANGED, f"journal row {seq}") in _found(folder)


@pytest.mark.parametrize("is_cut", [False, True])
def test_the_first_row_of_the_journal_hangs_on_what_was_before_it(tmp_path, is_cut):
    clock = FakeClock(AT)
    with open_records(tmp_path, clock, rules=KeepRules(keep_days=30)) as records:
        fill(records)
        if is_cut:
            clock.advance(40 * _DAY_S)
            records.prune()
        fill(records, "next")
    (first,) = _row(tmp_path, "SELECT min(seq) FROM journal")
    assert (first > 1) is is_cut
    _tamper(tmp_path, "UPDATE journal SET line=NULL, row_sha256=? WHERE seq=?", "0" * 64, first)
    assert (FindingKind.CHANGED, f"journal row {first}") in _found(tmp_path)


@pytest.mark.parametrize(
    ("sql", "kind", "what"),
    [
        ("DELETE FROM event WHERE event_id='one'", "missing", "event row one"),
        ("UPDATE event SET camera='gate' WHERE event_id='one'", "changed", "event row one"),
        ("UPDATE event SET is_held=0 WHERE event_id='two'", "changed", "event row two"),
        ("UPDATE event SET is_reviewed=1 WHERE event_id='one'", "changed", "event row one"),
        ("UPDATE event SET kept_at='2020' WHERE event_id='one'", "changed", "event row one"),
        ("DELETE FROM frame WHERE frame_id='one-1'", "missing", "frame row one one-1"),
        ("INSERT INTO frame VALUES('one', 'new', 1, 'x')", "added", "frame row one new"),
        ("UPDATE fact SET value=1 WHERE name='bytes'", "changed", "fact row bytes"),
        ("UPDATE head SET chain='0' WHERE day='2026-03-30'", "changed", "head row 2026-03-30"),
        ("DELETE FROM head WHERE day='2026-03-30'", "missing", "head row 2026-03-30"),
    ],
)
def test_an_index_that_was_changed_is_named(folder, sql, kind, what):
    _tamper(folder, sql)
    assert (FindingKind(kind), what) in _found(folder)


def test_an_event_that_nobody_recorded_is_named(folder):
    _tamper(
        folder,
        "INSERT INTO event SELECT 'forged', camera, severity, grade, opened_at, kept_at, is_closed, is_test,"
        " is_reviewed, is_held, opened_seq, event_seq, origin_seq, NULL, NULL, NULL FROM event WHERE event_id='one'",
    )
    assert _found(folder) == [(FindingKind.ADDED, "event row forged")]


def test_deletion_by_rule_leaves_a_store_that_verifies(tmp_path):
    clock = FakeClock(AT)
    rules = KeepRules(keep_days=30, max_bytes=60)
    with open_records(tmp_path, clock, rules=rules) as records:
        for number in range(6):
            fill(records, f"e{number}")
            records.label(f"e{number}", Mark.FALSE, by="x")
            clock.advance(8 * _DAY_S)
            records.prune()
            assert records.verify().findings == ()
        rows = records.verify().entries
    assert rows < 40  # old hashes were cut off


def test_the_chain_of_a_store_that_was_cut_hangs_on_its_cut(tmp_path):
    clock = FakeClock(AT)
    with open_records(tmp_path, clock, rules=KeepRules(keep_days=30)) as records:
        fill(records)
        clock.advance(40 * _DAY_S)
        records.prune()
        fill(records, "next")
        assert records.verify().is_unaltered
    (first,) = _row(tmp_path, "SELECT min(seq) FROM journal")
    assert first > 1
    _tamper(tmp_path, "DELETE FROM journal WHERE seq=?", first)
    assert (FindingKind.MISSING, "journal row 1") in _found(tmp_path)


def test_pictures_of_a_journal_that_was_set_aside_are_told_as_strays(tmp_path):
    with open_records(tmp_path, FakeClock(AT)) as records:
        fill(records)
    (tmp_path / "records.sqlite3").write_bytes(b"\0" * 8192)
    with open_records(tmp_path, SystemClock()) as records:
        fill(records, "next")
        result = records.verify()
        assert (result.findings, result.strays) == ((), 3)
        later = tmp_path / "pictures" / "00" / "00" / ("0" * 64)
        later.parent.mkdir(parents=True)
        later.write_bytes(b"put there since")
        found = [(finding.kind, finding.what) for finding in records.verify().findings]
    assert found == [(FindingKind.ADDED, f"file pictures/00/00/{later.name}")]


def test_a_check_beside_a_service_that_records_finds_nothing(tmp_path):
    with open_records(tmp_path) as records:
        records.open_event(fire_event(), [kept_frame()])
        archive = Archive(tmp_path)
        for number in range(1, 6):
            records.add_frame("event", kept_frame(f"event-{number}"))
            assert verify(archive).findings == ()
        archive.close()
