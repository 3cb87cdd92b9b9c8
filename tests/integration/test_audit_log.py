"""The audit on a disk that damages files."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from shared.access.audit_log import AuditLine, AuditLog
from shared.clock import SystemClock
from shared.errors import StoreError
from tests.helpers.clock import FakeClock

_PAGE_BYTES = 4096


def line(subject: str) -> AuditLine:
    return AuditLine(
        name="ada",
        role="admin",
        address="127.0.0.1",
        action="POST /x",
        subject=subject,
        outcome="begun",
        req_id="r",
    )


def subjects(log: AuditLog) -> list[object]:
    return [found["subject"] for found in reversed(log.newest(limit=200, before=None))]


def test_a_damaged_audit_is_kept_beside_and_the_new_one_says_so(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    path.write_bytes(b"no database " * 1000)
    log = AuditLog(path, SystemClock())
    log.add(line("a"))
    (aside,) = tmp_path.glob("audit.sqlite3.damaged-*")
    assert subjects(log) == [aside.name, "a"]
    assert aside.read_bytes().startswith(b"no database")
    log.close()


def test_damage_while_it_is_open_loses_one_file_only_whoever_writes(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    log = AuditLog(path, SystemClock())
    for number in range(200):
        log.add(line(f"{number} " + "x" * 280))
    log.close()  # what is in the `-wal` goes into the file
    clock = FakeClock()
    log = AuditLog(path, clock)
    log.add(line("before"))
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute("PRAGMA user_version=1")  # so that what the log has in memory counts no more
    with path.open("r+b") as file:
        file.seek(_PAGE_BYTES)
        file.write(b"\xff" * (path.stat().st_size - _PAGE_BYTES))
    clock.advance(2 * 86_400)  # old lines are looked for once a day
    writers = [threading.Thread(target=log.add, args=(line(f"after {n}"),)) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    (aside,) = tmp_path.glob("audit.sqlite3.damaged-*[0-9]Z")
    told = subjects(log)
    assert told[0] == aside.name
    assert sorted(map(str, told[1:])) == sorted(f"after {n}" for n in range(8))
    log.close()


def test_a_clock_that_is_set_forward_by_years_takes_no_line_away(tmp_path: Path) -> None:
    clock = FakeClock(SystemClock().now_at() - timedelta(days=3_000))
    log = AuditLog(tmp_path / "audit.sqlite3", clock)
    for number in range(3):
        log.add(line(f"before {number}"))
    for year in range(1, 4):  # set, and set again, with a restart after each
        clock.set_wall(clock.now_at() + timedelta(days=800))
        log.add(line(f"jump {year}"))
        log.close()
        log = AuditLog(tmp_path / "audit.sqlite3", clock)
    log.add(line("after"))
    told = [f"before {number}" for number in range(3)]
    assert subjects(log) == [*told, "jump 1", "jump 2", "jump 3", "after"]
    log.close()


def test_lines_go_two_years_after_others_were_written(tmp_path: Path) -> None:
    clock = FakeClock(SystemClock().now_at() - timedelta(days=1_000))
    log = AuditLog(tmp_path / "audit.sqlite3", clock)
    for day in range(0, 1_000, 20):
        log.add(line(str(day)))
        clock.advance(20 * 86_400)
    log.add(line("1000"))
    assert subjects(log) == [str(day) for day in range(280, 1_001, 20)]
    log.close()


def test_a_full_or_closed_disk_sets_nothing_aside(tmp_path: Path) -> None:
    (tmp_path / "audit.sqlite3").mkdir()
    log = AuditLog(tmp_path / "audit.sqlite3", SystemClock())
    with pytest.raises(StoreError):
        log.add(line("a"))
    assert not list(tmp_path.glob("*damaged*"))
