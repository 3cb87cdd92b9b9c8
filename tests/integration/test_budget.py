"""Money over HTTP: what is paid, refused, given back and remembered."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge.decide.budget import Charge
from edge.decide.ledger import Ledger
from shared.errors import StoreError
from tests.helpers.clock import FakeClock
from tests.helpers.disks import locked
from tests.helpers.pictures import fire_jpeg, unsure_jpeg
from tests.helpers.services import Running, running_edge
from tests.helpers.stand_in_clouds import answers, closes_at_once, dead_url, stand_in_cloud
from tests.helpers.waiting import wait_until

_MOCK = "mock:?latency_s=0"


def _policy(calls: int, **more: object) -> dict[str, object]:
    return {"name": "always", "daily_limit": calls * 0.02, "cost_per_call": 0.02, **more}


def _reasons(edge: Running, count: int) -> Counter[str]:
    answers_ = (edge.show("/joint_predict", fire_jpeg()).json() for _ in range(count))
    return Counter(a["decision"]["reason"] for a in answers_)


def _open_charges(state: Path) -> int:
    db = sqlite3.connect(state / "ledger.sqlite3")
    try:
        return int(db.execute("SELECT count(*) FROM charge WHERE is_open=1").fetchone()[0])
    finally:
        db.close()


def test_a_limit_of_so_many_calls_forwards_exactly_so_many(tmp_path, models):
    with running_edge(tmp_path, models, _MOCK, policy=_policy(5)) as edge:
        assert _reasons(edge, 8) == {"cloud_routine": 5, "fallback_budget_empty": 3}


def test_a_frame_without_money_is_answered_by_the_edge_with_the_reason(tmp_path, models):
    with running_edge(tmp_path, models, _MOCK, policy=_policy(0)) as edge:
        body = edge.show("/joint_predict", fire_jpeg(), Accept_Language="zh").json()
    assert (body["source"], body["label"], body["cost"]) == ("edge_fallback", "fire", 0)
    assert body["message"] == "预算不足,使用边侧结果"


def test_a_restart_keeps_what_was_spent(tmp_path, models):
    with running_edge(tmp_path, models, _MOCK, policy=_policy(5)) as edge:
        _reasons(edge, 3)
    with running_edge(tmp_path, models, _MOCK, policy=_policy(5)) as edge:
        assert _reasons(edge, 4) == {"cloud_routine": 2, "fallback_budget_empty": 2}


def test_a_new_day_brings_a_new_budget(tmp_path, models):
    clock = FakeClock(datetime(2026, 3, 10, 23, 59, 50, tzinfo=UTC))
    with running_edge(tmp_path, models, _MOCK, clock=clock, policy=_policy(2)) as edge:
        _reasons(edge, 3)
        clock.advance(10)
        assert _reasons(edge, 3)["cloud_routine"] == 2


def test_a_clock_that_is_set_back_gives_no_second_budget(tmp_path, models):
    clock = FakeClock(datetime(2026, 3, 11, 0, 0, 10, tzinfo=UTC))
    with running_edge(tmp_path, models, _MOCK, clock=clock, policy=_policy(2)) as edge:
        _reasons(edge, 2)
        clock.set_wall(datetime(2026, 3, 10, 12, 0, tzinfo=UTC))
        assert _reasons(edge, 2) == {"fallback_budget_empty": 2}


def test_a_cloud_that_is_down_costs_nothing(tmp_path, models):
    sections = {"policy": _policy(1), "breaker": {"failures_to_open": 100}, "cloud": {"tries": 1}}
    with dead_url() as url, running_edge(tmp_path, models, url, **sections) as edge:
        assert _reasons(edge, 3) == {"fallback_refused": 3}
    assert _open_charges(tmp_path) == 0


def test_a_call_that_may_have_run_stays_paid(tmp_path, models):
    sections = {"policy": _policy(1), "cloud": {"tries": 1}}
    with (
        stand_in_cloud(closes_at_once) as cloud,
        running_edge(tmp_path, models, cloud.url, **sections) as edge,
    ):
        body = edge.show("/joint_predict", fire_jpeg()).json()
    assert (body["source"], body["cost"]) == ("edge_fallback", 0.02)
    assert _open_charges(tmp_path) == 1


@pytest.mark.parametrize(("status", "is_refunded"), [(503, True), (400, True), (500, False)])
def test_a_refusal_is_given_back_and_a_failure_is_not(tmp_path, models, status, is_refunded):
    sections = {"policy": _policy(1), "cloud": {"tries": 1}}
    with (
        stand_in_cloud(answers({"err_no": 1}, status=status)) as cloud,
        running_edge(tmp_path, models, cloud.url, **sections) as edge,
    ):
        body = edge.show("/joint_predict", fire_jpeg()).json()
    assert (body["cost"] == 0) == is_refunded
    assert _open_charges(tmp_path) == (0 if is_refunded else 1)


def test_a_frame_that_the_policy_keeps_writes_no_charge(tmp_path, models):
    with running_edge(tmp_path, models, _MOCK, policy={"name": "fixed"}) as edge:
        edge.show("/joint_predict", fire_jpeg())
    assert _open_charges(tmp_path) == 0


def test_a_ledger_that_cannot_be_written_forwards_nothing_and_says_that_it_is_the_ledger(
    tmp_path, models
):
    with running_edge(tmp_path, models, _MOCK, policy=_policy(5)) as edge:
        edge.service._kept.ledger.close()
        body = edge.show("/joint_predict", unsure_jpeg()).json()
        counted = edge.get("/metrics").text
    assert (body["err_no"], body["source"]) == (0, "edge_fallback")
    assert body["decision"]["reason"] == "fallback_ledger_down"
    assert (body["decision"]["charged"], body["decision"]["budget_remaining"]) == (False, 0.1)
    assert 'fire_edge_decisions_total{reason="fallback_ledger_down"} 1.0' in counted


def _charge(call_id: str, cost_micros: int = 5) -> Charge:
    return Charge(
        call_id=call_id, day="2026-03-10", cost_micros=cost_micros, camera=None, tier="routine"
    )


@pytest.fixture
def ledger(tmp_path):
    opened = Ledger(tmp_path / "ledger.sqlite3")
    yield opened
    opened.close()


def test_the_ledger_takes_a_charge_once(ledger):
    assert [ledger.insert(_charge("a")), ledger.insert(_charge("a"))] == [True, False]
    assert ledger.spent_micros("2026-03-10") == 5


def test_the_ledger_gives_a_charge_back_once(ledger):
    ledger.insert(_charge("a"))
    assert (ledger.refund("a"), ledger.refund("a")) == (_charge("a"), None)
    assert ledger.spent_micros("2026-03-10") == 0


def test_a_refunded_charge_can_be_made_again(ledger):
    ledger.insert(_charge("a"))
    ledger.refund("a")
    assert ledger.insert(_charge("a", 7))
    assert ledger.spent_micros("2026-03-10") == 7


def test_the_ledger_knows_which_charges_are_open(ledger):
    ledger.insert(_charge("a"))
    ledger.insert(_charge("b"))
    ledger.refund("b")
    assert (ledger.is_open("a"), ledger.is_open("b"), ledger.is_open("c")) == (True, False, False)


def test_the_ledger_remembers_its_latest_day(ledger):
    assert ledger.last_day() == ""
    ledger.insert(_charge("a"))
    assert ledger.last_day() == "2026-03-10"


def test_the_ledger_works_again_once_a_full_disk_has_room(ledger):
    db = ledger._store._connection
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StoreError):
        [ledger.insert(_charge(f"{number:0200d}")) for number in range(10_000)]
    assert ledger.trouble
    before = ledger.spent_micros("2026-03-10")
    db.execute("PRAGMA max_page_count=100000")
    assert ledger.insert(_charge("after"))
    assert ledger.spent_micros("2026-03-10") == before + 5
    assert ledger.trouble is None


def test_a_charge_that_the_disk_takes_too_late_is_given_back(ledger, tmp_path):
    ledger._store._connection.execute("PRAGMA busy_timeout=30000")
    with locked(tmp_path / "ledger.sqlite3"):
        started_s = time.monotonic()
        with pytest.raises(StoreError):
            ledger.insert(_charge("a"), within_s=0.2)
        with pytest.raises(StoreError):
            ledger.insert(_charge("b"), within_s=0.2)
        took_s = time.monotonic() - started_s
    assert took_s < 15.0  # the lock is waited for thirty seconds
    wait_until(lambda: ledger.trouble is None)
    ledger.insert(_charge("c"))
    ledger.refund("c")
    assert not ledger.is_open("a")
    assert not ledger.is_open("b")
    assert ledger.spent_micros("2026-03-10") == 0


def test_a_clock_that_was_set_back_is_shown(tmp_path, models):
    clock = FakeClock(datetime(2026, 5, 1, 12, tzinfo=UTC))
    with running_edge(tmp_path, models, _MOCK, clock=clock, policy=_policy(5)) as edge:
        _reasons(edge, 1)
        assert edge.get("/readyz").json()["checks"]["clock"]["state"] == "ok"
        clock.set_wall(datetime(2026, 4, 1, 12, tzinfo=UTC))
        check = edge.get("/readyz").json()["checks"]["clock"]
    assert check["state"] == "degraded"
    assert "2026-05-01" in check["text"]
