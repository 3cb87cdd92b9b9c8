from __future__ import annotations

import itertools

import pytest

from edge.box.live import HISTORY_S, LiveView
from edge.ui.drawing import SPARK_HEIGHT, SPARK_WIDTH, around, place_in_words, spark, spark_y
from shared.types import Box, Classification, Label, Source
from tests.helpers.clock import FakeClock
from tests.helpers.evidence import verdict
from tests.helpers.frames import frame


def _note(view: LiveView, number: int, presence: float, camera: str = "yard") -> None:
    seen = Classification(fire=presence, smoke=0.0)
    taken = frame(f"f{number}", camera)
    view.note(taken, verdict(taken, edge=seen, source=Source.EDGE, label=Label.NONE))


def test_a_camera_shows_its_newest_frame_and_two_minutes() -> None:
    clock = FakeClock()
    view = LiveView(clock)
    for number in range(400):
        _note(view, number, 0.1)
        clock.advance(0.5)
    look = view.look("yard")
    assert look is not None
    assert look.frame.frame_id == "f399"
    assert clock.mono_s() - look.history[0].at_mono_s <= HISTORY_S
    assert 238 <= len(look.history) <= 241
    assert look.judged_per_s == 2.0


def test_what_is_kept_is_bounded_whatever_the_rate_and_the_names() -> None:
    clock = FakeClock()
    view = LiveView(clock)
    for number in range(5000):
        _note(view, number, 0.1)
        clock.advance(0.01)
    for number in range(1000):
        _note(view, number, 0.1, camera=f"camera{number}")
    look = view.look("camera999")
    assert look is not None
    assert len(view.cameras()) == 128
    assert view.look("yard") is None


def test_an_amendment_tells_what_the_cloud_said_of_its_own_moment() -> None:
    clock = FakeClock()
    view = LiveView(clock)
    for number in range(3):
        _note(view, number, 0.3)
        clock.advance(0.5)
    asked = frame("f1", "yard")
    view.note(asked, verdict(asked, label=Label.NONE, is_amendment=True))
    look = view.look("yard")
    assert look is not None
    assert [moment.has_seen for moment in look.history] == [None, False, None]
    assert look.frame.frame_id == "f2"


def test_a_frame_that_nobody_could_judge_has_no_verdict_and_no_figure() -> None:
    clock = FakeClock()
    view = LiveView(clock)
    _note(view, 1, 0.2)
    view.see(frame("f2", "yard"))
    look = view.look("yard")
    assert look is not None
    assert (look.frame.frame_id, look.verdict) == ("f2", None)


def test_a_line_is_not_drawn_over_a_gap() -> None:
    clock = FakeClock()
    view = LiveView(clock)
    for number in range(40):
        _note(view, number, 0.1)
        clock.advance(20.0 if number == 20 else 1.0)
    look = view.look("yard")
    assert look is not None
    drawn = spark(look.history, clock.mono_s(), ask_at=0.12)
    runs = [_places(run) for run in drawn.line.split("M")[1:]]
    assert [len(run) for run in runs] == [21, 19]
    assert drawn.price_y is not None
    assert 0 < drawn.price_y < SPARK_HEIGHT
    for run in runs:
        assert all(0 <= x <= SPARK_WIDTH and abs(y - spark_y(0.1)) < 0.06 for x, y in run)
    newest_x = SPARK_WIDTH * (1 - 1 / HISTORY_S)
    assert runs[-1][-1][0] == pytest.approx(newest_x, abs=0.06)


def test_a_camera_that_gives_a_frame_now_and_then_has_dots_for_a_line() -> None:
    clock = FakeClock()
    view = LiveView(clock)
    for number in range(3):
        _note(view, number, 0.1)
        clock.advance(20.0)
    look = view.look("yard")
    assert look is not None
    assert spark(look.history, clock.mono_s(), ask_at=None).line.count("h0") == 3


def _places(run: str) -> list[tuple[float, float]]:
    """Walk a path: where it begins, then by steps."""
    start, _, steps = run.partition("l")
    numbers = [float(n) for n in f"{start} {steps}".split()]
    return list(
        zip(itertools.accumulate(numbers[::2]), itertools.accumulate(numbers[1::2]), strict=True)
    )


def test_the_quiet_end_of_a_sparkline_has_the_room() -> None:
    assert spark_y(0.0) - spark_y(0.25) > spark_y(0.25) - spark_y(0.5)
    assert spark_y(2.0) == spark_y(1.0)


def test_a_box_is_looked_at_inside_its_picture() -> None:
    view = around(Box(x1=0, y1=700, x2=40, y2=720), 1280, 720, aspect=4 / 3)
    assert (view.x1, round(view.y2)) == (0.0, 720)
    assert abs((view.x2 - view.x1) / (view.y2 - view.y1) - 4 / 3) < 1e-6
    assert place_in_words(Box(x1=0, y1=700, x2=40, y2=720), 1280, 720) == "where.left_bottom"
