"""A box that lets go of what is old by itself, and tells what it keeps."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from edge.decide.audit import Audit
from edge.decide.budget import Charge
from edge.decide.ledger import Ledger
from edge.record.retention import KeepRules
from edge.record.types import EventQuery
from edge.record.upkeep import Upkeep
from shared.error_code import ErrorCode
from shared.errors import StoreError
from shared.watch.supervise import Supervisor
from tests.helpers.clock import FakeClock
from tests.helpers.evidence import AT, fill, open_records
from tests.helpers.services import running_edge
from tests.helpers.waiting import wait_until

_DAY_S = 86_400.0


def test_charges_and_audits_go_with_the_evidence_but_not_within_their_month(tmp_path):
    clock = FakeClock(AT)  # the tenth of March
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    for day in ("2026-02-01", "2026-02-20", "2026-03-01", "2026-03-09"):
        ledger.insert(Charge(call_id=day, day=day, cost_micros=1, camera=None, tier="routine"))
        ledger.note_audit(day, Audit(day=day, camera=None, presence=0.1, is_miss=False))
    with open_records(tmp_path / "e", clock) as records:
        upkeep = Upkeep(records, ledger, Supervisor(clock), keep_days=5)
        upkeep.round()
        kept = [audit.day for audit in ledger.audits("2026-01-01", "2026-12-31")]
        spent = ledger.spent_micros_of_month("2026-03"), ledger.spent_micros_of_month("2026-02")
    ledger.close()
    assert (kept, spent) == (["2026-03-01", "2026-03-09"], (2, 0))


def test_a_clock_set_forward_does_not_forget_what_was_spent_today(tmp_path):
    clock = FakeClock(AT)
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    today = AT.date().isoformat()
    ledger.insert(Charge(call_id="c", day=today, cost_micros=1, camera=None, tier="routine"))
    with open_records(tmp_path / "e", clock) as records:
        upkeep = Upkeep(records, ledger, Supervisor(clock), keep_days=30)
        clock.set_wall(AT.replace(year=2027))
        upkeep.round()
        assert ledger.spent_micros(today) == 1
    ledger.close()


def test_the_log_tells_of_a_day_that_is_over_the_hash_to_which_its_exports_lead(tmp_path, log):
    clock = FakeClock(AT)
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    with open_records(tmp_path / "e", clock) as records:
        upkeep = Upkeep(records, ledger, Supervisor(clock), keep_days=30)
        upkeep.round()
        fill(records, "event")
        fill(records, "later")
        clock.advance(_DAY_S)
        fill(records, "tomorrow")  # before the round that notes the day
        log.truncate(0)
        upkeep.round()
        lines = [json.loads(line) for line in log.getvalue().replace("\0", "").splitlines()]
        (noted,) = [line["chain"] for line in lines if line["event"] == "evidence_head"]
        records.export("event", packed := io.BytesIO(), is_chinese=False)
    ledger.close()
    with zipfile.ZipFile(packed) as files:
        assert json.loads(files.read("manifest.json"))["chain"]["end"] == noted


def test_counts_that_cannot_be_kept_do_not_keep_old_evidence(tmp_path):
    clock = FakeClock(AT)
    ledger = Ledger(tmp_path / "ledger.sqlite3")

    def disk_is_full(every_s: float) -> None:
        raise StoreError(ErrorCode.STORE_UNAVAILABLE, "database or disk is full")

    with open_records(tmp_path / "e", clock, rules=KeepRules()) as records:
        fill(records)
        clock.advance(31 * _DAY_S)
        upkeep = Upkeep(records, ledger, Supervisor(clock), keep_days=30, also=disk_is_full)
        with pytest.raises(StoreError):
            upkeep.round()
        assert records.events(EventQuery()).events == ()
    ledger.close()


def test_evidence_that_cannot_be_used_does_not_keep_counts_from_being_kept(tmp_path):
    clock, rounds = FakeClock(AT), list[float]()
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    (tmp_path / "e").write_text("in the way", encoding="ascii")
    with open_records(tmp_path / "e", clock) as records:
        upkeep = Upkeep(records, ledger, Supervisor(clock), keep_days=30, also=rounds.append)
        with pytest.raises(StoreError):
            upkeep.round()
    ledger.close()
    assert len(rounds) == 1


def test_the_thread_prunes_without_being_asked(tmp_path, models):
    clock = FakeClock(AT)
    with open_records(tmp_path / "evidence", clock, rules=KeepRules()) as records:
        fill(records)
        clock.advance(31 * _DAY_S)
        with records.writing():
            pass
    with running_edge(tmp_path, models, clock=clock) as edge:
        wait_until(lambda: edge.get("/events").json()["result"]["events"] == [])


def test_metrics_tell_how_much_is_kept_and_for_how_long(tmp_path, models):
    clock = FakeClock(AT)
    with running_edge(tmp_path, models, clock=clock) as edge:
        fill(edge.service._kept.records)
        clock.advance(100)
        lines = edge.get("/metrics").text.splitlines()
    assert "fire_edge_evidence_bytes 30.0" in lines
    assert "fire_edge_evidence_oldest_seconds 100.0" in lines


def test_a_round_that_cannot_write_is_told_and_the_next_one_can(tmp_path):
    supervisor = Supervisor(FakeClock(AT))
    folder = tmp_path / "e"
    folder.write_text("in the way")
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    with open_records(folder, supervisor=supervisor) as records:
        upkeep = Upkeep(records, ledger, supervisor, keep_days=30)
        with pytest.raises(StoreError):
            upkeep.round()
        assert [trouble.code for trouble in supervisor.active()] == ["not_written"]
        folder.unlink()
        upkeep.round()
        assert supervisor.active() == ()
    ledger.close()
