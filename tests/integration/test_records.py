"""The evidence store on a real disk: what is written is there, and stays there."""

from __future__ import annotations

import errno
import io
import json
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.alert.message import AlertStep
from edge.alert.notice import Notice, NoticeResult
from edge.event.evidence import Grade
from edge.event.fire_event import Severity
from edge.record.records import Records
from edge.record.types import EventQuery, Mark
from shared.error_code import ErrorCode
from shared.errors import FireError, FolderTaken, StoreError
from shared.types import Source
from shared.watch.supervise import Supervisor
from tests.helpers.clock import FakeClock
from tests.helpers.evidence import AT, fill, fire_event, kept_frame, open_records, origin, verdict
from tests.helpers.services import running_edge
from tests.helpers.waiting import wait_until


def test_an_event_comes_back_as_it_was_recorded(tmp_path):
    event = fire_event()
    with open_records(tmp_path) as records:
        records.open_event(event, [kept_frame("event-0"), kept_frame("event-1", after_s=1)])
    with open_records(tmp_path) as records:
        record = records.event("event")
    assert record.event == event
    assert (record.origin, record.acknowledged, record.mark, record.held) == (None,) * 4
    assert (record.frames_kept, record.frames_gone) == (2, 0)


def test_an_event_follows_its_updates(tmp_path):
    event = fire_event(severity=Severity.SMOKE, grade=Grade.EDGE_ONLY)
    grown = replace(event, severity=Severity.FIRE, grade=Grade.CONFIRMED, peak=0.99, frames=9)
    closed = replace(grown, closed_at=AT + timedelta(seconds=30))
    with open_records(tmp_path) as records:
        records.open_event(event, [kept_frame()])
        records.update_event(grown)
        assert records.event("event").event == grown
        records.close_event(closed)
        assert records.event("event").event == closed


def test_the_origin_is_told_with_its_growth(tmp_path):
    with open_records(tmp_path) as records:
        records.open_event(fire_event(), [kept_frame()])
        records.set_origin("event", origin())
        assert records.event("event").origin == origin()


def test_frames_come_in_time_order_with_all_that_was_said_of_them(tmp_path):
    late, early = kept_frame("late", after_s=5), kept_frame("early", with_verdict=False)
    edge_said = verdict(late.frame, source=Source.EDGE, is_pending=True)
    amended = verdict(late.frame, is_amendment=True)
    with open_records(tmp_path) as records:
        records.open_event(fire_event(), [replace(late, verdict=edge_said), early])
        records.add_frame("event", replace(late, verdict=amended))
        frames = records.frames("event")
    assert [frame.frame_id for frame in frames] == ["early", "late"]
    assert frames[0].said == ()
    assert [said.source for said in frames[1].said] == [Source.EDGE, Source.CLOUD]
    assert frames[1].said[1].is_amendment
    assert frames[1].said[1].detections == amended.detections


def test_a_picture_comes_back_byte_for_byte(tmp_path):
    with open_records(tmp_path) as records:
        records.open_event(fire_event(), [kept_frame("event-0", encoded=b"\xff\xd8\xff fire")])
        assert records.picture("event", "event-0") == b"\xff\xd8\xff fire"


def test_a_picture_that_was_changed_is_not_handed_out(tmp_path):
    with open_records(tmp_path) as records:
        records.open_event(fire_event(), [kept_frame()])
        (frame,) = records.frames("event")
        path = tmp_path / "pictures" / frame.sha256[:2] / frame.sha256[2:4] / frame.sha256
        path.write_bytes(path.read_bytes() + b"!")
        with pytest.raises(StoreError) as caught:
            records.picture("event", "event-0")
    assert caught.value.code is ErrorCode.EVIDENCE_DAMAGED
    assert frame.sha256 in caught.value.detail


def test_the_same_event_opened_twice_is_one(tmp_path):
    with open_records(tmp_path) as records:
        for _ in range(2):
            records.open_event(fire_event(), [kept_frame()])
        assert records.event("event").frames_kept == 1


def test_what_people_say_is_kept_with_their_names(tmp_path):
    with open_records(tmp_path) as records:
        fill(records)
        records.acknowledge("event", by="mei")
        records.label("event", Mark.FALSE, by="mei", note="welding 焊接")
        records.hold("event", is_held=True, by="tom", why="insurer asks")
        record = records.event("event")
        assert record.acknowledged is not None
        assert record.acknowledged.by == "mei"
        assert (record.mark, record.marked and record.marked.text) == (Mark.FALSE, "welding 焊接")
        assert (record.is_held, record.held and record.held.text) == (True, "insurer asks")
        records.label("event", None, by="tom")
        records.hold("event", is_held=False, by="tom", why="over")
        record = records.event("event")
    assert (record.mark, record.is_held) == (None, False)


@pytest.mark.parametrize(
    "call",
    [
        lambda r: r.event("nobody"),
        lambda r: r.frames("nobody"),
        lambda r: r.picture("nobody", "x"),
        lambda r: r.update_event(fire_event("nobody")),
        lambda r: r.add_frame("nobody", kept_frame()),
        lambda r: r.set_origin("nobody", origin()),
        lambda r: r.acknowledge("nobody", by="x"),
        lambda r: r.label("nobody", None, by="x"),
        lambda r: r.hold("nobody", is_held=True, by="x", why=""),
    ],
)
def test_an_event_that_nobody_knows_is_told_so(tmp_path, call):
    with open_records(tmp_path) as records, pytest.raises(FireError) as caught:
        call(records)
    assert caught.value.code is ErrorCode.EVENT_UNKNOWN


def test_a_refused_frame_leaves_no_file_behind(tmp_path):
    with open_records(tmp_path) as records, pytest.raises(FireError):
        records.add_frame("nobody", kept_frame())
    assert [path for path in (tmp_path / "pictures").rglob("*") if path.is_file()] == []


def _ids(records, **query):
    return [record.event.event_id for record in records.events(EventQuery(**query)).events]


def test_pages_run_through_all_events_newest_first_without_gaps(tmp_path):
    with open_records(tmp_path) as records:
        for number in range(7):
            # Pairs that opened at the same moment must not be lost between two pages.
            fill(records, f"e{number}", 1, opened_at=AT + timedelta(seconds=number // 2))
        seen, cursor = [], None
        while True:
            page = records.events(EventQuery(limit=2, cursor=cursor))
            seen += [record.event.event_id for record in page.events]
            cursor = page.cursor
            if cursor is None:
                break
    assert seen == ["e6", "e5", "e4", "e3", "e2", "e1", "e0"]


def test_events_are_found_by_what_they_are(tmp_path):
    with open_records(tmp_path) as records:
        fill(records, "yard", 1)
        fill(records, "gate", 1, camera="gate", severity=Severity.SMOKE, grade=Grade.EDGE_ONLY)
        fill(records, "test", 1, is_test=True)
        fill(records, "later", 1, opened_at=AT + timedelta(hours=1))
        records.open_event(fire_event("burning", opened_at=AT + timedelta(hours=2)), [])
        records.label("gate", Mark.TRUE, by="x")
        assert _ids(records, is_closed=False) == ["burning"]
        assert _ids(records, camera="gate") == ["gate"]
        assert _ids(records, severity=Severity.SMOKE) == ["gate"]
        assert _ids(records, grade=Grade.EDGE_ONLY) == ["gate"]
        assert _ids(records, is_reviewed=True) == ["gate"]
        assert _ids(records, is_reviewed=False) == ["burning", "later", "yard"]
        assert _ids(records, since=AT + timedelta(minutes=1)) == ["burning", "later"]
        assert _ids(records, until=AT + timedelta(minutes=1)) == ["yard", "gate"]
        assert _ids(records, with_tests=True) == ["burning", "later", "yard", "test", "gate"]
        assert _ids(records, limit=2, is_oldest_first=True) == ["gate", "yard"]


@pytest.mark.parametrize("cursor", ["", "!", "e30", "WzFd", "W10", "☂", "bnVsbA"])
def test_a_cursor_that_is_not_ours_is_refused(tmp_path, cursor):
    with open_records(tmp_path) as records, pytest.raises(FireError) as caught:
        records.events(EventQuery(cursor=cursor))
    assert caught.value.code is ErrorCode.REQUEST_FIELD_INVALID


def test_a_service_and_a_command_beside_it_write_one_chain(tmp_path):
    with open_records(tmp_path) as service, open_records(tmp_path, is_visitor=True) as tool:
        service.open_event(fire_event(), [kept_frame()])
        tool.hold("event", is_held=True, by="tool", why="")
        service.add_frame("event", kept_frame("event-1"))
        assert service.event("event").is_held
    with sqlite3.connect(tmp_path / "records.sqlite3") as db:
        seqs = [row[0] for row in db.execute("SELECT seq FROM journal ORDER BY seq")]
    db.close()
    assert seqs == list(range(1, len(seqs) + 1))


_WAYS = {
    "cut": "substr(line, 9)",
    "bit": "CAST(substr(CAST(line AS BLOB), 1, 40) || x'e1' || substr(CAST(line AS BLOB), 42) AS TEXT)",
    "word": "replace(line, '\"seq\":', '\"seq\": ')",  # still JSON, and not what was written
}


def _break_entries(folder, event_id, *kinds, way="cut"):
    """Damage the last entry of each kind; gives their numbers."""
    with sqlite3.connect(folder / "records.sqlite3") as db:
        seqs = [
            db.execute(
                f"UPDATE journal SET line={_WAYS[way]} WHERE seq="
                "(SELECT max(seq) FROM journal WHERE event_id=? AND kind=?) RETURNING seq",
                (event_id, kind),
            ).fetchone()[0]
            for kind in kinds
        ]
    db.close()
    return tuple(seqs)


def test_one_event_that_cannot_be_read_hides_no_other(tmp_path):
    supervisor = Supervisor(FakeClock(AT))
    with open_records(tmp_path, supervisor=supervisor) as records:
        for name in ("first", "broken", "last"):
            fill(records, name)
        _break_entries(tmp_path, "broken", "opened", "closed")
        for _ in range(2):
            page = records.events(EventQuery())
        assert {record.event.event_id for record in page.events} == {"first", "last"}
        assert page.unreadable == ("broken",)
        assert {r.event.event_id for r in records.archive.removable()} == {"first", "last"}
        with pytest.raises(StoreError, match="can be read") as caught:
            records.event("broken")
    assert caught.value.code is ErrorCode.EVIDENCE_DAMAGED
    (trouble,) = supervisor.active()
    assert (trouble.code, trouble.figures["event"]) == ("unreadable", "broken")


def _fill_wholly(records, event_id):
    """Record an event of which everything was said that can be."""
    fill(records, event_id)
    late = kept_frame(f"{event_id}-0")
    records.add_frame(event_id, replace(late, verdict=verdict(late.frame, is_amendment=True)))
    records.acknowledge(event_id, by="ann")
    records.label(event_id, Mark.TRUE, by="ann")
    records.hold(event_id, is_held=True, by="ann", why="claim 7")
    notice = Notice(
        at=AT,
        alert_id="alert-1",
        step=AlertStep.OPENED,
        sink="office",
        sink_kind="webhook",
        result=NoticeResult.DELIVERED,
    )
    records.note_alert(event_id, notice)


@pytest.mark.parametrize("way", sorted(_WAYS))
@pytest.mark.parametrize(
    ("kind", "gone"),
    [
        ("opened", {"facts"}),
        ("closed", {"end"}),
        ("frame", {"frame"}),
        ("verdict", {"verdict"}),
        ("origin", {"origin"}),
        ("acknowledged", {"acknowledged"}),
        ("marked", {"mark"}),
        ("held", {"held"}),
        ("alerted", {"alert"}),
    ],
)
def test_one_damaged_entry_takes_itself_alone_and_is_named(tmp_path, kind, gone, way):
    supervisor = Supervisor(FakeClock(AT))
    facts = {"source": "rtsp://10.0.0.5/s"}
    with open_records(
        tmp_path, supervisor=supervisor, camera_facts=lambda camera: facts
    ) as records:
        _fill_wholly(records, "event")
        seqs = _break_entries(tmp_path, "event", kind, way=way)
        record, frames = records.event("event"), records.frames("event")
        shown = {
            "facts": record.camera_facts == facts,
            "end": record.event.closed_at is not None,
            "frame": len(frames) == 3,
            "verdict": sum(len(frame.said) for frame in frames) >= len(frames) + 1,
            "origin": record.origin is not None,
            "acknowledged": record.acknowledged is not None,
            "mark": record.mark is Mark.TRUE,
            "held": record.is_held,
            "alert": len(records.alerts("event")) == 1,
        }
        assert {name for name, is_there in shown.items() if not is_there} == gone
        assert record.damaged == seqs
        (listed,) = records.events(EventQuery()).events
        assert listed.event == record.event
    (trouble,) = supervisor.active()
    assert (trouble.code, trouble.figures["event"]) == ("unreadable", "event")


def test_a_row_of_a_picture_that_is_damaged_takes_that_picture_alone(tmp_path):
    with open_records(tmp_path) as records:
        fill(records)
        with sqlite3.connect(tmp_path / "records.sqlite3") as db:
            db.execute("DELETE FROM frame WHERE frame_id='event-1'")
            db.execute("UPDATE frame SET sha256='../../records' WHERE frame_id='event-2'")
        db.close()
        assert len(records.frames("event")) == 3
        assert records.picture("event", "event-0")
        for frame_id in ("event-1", "event-2"):
            with pytest.raises(FireError):
                records.picture("event", frame_id)
        target = io.BytesIO()
        records.export("event", target, is_chinese=False)
    with zipfile.ZipFile(target) as packed:
        assert json.loads(packed.read("manifest.json"))["lost"] == ["event-1", "event-2"]


def test_the_pages_show_every_other_event_and_name_the_broken_one(tmp_path, models):
    with running_edge(tmp_path, models) as edge:
        for name in ("first", "broken"):
            fill(edge.service._kept.records, name, opened_at=datetime.now(UTC))
        _break_entries(tmp_path / "evidence", "broken", "opened", "closed")
        answer = edge.get("/events").json()["result"]
        assert [event["event_id"] for event in answer["events"]] == ["first"]
        assert answer["unreadable"] == ["broken"]
        for language, words in (("en", "cannot be read"), ("zh", "无法读取")):
            page = edge.get(f"/ui/events?show=all&days=30&lang={language}").text
            assert words in page
            assert "broken" in page
            assert "evidence verify</code>" in page


def test_the_pages_of_a_damaged_event_show_the_rest_and_name_what_is_left_out(tmp_path, models):
    with running_edge(tmp_path, models) as edge:
        records = edge.service._kept.records
        _fill_wholly(records, "event")
        (seq,) = _break_entries(tmp_path / "evidence", "event", "frame")
        answer = edge.get("/events/event").json()["result"]
        assert answer["damaged"] == [seq]
        assert answer["origin"]["frame"] == "event-0"
        frames = edge.get("/events/event/frames").json()["result"]["frames"]
        assert [frame["frame"] for frame in frames] == ["event-0", "event-1"]
        for language, words in (("en", "the rest is shown"), ("zh", "其余部分照常显示")):
            page = edge.get(f"/ui/events/event?lang={language}")
            assert page.status_code == 200
            assert words in page.text
            assert f"{seq}" in page.text
        packed = zipfile.ZipFile(io.BytesIO(edge.get("/events/event/export").content))
    assert f"{seq}</p>" in packed.read("report.html").decode()
    packed.extractall(tmp_path / "export")
    checked = subprocess.run(
        [sys.executable, "verify.py"],
        cwd=tmp_path / "export",
        capture_output=True,
        text=True,
        check=False,
    )
    wrong, verdict_line, story = checked.stdout.splitlines()
    assert wrong == f"lost     journal.jsonl entry {seq}: was altered before it was handed out"
    assert verdict_line.startswith("ALTERED")
    assert story.startswith("the journal says: camera yard")


def test_two_boxes_do_not_record_into_one_folder(tmp_path, models):
    folder = tmp_path / "evidence"
    with running_edge(tmp_path / "one", models, evidence={"folder": folder}) as first:
        first.service._kept.records.open_event(fire_event(), [kept_frame()])
        with (
            pytest.raises(FolderTaken, match="in use by another process"),
            running_edge(tmp_path / "two", models, evidence={"folder": folder}),
        ):
            pass
        assert first.service._kept.records.event("event").event.closed_at is None
    with running_edge(tmp_path / "two", models, evidence={"folder": folder}) as second:
        records = second.service._kept.records
        wait_until(lambda: records.event("event").event.closed_at is not None)


@pytest.mark.parametrize("content", [b"\0" * 8192, b"hello", b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_damaged_journal_is_set_aside_and_recording_goes_on(tmp_path, content):
    with open_records(tmp_path) as records:
        fill(records)
    (tmp_path / "records.sqlite3").write_bytes(content)
    supervisor = Supervisor(FakeClock(AT))
    with open_records(tmp_path, supervisor=supervisor) as records:
        fill(records, "next")
        assert records.event("next").frames_kept == 3
        (trouble,) = supervisor.active()
    (aside,) = [path for path in tmp_path.iterdir() if ".damaged-" in path.name]
    assert aside.read_bytes() == content
    assert aside.name in trouble.cause
    assert trouble.needs_acknowledgement


def test_a_journal_of_a_newer_version_is_refused(tmp_path):
    with open_records(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "records.sqlite3") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StoreError) as caught, open_records(tmp_path):
        pass
    assert caught.value.code is ErrorCode.STORE_SCHEMA


def test_a_folder_that_is_a_symbolic_link_is_a_trouble_with_its_remedy_until_it_is_none(tmp_path):
    supervisor = Supervisor(FakeClock(AT))
    (tmp_path / "real").mkdir()
    (tmp_path / "evidence").symlink_to(tmp_path / "real")
    with open_records(tmp_path / "evidence", supervisor=supervisor) as records:
        (trouble,) = supervisor.active()
        assert "name that folder itself" in trouble.cause
        with pytest.raises(StoreError, match="symbolic link"):
            records.open_event(fire_event(), [kept_frame()])
        assert list((tmp_path / "real").iterdir()) == []
        (tmp_path / "evidence").unlink()
        records.open_event(fire_event(), [kept_frame()])
        assert supervisor.active() == ()


def test_a_command_beside_the_service_refuses_a_folder_that_is_a_symbolic_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "evidence").symlink_to(tmp_path / "real")
    with (
        pytest.raises(StoreError, match="name that folder itself"),
        open_records(tmp_path / "evidence", is_visitor=True),
    ):
        pass


@pytest.mark.parametrize("is_deleted", [True, False])
def test_a_journal_that_is_moved_or_deleted_under_the_service_is_told_and_a_new_one_begun(
    tmp_path, is_deleted
):
    supervisor = Supervisor(FakeClock(AT))
    with open_records(tmp_path / "evidence", supervisor=supervisor) as records:
        fill(records)
        (tmp_path / "evidence").rename(tmp_path / "moved")
        if is_deleted:
            shutil.rmtree(tmp_path / "moved")
        with pytest.raises(StoreError):
            records.open_event(fire_event("next"), [kept_frame("next-0")])
        assert {trouble.code for trouble in supervisor.active()} == {"not_written", "lost"}
        fill(records, "next")
        assert [trouble.code for trouble in supervisor.active()] == ["lost"]
        assert records.verify().is_unaltered
    with open_records(tmp_path / "evidence") as records:
        assert records.event("next").frames_kept == 3
    if not is_deleted:
        with open_records(tmp_path / "moved") as records:
            assert records.event("event").frames_kept == 3
            assert records.verify().is_unaltered


def test_a_disk_that_cannot_be_written_is_a_trouble_until_it_can(tmp_path):
    supervisor = Supervisor(FakeClock(AT))
    (tmp_path / "evidence").write_text("a file where the folder should be")
    with open_records(tmp_path / "evidence", supervisor=supervisor) as records:
        with pytest.raises(StoreError):
            records.open_event(fire_event(), [kept_frame()])
        (trouble,) = supervisor.active()
        assert trouble.code == "not_written"
        (tmp_path / "evidence").unlink()
        records.open_event(fire_event(), [kept_frame()])
        assert records.event("event").frames_kept == 1
        assert supervisor.active() == ()


def test_a_picture_that_cannot_be_deleted_keeps_nothing_from_being_recorded(tmp_path):
    name = "ab" * 32
    with open_records(tmp_path) as records:
        with records._open().store.transaction() as db:
            db.execute("INSERT INTO doomed VALUES(?)", (name,))
        (tmp_path / "pictures" / "ab" / "ab" / name).mkdir(parents=True)  # it cannot be unlinked
    supervisor = Supervisor(FakeClock(AT))
    with open_records(tmp_path, supervisor=supervisor) as records:
        fill(records)
        assert records.event("event").frames_kept == 3
        assert supervisor.active() == ()


def test_a_folder_that_a_worn_out_card_cannot_list_is_a_trouble_and_no_end_of_the_box(
    tmp_path, monkeypatch
):
    with open_records(tmp_path) as records:
        fill(records)

    def unreadable(path: Path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    supervisor = Supervisor(FakeClock(AT))
    with monkeypatch.context() as broken:
        broken.setattr(Path, "iterdir", unreadable)
        records = Records(tmp_path, clock=FakeClock(AT), troubles=supervisor)
    (trouble,) = supervisor.active()
    assert (trouble.code, "incoming: Input/output error" in trouble.cause) == ("not_written", True)
    fill(records, "next")
    assert supervisor.active() == ()
    records.close()
