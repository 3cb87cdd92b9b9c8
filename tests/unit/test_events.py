"""Events: opened by evidence, told apart by place, kept open by any sighting, closed by quiet."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.event.events import EventSettings, Taken
from edge.event.evidence import Alarm, Grade
from edge.event.fire_event import EventStep, Severity
from edge.zones.zones import Zone, ZoneKind, Zones
from shared.types import Box, Classification, Detection, Label, Source
from tests.helpers.verdicts import LEFT, RIGHT, Line, seen, verdict

QUIET_S = EventSettings().quiet_s


@pytest.fixture
def line() -> Line:
    return Line()


def burning(line: Line, *boxes: Box, frames: int = 8) -> None:
    for _ in range(frames):
        line.see(*(seen(box) for box in boxes))


def test_one_frame_opens_nothing(line):
    line.see(seen(LEFT))
    line.wait(30)
    assert line.changes == []


def test_a_fire_opens_one_event_within_three_seconds(line):
    burning(line, LEFT, frames=6)
    assert line.steps() == ["opened"]
    event = line.changes[0].event
    assert (event.severity, event.grade, event.box) == (Severity.FIRE, Grade.EDGE_ONLY, LEFT)


def test_five_hundred_flips_in_five_minutes_are_one_event(line):
    for number in range(1000):
        line.see(*([seen(LEFT)] if number % 2 else []), after_s=0.3)
    assert line.steps() == ["opened"]
    assert len(line.changes) <= 1 + 300 / EventSettings().update_every_s


def test_it_closes_after_the_quiet_time_and_not_before(line):
    burning(line, LEFT)
    line.wait(QUIET_S - 1)
    assert line.steps() == ["opened"]
    line.wait(2)
    line.silence(0)
    assert line.steps() == ["opened", "quiet"]
    closed = line.changes[-1].event
    assert closed.closed_at >= closed.last_seen_at


def test_any_sighting_keeps_it_open_though_it_would_not_alarm(line):
    burning(line, LEFT)
    for _ in range(20):
        line.wait(QUIET_S / 2)
        line.see(seen(LEFT))
    assert line.steps() == ["opened"]


def test_fire_that_comes_back_soon_continues_the_same_event(line):
    burning(line, LEFT)
    line.wait(QUIET_S + 30)
    burning(line, LEFT)
    assert line.steps() == ["opened", "quiet", "reopened"]
    assert len({change.event.event_id for change in line.changes}) == 1
    assert line.changes[-1].event.closed_at is None


def test_a_closed_event_does_not_come_back_for_one_frame(line):
    burning(line, LEFT)
    line.wait(QUIET_S + 30)
    line.see(seen(LEFT))
    assert line.steps() == ["opened", "quiet"]


def test_fire_that_comes_back_late_is_a_new_event(line):
    burning(line, LEFT)
    line.wait(QUIET_S + EventSettings().reopen_s + 30)
    burning(line, LEFT)
    assert line.steps() == ["opened", "quiet", "opened"]


def test_two_fires_in_one_picture_are_two_events(line):
    burning(line, LEFT)
    burning(line, LEFT, RIGHT, frames=16)
    opened = [change.event for change in line.changes if change.step is EventStep.OPENED]
    assert [event.box for event in opened] == [LEFT, RIGHT]
    assert len(line.events.open_events()) == 2


def test_flashes_in_different_corners_add_up_to_no_fire(line):
    top = Box(x1=280.0, y1=0.0, x2=330.0, y2=40.0)
    for _ in range(10):
        for corner in (LEFT, RIGHT, top):
            burning(line, corner, frames=2)
        line.wait(12)
    assert line.steps() == []


@pytest.mark.parametrize("is_cleared", [False, True])
def test_what_the_cloud_cleared_counts_for_no_later_alarm(line, is_cleared):
    def take(*boxes: Detection, alarm: Alarm | None = None, **changes: object) -> Taken:
        line.clock.advance(1.0)
        of = line.frame()
        return line.events.take(of, verdict(of, *boxes, fire=0.95, **changes), alarm)

    for _ in range(4):
        take(seen(LEFT))
    if is_cleared:
        take(source=Source.CLOUD, label=Label.NONE)
    alarm = Alarm(camera="gate", frame_id="frame", grade=Grade.EDGE_ONLY)
    assert len(take(seen(RIGHT), alarm=alarm).changes) == (0 if is_cleared else 1)


def test_the_first_of_two_fires_may_go_out_alone(line):
    burning(line, LEFT, RIGHT, frames=16)
    for _ in range(int(2 * QUIET_S) + 4):
        line.see(seen(RIGHT))
    (left,) = line.events.open_events()
    assert left.box == RIGHT
    assert line.steps().count("quiet") == 1


def test_a_box_that_wanders_by_less_than_the_gap_stays_one_event(line):
    for number in range(60):
        shift = 3.0 * number
        line.see(seen(Box(x1=20 + shift, y1=200, x2=90 + shift, y2=300)))
    assert line.steps() == ["opened"]


def test_evidence_without_a_box_belongs_to_the_open_event(line):
    burning(line, LEFT)
    for _ in range(10):
        line.see(fire=0.9)
    assert line.steps() == ["opened"]
    assert line.events.open_events()[0].frames > 10


def test_evidence_without_a_box_opens_an_event_that_takes_the_first_box(line):
    for _ in range(8):
        line.see(fire=0.9)
    assert line.events.open_events()[0].box is None
    line.see(seen(LEFT))
    (event,) = line.events.open_events()
    assert event.box == LEFT


def test_the_cloud_confirms_an_open_event_once(line):
    burning(line, LEFT)
    for _ in range(5):
        line.cloud(Label.FIRE, seen(LEFT, score=0.6))
    assert line.steps() == ["opened", "confirmed"]
    assert line.events.open_events()[0].grade is Grade.CONFIRMED


def test_an_event_that_the_cloud_saw_first_opens_confirmed(line):
    line.cloud(Label.FIRE, seen(LEFT))
    line.cloud(Label.FIRE, seen(LEFT))
    assert line.changes[0].event.grade is Grade.CONFIRMED


def test_smoke_becomes_fire_and_fire_stays_fire(line):
    for _ in range(8):
        line.see(
            seen(LEFT, Label.SMOKE),
            fire=0.01,
            edge=Classification(fire=0.0, smoke=0.9),
            label=Label.SMOKE,
        )
    assert line.changes[0].event.severity is Severity.SMOKE
    burning(line, LEFT)
    for _ in range(8):
        line.see(
            seen(LEFT, Label.SMOKE),
            fire=0.01,
            edge=Classification(fire=0.0, smoke=0.9),
            label=Label.SMOKE,
        )
    assert line.steps() == ["opened", "severity"]
    assert line.events.open_events()[0].severity is Severity.FIRE


def test_what_the_cloud_sees_and_the_edge_does_not_is_uncertain(line):
    for _ in range(4):
        line.clock.advance(0.5)
        of = line.frame()
        told = verdict(of, fire=0.2, source=Source.CLOUD, label=Label.FIRE, confidence=0.6)
        line.judge(of, replace(told, detections=(seen(LEFT),)))
    assert line.changes[0].event.severity is Severity.UNCERTAIN
    assert line.changes[0].event.grade is Grade.CONFIRMED


def test_a_camera_that_sends_nothing_does_not_close_its_event_as_quiet(line):
    burning(line, LEFT)
    line.silence(QUIET_S * 3)
    assert line.steps() == ["opened"]
    line.silence(600)
    assert line.steps() == ["opened", "blind"]


def test_no_number_of_other_cameras_makes_an_open_event_forgotten(line):
    burning(line, LEFT)
    for number in range(1100):
        of = line.frame(f"posted-{number}")
        line.judge(of, verdict(of))
    burning(line, LEFT)
    assert line.steps() == ["opened"]


def test_a_clock_set_back_closes_nothing_and_no_time_runs_backwards(line):
    burning(line, LEFT)
    line.clock.set_wall(line.clock.now_at().replace(year=2025))
    burning(line, LEFT)
    line.wait(QUIET_S + 1)
    line.silence(1)
    event = line.changes[-1].event
    assert line.steps() == ["opened", "quiet"]
    assert event.opened_at <= event.last_seen_at <= event.closed_at


def test_a_frame_without_a_camera_has_no_event(line):
    of = replace(line.frame(), camera=None)
    taken = line.events.take(of, verdict(of, seen(LEFT), fire=0.99), None)
    assert (taken.changes, taken.event_ids) == ((), ())


def test_a_test_picture_opens_an_event_of_its_own(line):
    burning(line, LEFT)
    for _ in range(5):
        line.clock.advance(0.5)
        of = replace(line.frame(), is_test=True)
        line.judge(of, verdict(of, seen(LEFT), fire=0.95))
    assert [event.is_test for event in line.events.open_events()] == [False, True]


def test_a_watched_zone_names_the_event_and_makes_it_wait():
    corner = Zone(
        name="bins",
        kind=ZoneKind.WATCH,
        points=((0.0, 0.4), (0.4, 0.4), (0.4, 1.0), (0.0, 1.0)),
        min_duration_s=10.0,
    )
    line = Line(zones=Zones(zones=(corner,)))
    burning(line, LEFT, frames=18)
    assert line.steps() == []
    burning(line, LEFT, frames=6)
    assert line.steps() == ["opened"]
    assert line.changes[0].event.zone == "bins"


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[float, list[Box], str]]:
    """Any story of half an hour: pauses, boxes anywhere, the edge or the cloud speaking."""
    corner = st.floats(0, 500, allow_nan=False)
    boxes = st.builds(
        lambda x, y, side: Box(x1=x, y1=y * 0.5, x2=x + side, y2=y * 0.5 + side),
        corner,
        corner,
        st.floats(4, 120),
    )
    moment = st.tuples(
        st.sampled_from([0.1, 0.5, 1.0, 7.0, 45.0, 90.0, 400.0]),
        st.lists(boxes, max_size=3),
        st.sampled_from(["edge", "edge", "edge", "yes", "no", "tick"]),
    )
    return draw(st.lists(moment, max_size=80))


@settings(max_examples=120)
@given(stories())
def test_whatever_happens_every_event_is_opened_once_and_closed_in_turn(story):
    line = Line()
    for after_s, boxes, who in story:
        line.clock.advance(after_s)
        found = [seen(box) for box in boxes]
        if who == "tick":
            line.silence(0)
        elif who == "edge":
            line.see(*found)
        else:
            line.cloud(Label.FIRE if who == "yes" and found else Label.NONE, *found)
    line.changes += line.events.close_all()
    is_open: dict[str, bool] = {}
    for change in line.changes:
        event = change.event
        before = is_open.get(event.event_id)
        match change.step:
            case EventStep.OPENED:
                assert before is None
            case EventStep.UPDATED:
                assert before is True or (before is False and change.why == "reopened")
            case EventStep.CLOSED:
                assert before is True
        is_open[event.event_id] = change.step is not EventStep.CLOSED
        assert event.opened_at <= event.last_seen_at
        assert event.frames >= 1
        assert 0.0 <= event.peak <= 1.0
    assert not any(is_open.values())
