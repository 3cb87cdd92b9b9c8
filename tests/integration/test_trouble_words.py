"""Every trouble that there is can be read in both languages, with every figure that it tells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from markupsafe import escape

from edge.box.troubles import (
    _FILES,
    BoxState,
    box_troubles,
    calibration_unread,
    camera_troubles,
    file_set_aside,
    outbox_troubles,
    state_in_memory,
    zones_unread,
)
from edge.capture.state import MOST_HANGING, CameraState, ViewFinding
from edge.forward.discover import Discovery
from edge.outbox.item import OutboxStatus, Poison, Retry
from edge.record import troubles as evidence_troubles
from edge.record.retention import Forecast, Pruned
from edge.selftest.rules import Schedule, TestResult, Weekday, selftest_troubles
from edge.ui.health_model import show_checks, trouble_cause
from edge.ui.speech import Speech
from edge.ui.words import catalogue
from edge.wiring.supervision import _WELL, BoxCheck, readiness, well
from shared.access.users import users_unreadable
from shared.breaker import BreakerState
from shared.logs import get_logger
from shared.ui.words import TROUBLES, Words
from shared.watch.supervise import Supervisor
from shared.watch.trouble import Trouble
from tests.helpers.alerts import Recorder, fire_event, office_in, opened
from tests.helpers.clock import FakeClock
from tests.helpers.logs import FULL, logging_into

_NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
_FIGURE = re.compile(r"{(\w+)}")
_CODE = re.compile(r"`[^`]+`")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def _speech(language: str) -> Speech:
    return Speech(language=language, zone=ZoneInfo("Asia/Shanghai"), now=_NOW)


def _box() -> Iterator[Trouble]:
    worst = BoxState(
        breaker=BreakerState.OPEN,
        is_cloud_silent=True,
        cloud_refusal=None,
        budget_left_micros=0,
        budget_limit_micros=10_000_000,
        cost_micros=20_000,
        overdue_call_s=31.0,
        frozen_day="2026-03-11",
        clock_skew_s=-7.0,
        is_clock_synchronised=False,
        ledger_trouble="disk I/O error",
        free_bytes=412_000_000,
        classifier_trouble="the logits are not finite",
        model_failure="self-test: fire-1 shows fire, the model says none",
        newer_refusal="version 0.6.0: its hash is not that of its manifest",
    )
    yield from box_troubles(worst, _NOW)
    yield from box_troubles(replace(worst, cloud_refusal="HTTP 401, err_no 1021"), _NOW)
    lost = OutboxStatus(
        items={},
        size_bytes=0,
        oldest_s=0.0,
        quarantined=3,
        ended={},
        lanes=(),
        lost={"expired": 17},
        disk_trouble="database or disk is full",
    )
    yield from outbox_troubles(lost, _NOW)
    for name in _FILES:
        yield file_set_aside(name, f"{name}.damaged", _NOW)
    yield zones_unread("gate", _NOW)
    yield calibration_unread("calibration.json: not JSON", _NOW)
    yield state_in_memory("/var/lib/emberlink: Read-only file system", _NOW)
    yield users_unreadable("users.json: not JSON", _NOW)


def _cameras() -> Iterator[Trouble]:
    fine = CameraState(
        name="gate",
        address="rtsp://10.0.0.5",
        frame_age_s=0.4,
        fps=2.0,
        received=10,
        skipped=0,
        stale=0,
        stale_run=0,
        replaced=0,
        hanging=MOST_HANGING,
        late_s=None,
        trouble=None,
        has_ended=False,
        clock_quality=None,
        view=tuple(ViewFinding),
    )
    for bad in (
        {"trouble": "rtsp://10.0.0.5 stopped sending"},
        {"late_s": 42.0},
        {"stale_run": 19},
    ):
        yield from camera_troubles(replace(fine, **bad), _NOW)


def _evidence() -> Iterator[Trouble]:
    yield evidence_troubles.not_written("read-only file system", _NOW)
    yield evidence_troubles.lost(_NOW)
    yield evidence_troubles.unreadable("01M80K35S2CHZKCY28036ZHRRF", _NOW)
    yield evidence_troubles.set_aside("records.sqlite3.damaged", _NOW)
    off = evidence_troubles.clock_off(timedelta(days=12), _NOW)
    assert off is not None
    yield off
    forecast = Forecast(
        used_bytes=10**9,
        left_bytes=10**6,
        bytes_per_day=10**8,
        days_left=2.3,
        keep_days=30,
        oldest_at=None,
        is_short=True,
    )
    for is_short in (True, False):
        pruned = Pruned(events=0, frames=57, bytes=10**6, is_short=is_short)
        yield from evidence_troubles.room(forecast, pruned, _NOW)


def _selftest() -> Iterator[Trouble]:
    failed = TestResult(
        camera="gate",
        began_at=_NOW - timedelta(days=9),
        is_passed=False,
        why="no event opened within 60 s",
        event_id=None,
        event_s=None,
        alert_s=None,
        sinks={},
    )
    schedule = Schedule(weekday=Weekday.MONDAY, at=datetime.min.time(), zone=ZoneInfo("UTC"))
    yield from selftest_troubles(schedule, {"gate": failed}, _NOW, _NOW)


def _supervision(folder: Path) -> Iterator[Trouble]:
    clock = FakeClock()
    (folder / "running").touch()  # as a service that was killed leaves it
    supervisor = Supervisor(clock, folder / "gone")
    supervisor.watch("reader", allowed_s=5.0)
    clock.advance(20.0)
    supervisor.raise_trouble(next(_evidence()))
    with logging_into(FULL):
        get_logger().info("lost")
        supervisor.look()
    supervisor._keep()
    yield from supervisor.active()
    after_kill = Supervisor(clock, folder)
    after_kill._note_unclean_end()
    discovery = Discovery(
        ("consul://127.0.0.1:1/clouds",),
        every_s=30.0,
        token=None,
        use=lambda endpoints: None,
        supervisor=after_kill,
        clock=clock,
    )
    discovery.look_up()
    yield from after_kill.active()


def _sinks(folder: Path) -> Iterator[Trouble]:
    for outcome in (Retry(reason="HTTP 500"), Poison(reason="HTTP 400: no such group")):
        duty = Recorder()
        duty.outcomes = [outcome] * 99
        clock = FakeClock()
        with office_in(folder / outcome.reason[:8], clock, sinks={"duty": duty}) as office:
            office.desk.announce(opened(fire_event(clock)), None)
            for _ in range(20):
                office.desk.look()
                office.outbox.step("alert.duty")
                clock.advance(60.0)
            yield from office.deliveries.troubles()


@pytest.fixture(scope="module")
def troubles(tmp_path_factory) -> dict[str, Trouble]:
    """Everything that a box can complain about, as the parts themselves say it."""
    sources: tuple[Callable[[Path], Iterator[Trouble]], ...] = (_supervision, _sinks)
    found = [*_box(), *_cameras(), *_evidence(), *_selftest()]
    for number, source in enumerate(sources):
        found += source(tmp_path_factory.mktemp(f"box{number}"))
    return {f"trouble.{t.kind.value}_{t.code}": t for t in found}


def test_the_catalogue_has_exactly_the_troubles_that_there_are(troubles):
    told = {
        key.removesuffix("_why")
        for key in catalogue()
        if key.startswith("trouble.") and key.endswith("_why")
    }
    assert told == set(troubles)
    for key in troubles:
        assert {f"{key}_why", f"{key}_do"} <= set(catalogue())
    headlines = {key for key in Words([TROUBLES]).texts if not key.endswith(("_why", "_do"))}
    assert headlines == set(troubles)  # as its cloud calls them, too


def test_both_languages_tell_every_figure(troubles):
    for key, trouble in troubles.items():
        for text in catalogue()[f"{key}_why"]:
            assert set(_FIGURE.findall(text)) == set(trouble.figures), key
        chinese = str(trouble_cause(trouble, _speech("zh")))
        assert _CHINESE.search(chinese), key
        for figure in trouble.figures.values():
            assert figure in trouble.cause, key
            assert str(escape(figure)) in chinese, key


def test_both_languages_show_what_is_typed_as_code(troubles):
    for key in troubles:
        english, chinese = (set(_CODE.findall(text)) for text in catalogue()[f"{key}_do"])
        assert english == chinese, key


def test_no_number_stands_in_english_alone(troubles):
    for key, trouble in troubles.items():
        chinese = str(trouble_cause(trouble, _speech("zh")))
        assert set(re.findall(r"\d+", trouble.cause)) <= set(re.findall(r"\d+", chinese)), key


def test_what_was_kept_by_an_older_version_is_shown_in_its_own_words(troubles):
    old = replace(troubles["trouble.disk_low"], figures={})
    assert str(trouble_cause(old, _speech("zh"))) == f'<span lang="en">{old.cause}</span>'


def test_every_check_of_readyz_is_told_in_chinese(troubles):
    figures = {
        "name": "m",
        "version": "1",
        "count": "8",
        "breaker": "closed",
        "several": "",
        "left": "9.50",
    }
    checks = {says: well(says, **figures) for says in _WELL}
    supervisor = Supervisor(FakeClock())
    for trouble in troubles.values():
        supervisor.raise_trouble(trouble)
    bad = readiness(supervisor, {})
    assert all(check.troubles for check in bad.values())
    for row in show_checks({**checks, **bad}, _speech("zh")):
        assert 'lang="en"' not in row.text
    budget: BoxCheck = checks["budget"]
    (row,) = show_checks({"budget": budget}, _speech("zh"))
    assert row.text == "今日剩余 9.50"
