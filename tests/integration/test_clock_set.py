"""Evidence from before the clock was set: kept as it was written, and told by the clock of later, too."""

from __future__ import annotations

import html
import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import timedelta

import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.record.records import Records
from shared.types import ClockQuality
from tests.helpers.clock import FakeClock
from tests.helpers.evidence import AT, fill, fire_event, kept_frame, open_records
from tests.helpers.services import running_edge

_OFF = timedelta(days=100)


def _packed(records: Records, *, is_chinese: bool = False) -> bytes:
    target = io.BytesIO()
    records.export("event", target, is_chinese=is_chinese)
    return target.getvalue()


def _verify(packed: bytes, folder) -> subprocess.CompletedProcess[str]:
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        file.extractall(folder)
    command = [sys.executable, "-I", str(folder / "verify.py")]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def clock() -> FakeClock:
    """Stand 100 days behind until a test sets it."""
    return FakeClock(AT)


@pytest.fixture
def records(tmp_path, clock):
    """Record an event, then set the clock right a minute later; other events stand around it."""
    with open_records(tmp_path / "evidence", clock) as made:
        fill(made, "before")
        fill(made)
        clock.advance(60)
        clock.set_wall(clock.now_at() + _OFF)
        made.prune()
        fill(made, "after", opened_at=clock.now_at())
        yield made


def test_an_event_keeps_its_times_and_is_told_by_the_clock_of_later(records):
    record = records.event("event")
    assert record.began_at == AT
    assert record.reckoned_at == AT + _OFF
    (found,) = record.clock_sets.values()
    assert (found.was_at, found.set_at) == (
        AT + timedelta(seconds=60),
        AT + timedelta(seconds=60) + _OFF,
    )


def test_the_chain_stands_and_a_changed_entry_of_the_clock_is_named(records):
    assert records.verify().is_unaltered
    with records._open().store.transaction() as db:
        line = "replace(line, '2026-06', '2025-06')"
        db.execute(f"UPDATE journal SET line={line} WHERE kind='clock_set'")
    (finding,) = records.verify().findings
    assert finding.detail == "its text does not have its hash"
    assert records.event("event").reckoned_at is None


def test_what_is_handed_out_verifies_elsewhere_and_tells_how_the_clock_was_set(records, tmp_path):
    said = _verify(_packed(records), tmp_path / "out")
    assert said.stdout.startswith("unaltered")
    assert (
        "clock was set from 2026-03-10T12:01:00+00:00 to 2026-06-18T12:01:00+00:00" in said.stdout
    )
    assert f"{_OFF.total_seconds():+.1f} s" in said.stdout
    journal = (tmp_path / "out" / "journal.jsonl").read_text()
    shown = [json.loads(json.loads(row)["line"]) for row in journal.splitlines() if "line" in row]
    assert {entry["event_id"] for entry in shown} == {"event", None}
    assert [entry["kind"] for entry in shown if entry["event_id"] is None] == ["clock_set"]


def test_an_altered_setting_of_the_clock_is_named_by_whoever_was_handed_it(records, tmp_path):
    folder = tmp_path / "out"
    _verify(_packed(records), folder)
    journal = (folder / "journal.jsonl").read_text()
    (folder / "journal.jsonl").write_text(journal.replace("2026-06-18T12:01", "2026-06-18T11:01"))
    said = subprocess.run(
        [sys.executable, "-I", str(folder / "verify.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 1
    assert any("journal.jsonl entry" in line for line in said.stdout.splitlines())


@pytest.mark.parametrize(
    ("is_chinese", "words"),
    [(False, "Reckoned by that clock, not recorded:"), (True, "按校准后的时钟推算（非记录值）：")],
)
def test_the_report_tells_both_times(records, is_chinese, words):
    with zipfile.ZipFile(io.BytesIO(_packed(records, is_chinese=is_chinese))) as file:
        report = html.unescape(file.read("report.html").decode())
    assert f"{words} <b>2026-06-18 12:00:00.0 UTC+00:00</b>" in report
    assert "2026-03-10 12:00:00.0" in report
    assert "+8640000.0 s" in report


def test_the_command_line_tells_both_times(records, tmp_path):
    said = CliRunner().invoke(main, ["evidence", "show", "event", "--state", str(tmp_path)])
    first, second = said.output.splitlines()[:2]
    assert (first.split()[:2], second.split()[:2]) == (
        ["began", f"{AT.astimezone():%Y-%m-%d}"],
        ["reckoned", f"{(AT + _OFF).astimezone():%Y-%m-%d}"],
    )


def test_a_camera_that_told_its_own_time_is_not_put_right(tmp_path, clock):
    with open_records(tmp_path, clock) as records:
        kept = kept_frame("event-0")
        told = replace(kept, frame=replace(kept.frame, clock_quality=ClockQuality.SOURCE))
        records.open_event(fire_event(), [told])
        clock.set_wall(AT + _OFF)
        records.prune()
        assert (records.event("event").reckoned_at, len(records.event("event").clock_sets)) == (
            None,
            1,
        )


def test_a_clock_that_is_set_in_another_run_tells_nothing_about_this_one(tmp_path, clock):
    with open_records(tmp_path, clock) as records:
        fill(records)
    with open_records(tmp_path, clock) as records:
        clock.set_wall(AT + _OFF)
        records.prune()
        fill(records, "later", opened_at=clock.now_at())
    with open_records(tmp_path, clock) as records:
        assert (records.event("event").reckoned_at, records.event("event").clock_sets) == (None, {})
        assert len(records.event("later").clock_sets) == 1


def test_the_fire_that_began_before_the_clock_was_set_and_opened_after_it_is_reckoned(
    tmp_path, clock
):
    with open_records(tmp_path, clock) as records:
        clock.advance(30)
        clock.set_wall(clock.now_at() + _OFF)
        fill(records, opened_at=clock.now_at())
        assert records.event("event").reckoned_at == AT + _OFF


def test_a_setting_that_could_not_be_written_is_written_with_the_next_entry(tmp_path, clock):
    with open_records(tmp_path, clock) as records:
        fill(records)
        clock.set_wall(AT + _OFF)
        with pytest.raises(ZeroDivisionError), records.writing():
            _ = 1 / 0
        assert records.event("event").reckoned_at is None
        records.prune()
        assert records.event("event").reckoned_at == AT + _OFF


def test_the_api_and_the_page_show_the_reckoned_time_beside_the_recorded_one(
    tmp_path, models, clock
):
    with running_edge(tmp_path, models, clock=clock) as edge:
        fill(edge.service._kept.records)
        clock.set_wall(AT + _OFF)
        edge.service._kept.records.prune()
        answer = edge.get("/events/event").json()["result"]
        page = edge.get("/ui/events/event").text
        chinese = edge.get("/ui/events/event", headers={"Accept-Language": "zh"}).text
    assert answer["origin"]["captured_at"] == AT.isoformat()
    assert answer["reckoned_at"] == (AT + _OFF).isoformat()
    (found,) = answer["clock_sets"]
    assert (found["offset_s"], found["was_at"]) == (_OFF.total_seconds(), AT.isoformat())
    assert "Reckoned" in page
    assert 'datetime="2026-06-18T12:00:00.000+00:00"' in page
    assert "推算时间" in chinese
