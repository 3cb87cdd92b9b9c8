from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from edge.box.tally import Key, Tally, total
from edge.box.tally_store import SqliteTallyStore
from edge.decide.reasons import Reason
from edge.record.types import EventRecord, Mark
from edge.ui.budget_model import show_cameras_spend
from edge.ui.speech import Speech
from edge.ui.statistics_model import as_csv, day_rows, sums_by_camera, sums_by_day
from shared.error_code import ErrorCode
from shared.errors import StoreError
from shared.types import Classification, Label, Source
from tests.helpers.clock import FakeClock
from tests.helpers.evidence import event_record, fire_event, verdict
from tests.helpers.frames import decision, frame

_ZONE = ZoneInfo("Asia/Shanghai")


class _FullDisk:
    def add(self, counts: object) -> None:
        raise StoreError(ErrorCode.STORE_UNAVAILABLE, "disk full")

    def between(self, first_hour: str, last_hour: str, names: object) -> dict[Key, int]:
        return {}

    def days(self, first_day: str, last_day: str, names: object) -> dict[Key, int]:
        return {}


def _judge(tally: Tally, *, cloud: Label | None = None, presence: float = 0.1) -> None:
    taken = frame("f", "yard")
    said = verdict(
        taken,
        edge=Classification(fire=presence, smoke=0.0),
        source=Source.EDGE if cloud is None else Source.CLOUD,
        label=cloud or Label.NONE,
        decision=decision(
            forward=cloud is not None,
            reason=Reason.CLOUD_ROUTINE if cloud else Reason.EDGE_BELOW_PRICE,
            charged_micros=20_000 if cloud else 0,
        ),
    )
    tally.note(said)


def test_a_flood_of_names_takes_bounded_room_on_disk_and_hides_no_configured_camera(tmp_path):
    store = SqliteTallyStore(tmp_path / "tally.sqlite3")
    tally = Tally(store, _ZONE, FakeClock(), ["gate"])
    for name in (*map(str, range(500)), "gate"):
        tally.note_blind(name, 1)
    tally.save()
    counts = store.days("2026-03-10", "2026-03-10", ("blind_s",))
    assert len(counts) < 200
    assert total(counts, "blind_s") == 501
    assert total(counts, "blind_s", lambda key: key.camera == "gate") == 1


def test_counts_survive_a_restart_by_local_hour(tmp_path: Path) -> None:
    clock = FakeClock()
    store = SqliteTallyStore(tmp_path / "tally.sqlite3")
    tally = Tally(store, _ZONE, clock)
    _judge(tally)
    tally.save()
    _judge(tally, cloud=Label.NONE)
    tally.save()
    clock.advance(3600)
    _judge(tally, cloud=Label.FIRE)
    first, last = "2026-03-10T20", "2026-03-10T21"
    store.close()
    again = SqliteTallyStore(tmp_path / "tally.sqlite3")
    kept = Tally(again, _ZONE, clock).between(first, last, ("frames", "asked", "agreed", "charged"))
    again.close()
    assert total(kept, "frames") == 2
    assert total(kept, "asked", lambda key: key.hour == first) == 1
    assert (total(kept, "agreed"), total(kept, "charged")) == (1, 20_000)


def test_nothing_is_lost_while_the_disk_is_full() -> None:
    tally = Tally(_FullDisk(), _ZONE, FakeClock())
    _judge(tally)
    with pytest.raises(StoreError):
        tally.save()
    assert total(tally.between("2026-03-10T00", "2026-03-10T23", ("frames",)), "frames") == 1


def test_edge_and_cloud_agree_when_both_or_neither_saw_something() -> None:
    tally = Tally(_FullDisk(), _ZONE, FakeClock())
    for presence, said in ((0.1, Label.NONE), (0.9, Label.SMOKE), (0.1, Label.FIRE)):
        _judge(tally, cloud=said, presence=presence)
    counts = tally.between("2026-03-10T00", "2026-03-10T23", ("answered", "agreed"))
    assert (total(counts, "answered"), total(counts, "agreed")) == (3, 2)


def _record(event_id: str, mark: Mark | None, **changes: object) -> EventRecord:
    return event_record(fire_event(event_id, **changes), mark=mark)


def test_statistics_count_by_camera_and_local_day_without_tests() -> None:
    late = fire_event().opened_at + timedelta(hours=5)  # the next day in Shanghai
    events = [
        _record("a", Mark.FALSE),
        _record("b", Mark.TRUE, opened_at=late),
        _record("c", None, is_test=True),
    ]
    counts = {
        Key(hour="2026-03-10T20", camera="yard", name="frames"): 100,
        Key(hour="2026-03-10T20", camera="yard", name="asked"): 4,
        Key(hour="2026-03-10T21", camera="yard", name="blind_s"): 300,
        Key(hour="2026-03-10T21", camera="", name="frames"): 7,
    }
    rows = day_rows(counts, events, _ZONE)
    assert [(r.day, r.events, r.false_alarms, r.true_fires) for r in rows] == [
        ("2026-03-11", 1, 0, 1),
        ("2026-03-10", 1, 1, 0),
    ]
    assert (rows[1].frames, rows[1].forwarded, rows[1].minutes_blind) == (100, 4, 5)


def test_statistics_sum_over_days_and_over_cameras() -> None:
    counts = {
        Key(hour=day, camera=camera, name="frames"): 100
        for day in ("2026-03-09", "2026-03-10")
        for camera in ("gate", "yard")
    }
    events = [_record("a", Mark.FALSE), _record("b", None)]
    by_camera = sums_by_camera(counts, events, _ZONE)
    assert [(r.day, r.camera, r.frames, r.events, r.false_alarms) for r in by_camera] == [
        ("", "gate", 200, 0, 0),
        ("", "yard", 200, 2, 1),
    ]
    by_day = sums_by_day(counts, events, _ZONE)
    assert [(r.day, r.camera, r.frames, r.events) for r in by_day] == [
        ("2026-03-10", "", 200, 2),
        ("2026-03-09", "", 200, 0),
    ]


def test_days_sum_their_hours_kept_and_not_yet_kept(tmp_path: Path) -> None:
    clock, store = FakeClock(), SqliteTallyStore(tmp_path / "tally.sqlite3")
    tally = Tally(store, _ZONE, clock)
    day = tally.hour_of(clock.now_at())[:10]
    _judge(tally)
    tally.save()
    clock.advance(3600)
    _judge(tally, cloud=Label.FIRE)
    counts = tally.days(day, day, ("frames", "asked"))
    assert counts == {
        Key(hour=day, camera="yard", name="frames"): 2,
        Key(hour=day, camera="yard", name="asked"): 1,
    }
    tally.save()
    assert tally.days(day, day, ("frames", "asked")) == counts
    assert tally.days("2020-01-01", "2020-01-31", ("frames",)) == {}
    store.close()


def test_a_camera_s_name_is_no_formula_in_a_spreadsheet() -> None:
    row = replace(day_rows({}, [_record("a", None)], _ZONE)[0], camera="=HYPERLINK(1)")
    cells = list(csv.reader(io.StringIO(as_csv([row]))))
    assert cells[0][1] == "camera"
    assert cells[1][1] == "'=HYPERLINK(1)"


def test_the_budget_names_the_cameras_that_were_paid_for_and_the_dearest_first() -> None:
    spent = {"gate": 0.0, "yard": 0.1, "dock": 0.4}
    status = {"cameras": {name: {"spent": s, "weight": 1.0} for name, s in spent.items()}}
    speech = Speech(language="en", zone=_ZONE, now=datetime(2026, 3, 10, tzinfo=UTC))
    rows = show_cameras_spend(status, {"yard": "Loading yard"}, speech)
    assert [(r.title, r.spent, r.bar) for r in rows] == [
        ("dock", "0.40", 100.0),
        ("Loading yard", "0.10", 25.0),
    ]
    nothing = {"cameras": {"gate": {"spent": 0.0, "weight": 1.0}}}
    assert show_cameras_spend(nothing, {}, speech) == ()
