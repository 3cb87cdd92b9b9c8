"""Evidence under sudden death, full and read-only disks, and a clock that lies."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bench.evidence_kill import kill_often
from edge.box.state_files import free_bytes
from edge.event.evidence import Grade
from edge.event.fire_event import Severity
from edge.record.archive import Archive
from edge.record.retention import KeepRules
from edge.record.verification import verify
from shared.errors import StoreError
from shared.watch.supervise import Supervisor
from tests.helpers.clock import FakeClock
from tests.helpers.disks import remount, small_disk
from tests.helpers.evidence import AT, fill, fire_event, kept_frame, open_records
from tests.helpers.services import running_edge

pytestmark = pytest.mark.fault


def _picture(event_id: str, number: int, size: int = 50_000) -> bytes:
    return f"{event_id}-{number}".encode().ljust(size, b".")


def test_sudden_death_while_recording_loses_nothing_that_was_acknowledged(tmp_path):
    tally = kill_often(tmp_path, 8, seed=7)
    assert (tally.lost, tally.findings) == (0, 0)
    assert tally.frames > 50
    assert tally.longest_start_s < 20


def test_a_full_disk_is_a_trouble_loses_nothing_and_goes_on_when_there_is_room(tmp_path):
    supervisor = Supervisor(FakeClock(AT))
    with (
        small_disk(tmp_path / "disk", "2m") as disk,
        open_records(disk / "evidence", supervisor=supervisor) as records,
    ):
        kept = 0
        records.open_event(fire_event(), [])
        with pytest.raises(StoreError, match=r"(?i)no space|full"):  # noqa: PT012 – one of many
            for number in range(100):
                frame = kept_frame(f"event-{number}", encoded=_picture("event", number))
                records.add_frame("event", frame)
                kept += 1
        assert [trouble.code for trouble in supervisor.active()] == ["not_written"]
        assert kept > 5
        assert records.event("event").frames_kept == kept
        assert records.verify().is_unaltered
        remount(disk, "size=8m")
        records.add_frame("event", kept_frame("later"))
        assert supervisor.active() == ()
        assert records.event("event").frames_kept == kept + 1


def test_a_disk_that_fills_keeps_recording_by_letting_the_least_valuable_go(tmp_path):
    with small_disk(tmp_path / "disk", "16m") as disk:
        rules = KeepRules(min_free_bytes=9_000_000)
        folder = disk / "evidence"
        with open_records(folder, rules=rules, free_bytes=lambda: free_bytes(disk)) as records:
            fire = [kept_frame(f"fire-{n}", encoded=_picture("fire", n, 200_000)) for n in range(3)]
            records.open_event(fire_event("fire", closed_at=AT), fire)
            for number in range(30):
                name = f"doubt{number}"
                at = AT + timedelta(minutes=number)
                unsure = {"grade": Grade.EDGE_ONLY, "severity": Severity.UNCERTAIN}
                event = fire_event(name, opened_at=at, closed_at=at, **unsure)
                frames = [
                    kept_frame(f"{name}-{n}", encoded=_picture(name, n, 200_000)) for n in range(5)
                ]
                records.open_event(event, frames)
                records.prune()
            assert records.event("fire").frames_kept == 3
            assert records.event("doubt29").frames_kept > 0
            assert records.verify().is_unaltered


def test_a_disk_that_is_read_only_is_a_trouble_and_can_still_be_read(tmp_path):
    supervisor = Supervisor(FakeClock(AT))
    with small_disk(tmp_path / "disk", "4m") as disk:
        with open_records(disk / "evidence") as records:
            fill(records)
        remount(disk, "ro")
        with open_records(disk / "evidence", supervisor=supervisor) as records:
            with pytest.raises(StoreError):
                records.add_frame("event", kept_frame("more"))
            assert [trouble.code for trouble in supervisor.active()] == ["not_written"]
            picture = records.picture("event", "event-1")
            assert picture == kept_frame("event-1").frame.picture.encoded
            remount(disk, "rw")
            records.add_frame("event", kept_frame("more"))
            assert supervisor.active() == ()
            assert records.event("event").frames_kept == 4


def test_evidence_on_a_read_only_disk_can_be_verified(tmp_path):
    with small_disk(tmp_path / "disk", "4m") as disk:
        with open_records(disk / "evidence") as records:
            fill(records)
        remount(disk, "ro")
        archive = Archive(disk / "evidence")
        assert verify(archive).is_unaltered
        archive.close()


def test_a_service_starts_watches_and_tells_when_its_evidence_disk_is_full(tmp_path, models):
    with small_disk(tmp_path / "disk", "1m") as disk:
        (disk / "filler").write_bytes(b"x" * (1 << 20))
        evidence = {"folder": disk / "evidence"}
        with running_edge(tmp_path / "state", models, evidence=evidence) as edge:
            assert edge.get("/readyz").json()["status"] == "degraded"
            troubles = edge.get("/troubles").json()["result"]["troubles"]
            assert "not_written" in {trouble["code"] for trouble in troubles}
            assert edge.get("/events").status_code == 503
            (disk / "filler").unlink()
            fill(edge.service._kept.records)
            assert edge.get("/events/event").json()["result"]["frames_kept"] == 3


def test_a_service_starts_with_a_journal_of_zeros_and_says_where_the_old_one_is(tmp_path, models):
    with running_edge(tmp_path, models) as edge:
        fill(edge.service._kept.records)
    (tmp_path / "evidence" / "records.sqlite3").write_bytes(b"\0" * 8192)
    with running_edge(tmp_path, models) as edge:
        troubles = edge.get("/troubles").json()["result"]["troubles"]
        (trouble,) = [trouble for trouble in troubles if trouble["code"] == "set_aside"]
        assert ".damaged-" in trouble["cause"]
        fill(edge.service._kept.records, "next")
        assert edge.get("/events/next").status_code == 200
