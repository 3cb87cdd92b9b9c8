"""What goes first, and how long the room lasts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from edge.event.evidence import Grade
from edge.event.fire_event import Severity
from edge.record.codec import frame_body, frame_of, said_of, verdict_body
from edge.record.retention import (
    KeepRules,
    Room,
    Sizing,
    Worth,
    core_and_rest,
    forecast,
    rate_per_day,
    worth,
)
from edge.record.types import EventRecord, FrameRecord, Mark
from shared.types import Classification
from tests.helpers.evidence import AT, event_record, fire_event, kept_frame, origin, verdict

_GB = 1_000_000_000


def _record(mark: Mark | None = None, with_origin: bool = True, **event: Any) -> EventRecord:
    found = origin("event-2", captured_at=AT + timedelta(seconds=2)) if with_origin else None
    return event_record(fire_event(**{"closed_at": AT, **event}), origin=found, mark=mark)


def _frame(second: int, fire: float) -> FrameRecord:
    kept = kept_frame(f"event-{second}", after_s=second, with_verdict=False)
    said = verdict(kept.frame, edge=Classification(fire=fire, smoke=0.0))
    body = frame_body(kept, "0" * 64)

    return frame_of(second, body, (said_of(AT, verdict_body(said)),))


@pytest.mark.parametrize(
    ("record", "value"),
    [
        (_record(is_test=True), Worth.TEST),
        (_record(Mark.FALSE), Worth.NO_FIRE),
        (_record(grade=Grade.EDGE_ONLY, severity=Severity.UNCERTAIN), Worth.DOUBT),
        (_record(grade=Grade.EDGE_ONLY), Worth.UNCHECKED),
        (_record(severity=Severity.SMOKE), Worth.SMOKE),
        (_record(Mark.TRUE), Worth.FIRE),
        (_record(), Worth.UNREVIEWED_FIRE),
        (_record(closed_at=None), Worth.STILL_OPEN),
    ],
)
def test_an_event_is_worth_what_was_seen_checked_and_said(record, value):
    assert worth(record) is value


def test_the_story_runs_from_the_origin_to_the_peak_and_holds_the_opening_frame():
    frames = [_frame(n, {4: 0.99}.get(n, 0.5)) for n in range(8)]
    core, rest = core_and_rest(_record(frame_id="event-6"), frames)
    assert [frame.frame_id for frame in core] == ["event-2", "event-3", "event-4", "event-6"]
    assert [frame.frame_id for frame in rest] == ["event-0", "event-1", "event-5", "event-7"]


def test_without_an_origin_the_story_begins_when_the_event_opened():
    frames = [_frame(n, {1: 0.99}.get(n, 0.5)) for n in range(3)]
    core, _ = core_and_rest(_record(with_origin=False), frames)
    assert [frame.frame_id for frame in core] == ["event-0", "event-1"]


@pytest.mark.parametrize(
    ("max_bytes", "free", "left"),
    [
        (0, None, None),
        (0, 3 * _GB, 2 * _GB),
        (8 * _GB, None, 3 * _GB),
        (6 * _GB, 9 * _GB, _GB),
        (4 * _GB, 9 * _GB, -_GB),
        (9 * _GB, 0, -_GB),
    ],
)
def test_room_is_what_the_tighter_limit_leaves(max_bytes, free, left):
    rules = KeepRules(max_bytes=max_bytes, min_free_bytes=_GB)
    assert Room(rules=rules, used_bytes=5 * _GB, free_bytes=free).left_bytes == left


@pytest.mark.parametrize(
    ("rate", "expiring", "is_short"), [(1, 0, False), (2, 0, True), (2, 3, False), (0, 0, False)]
)
def test_a_forecast_warns_three_days_ahead_and_counts_what_expires(rate, expiring, is_short):
    room = Room(rules=KeepRules(max_bytes=8 * _GB), used_bytes=5 * _GB, free_bytes=None)
    made = forecast(room, bytes_per_day=rate * _GB, expiring_bytes=expiring * _GB, oldest_at=None)
    assert made.is_short is is_short
    assert made.days_left == (3 / rate if rate else None)


def test_the_rate_weighs_yesterday_by_what_is_left_of_its_24_hours():
    assert rate_per_day(10, 100, AT.replace(hour=6)) == 10 + 75


def test_a_terabyte_holds_a_week_of_everything_or_a_quarter_of_a_month():
    size = Sizing.of(cameras=8, fps=2, picture_bytes=100_000, disk_bytes=1_000 * _GB, keep_days=30)
    assert size.bytes_per_day == 8 * 2 * 100_000 * 86_400
    assert size.days_of_everything == pytest.approx(7.23, abs=0.01)
    assert size.share_of_time == pytest.approx(0.241, abs=0.001)
