from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from edge.selftest.rules import Schedule, TestResult, Weekday, selftest_troubles

_BERLIN = ZoneInfo("Europe/Berlin")
_MONDAYS = Schedule(weekday=Weekday.MONDAY, at=time(10, 0), zone=_BERLIN)
_NEVER = Schedule(weekday=None, at=time(10, 0), zone=_BERLIN)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=_BERLIN).astimezone(UTC)


def result(began_at: datetime, *, why: str = "") -> TestResult:
    return TestResult(
        camera="yard",
        began_at=began_at,
        is_passed=not why,
        why=why,
        event_id=None,
        event_s=None,
        alert_s=None,
        sinks={},
    )


def test_a_test_is_due_once_in_the_hour_of_its_day() -> None:
    last_at = at("2026-03-02 10:00")  # a Monday, too
    assert not _MONDAYS.is_due(at("2026-03-09 09:59"), last_at)
    assert _MONDAYS.is_due(at("2026-03-09 10:00"), last_at)
    assert _MONDAYS.is_due(at("2026-03-09 10:59"), last_at)
    assert not _MONDAYS.is_due(at("2026-03-09 11:00"), last_at)
    assert not _MONDAYS.is_due(at("2026-03-09 10:20"), at("2026-03-09 10:00"))
    assert not _MONDAYS.is_due(at("2026-03-10 10:20"), at("2026-03-09 10:00"))


def test_a_box_that_was_off_makes_up_for_it_at_the_same_time_of_another_day() -> None:
    last_at = at("2026-03-02 10:00")
    assert not _MONDAYS.is_due(at("2026-03-10 03:00"), last_at)
    assert _MONDAYS.is_due(at("2026-03-10 10:05"), last_at)


def test_a_new_box_waits_for_its_day() -> None:
    installed_at = at("2026-03-04 15:00")
    assert not _MONDAYS.is_due(at("2026-03-05 10:05"), installed_at)
    assert _MONDAYS.is_due(at("2026-03-09 10:05"), installed_at)


def test_a_change_of_the_clock_moves_no_test_away() -> None:
    # Summer time begins on Sunday, 29 March 2026.
    sundays = Schedule(weekday=Weekday.SUNDAY, at=time(10, 0), zone=_BERLIN)
    assert sundays.is_due(at("2026-03-29 10:05"), at("2026-03-22 10:00"))


@given(st.integers(0, 60 * 24 * 28))
def test_in_any_four_weeks_there_are_four_tests(offset_min: int) -> None:
    start = at("2026-03-02 00:00") + timedelta(minutes=offset_min)
    last_at, tests = start - timedelta(days=3), 0
    for step in range(4 * 7 * 24 * 4):  # a look every quarter of an hour
        now_at = start + timedelta(minutes=15 * step)
        if _MONDAYS.is_due(now_at, last_at):
            last_at, tests = now_at, tests + 1
    assert tests in (4, 5)


def test_a_failed_test_and_an_overdue_one_are_troubles() -> None:
    now_at = at("2026-03-20 12:00")
    old = {"yard": result(at("2026-03-02 10:00"), why="the flame became no event")}
    found = list(selftest_troubles(_MONDAYS, old, now_at, now_at))
    assert [(t.subject, t.code) for t in found] == [("yard", "failed"), ("", "overdue")]
    assert "the flame became no event" in found[0].cause
    assert "selftest --camera yard" in found[0].remedy


def test_without_a_schedule_nothing_is_overdue() -> None:
    now_at = at("2026-03-20 12:00")
    long_ago = {"yard": result(at("2025-03-02 10:00"))}
    assert not _NEVER.is_due(at("2026-03-09 10:00"), at("2025-03-02 10:00"))
    assert list(selftest_troubles(_NEVER, long_ago, now_at, now_at)) == []
    assert list(selftest_troubles(_MONDAYS, {}, at("2026-03-19 12:00"), now_at)) == []
