"""Which edges a cloud knows, and when one is silent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from cloud.fleet.fleet import SILENT_AFTER_S, Fleet
from cloud.ui.fleet_model import show_edge
from cloud.ui.kit import FOLDER
from shared.fleet import EdgeReport
from shared.ui.speech import Speech
from shared.ui.words import COMMON, TROUBLES, Words
from tests.helpers.clock import FakeClock


def report(name: str = "gate", **changes) -> EdgeReport:
    values = {
        "name": name,
        "version": "0.1.0",
        "model": {"name": "edge-classifier", "version": "1", "sha256_12": "0" * 12},
        "policy": "price",
        "cameras": 2,
        "watching": 2,
        "open_events": 0,
        "day": "2026-03-10",
        "forwarded": 3,
        "budget_left": 9.5,
        "budget_limit": 10.0,
        "troubles": [],
        **changes,
    }
    return EdgeReport.model_validate(values)


def hear(fleet: Fleet, told: EdgeReport, *, is_signed: bool = True) -> bool:
    return fleet.hear(told, address="192.0.2.7", is_signed=is_signed)


def test_an_edge_that_misses_three_reports_is_silent():
    clock = FakeClock()
    fleet = Fleet(clock)
    hear(fleet, report())
    clock.advance(SILENT_AFTER_S)
    assert [edge.is_silent for edge in fleet.edges()] == [False]
    clock.advance(1)
    assert [edge.is_silent for edge in fleet.edges()] == [True]
    assert (fleet.count(is_silent=True), fleet.count(is_silent=False)) == (1, 0)
    hear(fleet, report())
    assert fleet.count(is_silent=True) == 0


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_clock_that_is_set_makes_no_edge_silent_and_hides_no_silence(hours):
    clock = FakeClock()
    fleet = Fleet(clock)
    hear(fleet, report())
    clock.set_wall(clock.now_at() + timedelta(hours=hours))
    assert fleet.count(is_silent=True) == 0
    clock.advance(SILENT_AFTER_S + 1)
    assert fleet.count(is_silent=True) == 1


def test_what_wants_a_look_comes_first():
    clock = FakeClock()
    fleet = Fleet(clock)
    trouble = {"kind": "disk", "subject": "", "code": "full", "since": "2026-03-10T11:00:00Z"}
    hear(fleet, report("silent"))
    clock.advance(SILENT_AFTER_S + 1)
    hear(fleet, report("calm"))
    hear(fleet, report("troubled", troubles=[trouble]))
    assert [e.report.name for e in fleet.edges()] == ["silent", "troubled", "calm"]


def test_frames_are_counted_by_the_edge_s_own_days():
    fleet = Fleet(FakeClock())
    for day, forwarded in (("2026-03-09", 5), ("2026-03-10", 1), ("2026-03-10", 4)):
        hear(fleet, report(day=day, forwarded=forwarded))
    (edge,) = fleet.edges()
    assert edge.forwarded == {"2026-03-09": 5, "2026-03-10": 4}


def test_only_a_fortnight_is_kept():
    fleet = Fleet(FakeClock())
    for day in range(1, 29):
        hear(fleet, report(day=f"2026-02-{day:02}"))
    (edge,) = fleet.edges()
    assert next(iter(edge.forwarded)) == "2026-02-15"
    assert len(edge.forwarded) == 14


def test_nobody_speaks_for_an_edge_that_signs():
    fleet = Fleet(FakeClock())
    assert hear(fleet, report(version="1"))
    assert not hear(fleet, report(version="2"), is_signed=False)
    assert fleet.edges()[0].report.version == "1"


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "a b"},
        {"name": "<b>"},
        {"version": "x" * 201},
        {"day": "yesterday"},
        {"forwarded": -1},
        {"budget_left": float("nan")},
        {"troubles": [{"kind": "disk", "subject": "", "code": "full", "since": "x"}]},
        {"model": None},
    ],
)
def test_a_report_that_makes_no_sense_is_none(changes):
    with pytest.raises(ValidationError):
        report(**changes)


def test_a_newer_edge_may_tell_more():
    assert report(moon_phase="full").name == "gate"


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", ["Disk: nearly full", "roof: no picture", "Link: moon phase"]),
        ("zh", ["磁盘：空间不足", "roof：无画面", '链路：<span lang="en">moon phase</span>']),
    ],
)
def test_troubles_of_an_edge_are_told_in_the_words_of_whoever_looks(language, said):
    since = "2026-03-10T11:00:00Z"
    told = [("disk", "", "low"), ("camera", "roof", "lost"), ("link", "", "moon_phase")]
    troubles = [{"kind": k, "subject": s, "code": c, "since": since} for k, s, c in told]
    fleet = Fleet(FakeClock())
    hear(fleet, report(troubles=troubles))
    words = Words([COMMON, TROUBLES, FOLDER / "words.toml"])
    now = datetime(2026, 3, 10, 12, tzinfo=UTC)
    speech = Speech(words=words, language=language, zone=ZoneInfo("UTC"), now=now)
    (edge,) = fleet.edges()
    assert [str(trouble) for trouble in show_edge(edge, speech).troubles] == said
