"""Evidence that goes when its time has come, and not before."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from edge.event.evidence import Grade
from edge.event.fire_event import Severity
from edge.record.archive import Archive
from edge.record.retention import KeepRules
from edge.record.types import EventQuery, Mark
from shared.watch.supervise import Supervisor
from tests.helpers.clock import FakeClock
from tests.helpers.evidence import AT, fill, fire_event, kept_frame, open_records

_DAY_S = 86_400.0
_MONTH = KeepRules(keep_days=30)


def _files(folder: Path) -> int:
    return sum(path.is_file() for path in (folder / "pictures").rglob("*"))


def _ids(records) -> set[str]:
    return {r.event.event_id for r in records.events(EventQuery(with_tests=True)).events}


def test_an_event_is_kept_thirty_days_and_gone_after_thirty_one(tmp_path):
    clock = FakeClock(AT)
    with open_records(tmp_path, clock, rules=_MONTH) as records:
        fill(records)
        clock.advance(29.9 * _DAY_S)
        records.prune()
        assert (_ids(records), _files(tmp_path)) == ({"event"}, 3)
        clock.advance(1.0 * _DAY_S)
        pruned = records.prune()
        assert (_ids(records), _files(tmp_path)) == (set(), 0)
        assert (pruned.events, pruned.bytes) == (1, 3 * len(b"\xff\xd8\xffevent-0"))


def test_the_days_count_from_the_last_picture(tmp_path):
    clock = FakeClock(AT)
    with open_records(tmp_path, clock, rules=_MONTH) as records:
        records.open_event(fire_event(), [kept_frame()])
        clock.advance(20 * _DAY_S)
        records.add_frame("event", kept_frame("event-1"))
        clock.advance(29 * _DAY_S)
        records.prune()
        assert _ids(records) == {"event"}


def test_a_hold_keeps_an_event_for_as_long_as_it_lasts(tmp_path):
    clock = FakeClock(AT)
    with open_records(tmp_path, clock, rules=_MONTH) as records:
        fill(records)
        records.hold("event", is_held=True, by="tom", why="insurer")
        clock.advance(400 * _DAY_S)
        records.prune()
        assert (_ids(records), _files(tmp_path)) == ({"event"}, 3)
        records.hold("event", is_held=False, by="tom", why="paid")
        records.prune()
        assert _ids(records) == set()


@pytest.mark.parametrize("why", ["age", "room"])
def test_an_event_that_is_held_while_old_ones_are_taken_away_stays(tmp_path, monkeypatch, why):
    clock = FakeClock(AT)
    rules = _MONTH if why == "age" else KeepRules(keep_days=30, max_bytes=1)
    listing = {"age": "expired", "room": "removable"}[why]
    listed = getattr(Archive, listing)
    with open_records(tmp_path, clock, rules=rules) as records:
        fill(records, severity=Severity.SMOKE)
        clock.advance((31 if why == "age" else 1) * _DAY_S)

        def hold_meanwhile(archive: Archive, *arguments: object) -> object:
            found = listed(archive, *arguments)
            records.hold("event", is_held=True, by="tom", why="insurer")
            return found

        monkeypatch.setattr(Archive, listing, hold_meanwhile)
        assert records.prune().bytes == 0
        assert (_ids(records), _files(tmp_path)) == ({"event"}, 3)


def test_a_clock_set_forward_deletes_nothing_and_is_a_trouble(tmp_path):
    clock = FakeClock(AT)
    supervisor = Supervisor(clock)
    with open_records(tmp_path, clock, supervisor, rules=_MONTH) as records:
        fill(records)
        clock.set_wall(AT + timedelta(days=40))
        for _ in range(20):
            records.prune()
            clock.advance(_DAY_S)
        assert _ids(records) == {"event"}
        (trouble,) = supervisor.active()
        assert (trouble.code, "by +40.0 days" in trouble.cause) == ("clock_off", True)


def test_a_clock_set_back_forty_days_deletes_nothing_early_before_or_after_it_is_put_right(
    tmp_path,
):
    clock = FakeClock(AT)
    supervisor = Supervisor(clock)
    with open_records(tmp_path, clock, supervisor, rules=_MONTH) as records:
        clock.set_wall(AT - timedelta(days=40))
        fill(records, "while-wrong")
        records.prune()
        assert [trouble.code for trouble in supervisor.active()] == ["clock_off"]
        clock.set_wall(AT)
        records.prune()
        assert (_ids(records), supervisor.active()) == ({"while-wrong"}, ())
        clock.advance(29 * _DAY_S)
        records.prune()
        assert _ids(records) == {"while-wrong"}
        clock.advance(2 * _DAY_S)
        records.prune()
        assert _ids(records) == set()


def test_a_restart_with_a_wrong_clock_deletes_nothing_until_somebody_vouches_for_it(tmp_path):
    with open_records(tmp_path, FakeClock(AT), rules=_MONTH) as records:
        fill(records)
    later = FakeClock(AT + timedelta(days=40))
    with open_records(tmp_path, later, rules=_MONTH) as service:
        service.prune()
        assert _ids(service) == {"event"}
        with open_records(tmp_path, later, rules=_MONTH, is_visitor=True) as tool:
            tool.trust_clock()
        service.prune()
        assert _ids(service) == set()


def test_restarts_every_night_do_not_stop_the_days_from_passing(tmp_path):
    for day in range(32):
        clock = FakeClock(AT + timedelta(days=day))
        with open_records(tmp_path, clock, rules=_MONTH) as records:
            if day == 0:
                fill(records)
            clock.advance(_DAY_S / 2)
            records.prune()
            assert _ids(records) == ({"event"} if day < 30 else set())


def test_two_events_that_share_a_picture_lose_it_with_the_second(tmp_path):
    clock = FakeClock(AT)
    with open_records(tmp_path, clock, rules=_MONTH) as records:
        records.open_event(fire_event("one"), [kept_frame("same")])
        clock.advance(10 * _DAY_S)
        records.open_event(fire_event("two"), [kept_frame("same")])
        assert _files(tmp_path) == 1
        clock.advance(21 * _DAY_S)
        records.prune()
        assert records.picture("two", "same") == kept_frame("same").frame.picture.encoded
        clock.advance(10 * _DAY_S)
        records.prune()
        assert _files(tmp_path) == 0


def _sized(records, event_id: str, **changes) -> None:
    event = fire_event(event_id, closed_at=AT, **changes)
    frames = [
        kept_frame(f"{event_id}-{n}", encoded=f"{event_id}-{n}".encode().ljust(1000), after_s=n)
        for n in range(10)
    ]
    records.open_event(event, frames)


def test_the_least_valuable_goes_first_and_held_evidence_never(tmp_path):
    supervisor = Supervisor(FakeClock(AT))
    rules = KeepRules(max_bytes=40_000)
    with open_records(tmp_path, supervisor=supervisor, rules=rules) as records:
        _sized(records, "fire")
        _sized(records, "doubt", grade=Grade.EDGE_ONLY, severity=Severity.UNCERTAIN)
        _sized(records, "held", is_test=True)
        records.hold("held", is_held=True, by="x", why="")
        _sized(records, "false")
        records.label("false", Mark.FALSE, by="x")
        _sized(records, "smoke", severity=Severity.SMOKE)
        assert records.prune().frames == 10
        kept = {
            i: records.event(i).frames_kept for i in ("fire", "doubt", "held", "false", "smoke")
        }
        assert sum(kept.values()) == 40
        assert (kept["fire"], kept["held"], kept["false"]) == (10, 10, 0)
        assert records.event("false").frames_gone == 10
        codes = {trouble.code for trouble in supervisor.active()}
    assert "cut_short" in codes


def test_a_damaged_entry_does_not_keep_room_from_being_made(tmp_path):
    with open_records(tmp_path, rules=KeepRules(max_bytes=1)) as records:
        _sized(records, "false")
        records.label("false", Mark.FALSE, by="x")
        with sqlite3.connect(tmp_path / "records.sqlite3") as db:
            db.execute("UPDATE journal SET line=substr(line, 9) WHERE seq=4 AND kind='frame'")
            assert db.total_changes == 1
        db.close()
        pruned = records.prune()
        assert pruned.frames == 9
        assert records.event("false").damaged == (4,)


def test_the_story_of_an_unreviewed_fire_stays_even_when_nothing_more_can_be_recorded(tmp_path):
    supervisor = Supervisor(FakeClock(AT))
    with open_records(tmp_path, supervisor=supervisor, rules=KeepRules(max_bytes=500)) as records:
        _sized(records, "fire")
        pruned = records.prune()
        left = [frame.frame_id for frame in records.frames("fire")]
        codes = {trouble.code for trouble in supervisor.active()}
    assert (pruned.is_short, "full" in codes) == (True, True)
    assert left == ["fire-0"]


def test_a_disk_that_will_be_full_soon_is_a_trouble_before_it_is(tmp_path):
    clock = FakeClock(AT)
    supervisor = Supervisor(clock)
    with open_records(tmp_path, clock, supervisor, rules=KeepRules(max_bytes=25_000)) as records:
        _sized(records, "fire")
        records.prune()
        (trouble,) = supervisor.active()
        assert (trouble.code, "1.5 days" in trouble.cause) == ("filling", True)
        assert records.event("fire").frames_kept == 10
        clock.advance(3 * _DAY_S)
        records.prune()
        assert supervisor.active() == ()


def test_the_forecast_tells_how_long_the_room_lasts(tmp_path):
    rules = KeepRules(max_bytes=110_000)
    with open_records(tmp_path, rules=rules) as records:
        _sized(records, "fire")
        forecast = records.forecast()
    assert (forecast.used_bytes, forecast.left_bytes) == (10_000, 100_000)
    assert (forecast.bytes_per_day, forecast.days_left) == (10_000, pytest.approx(10))
    assert forecast.oldest_at == AT


def test_a_crash_between_rows_and_files_leaves_no_file_without_a_row(tmp_path):
    clock = FakeClock(AT)
    with open_records(tmp_path, clock, rules=_MONTH) as records:
        fill(records)
        with records.writing() as (journal, _):
            journal.remove_event("event", "a test")
        assert _files(tmp_path) == 3
    with open_records(tmp_path, clock, rules=_MONTH):
        pass
    assert _files(tmp_path) == 0


def test_pictures_of_a_journal_that_was_set_aside_go_when_their_time_has_come(tmp_path):
    clock = FakeClock(AT)
    with open_records(tmp_path, clock, rules=_MONTH) as records:
        fill(records, "old")
    (tmp_path / "records.sqlite3").write_bytes(b"\0" * 8192)
    with open_records(tmp_path, clock, rules=_MONTH) as records:
        clock.advance(20 * _DAY_S)
        fill(records, "new")
        records.prune()
        assert _files(tmp_path) == 6
        clock.advance(10.5 * _DAY_S)
        records.prune()
        assert _files(tmp_path) == 3
        assert records.picture("new", "new-1") == kept_frame("new-1").frame.picture.encoded
    assert [path.name for path in tmp_path.iterdir() if ".damaged-" in path.name] == []
