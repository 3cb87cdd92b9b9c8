"""The pre-roll: bounded by time, rate and bytes, and never mixing cameras."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.event.preroll import Preroll
from shared.types import Label, Source
from tests.helpers.clock import FakeClock
from tests.helpers.frames import frame, picture
from tests.helpers.verdicts import verdict


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def ring(clock: FakeClock, *, max_bytes: int = 10_000) -> Preroll:
    return Preroll(length_s=60.0, fps=2.0, max_bytes=max_bytes, clock=clock)


def fill(preroll, clock, camera="gate", *, count, every_s=0.5, size=10, first=0):
    for number in range(first, first + count):
        clock.advance(every_s)
        preroll.put(frame(f"{camera}-{number}", camera, picture(encoded=b"x" * size)), None)


def names(preroll, camera="gate"):
    return [kept.frame.frame_id for kept in preroll.frames(camera)]


def test_it_holds_the_last_minute_oldest_first(clock):
    preroll = ring(clock)
    fill(preroll, clock, count=300)
    assert names(preroll) == [f"gate-{number}" for number in range(179, 300)]


def test_it_keeps_at_most_two_frames_a_second(clock):
    preroll = ring(clock)
    fill(preroll, clock, count=300, every_s=0.1)
    assert 55 <= len(names(preroll)) <= 60


def test_the_newest_frame_is_there_however_old_it_is(clock):
    preroll = ring(clock)
    assert preroll.newest("gate") is None
    fill(preroll, clock, count=3)
    clock.advance(3600)
    assert preroll.newest("gate").frame_id == "gate-2"


def test_the_camera_that_holds_most_gives_way_first(clock):
    preroll = ring(clock, max_bytes=1000)
    fill(preroll, clock, "small", count=20, size=10)
    fill(preroll, clock, "large", count=20, size=100)
    assert len(names(preroll, "small")) == 20
    assert preroll.held_bytes() <= 1000
    assert names(preroll, "large")[-1] == "large-19"


def test_a_picture_larger_than_all_memory_is_not_kept(clock):
    preroll = ring(clock, max_bytes=100)
    fill(preroll, clock, count=1, size=500)
    assert names(preroll) == []
    assert preroll.held_bytes() == 0


def test_the_clouds_later_word_replaces_the_edges(clock):
    preroll = ring(clock)
    of = frame("one", "gate")
    preroll.put(of, verdict(of))
    preroll.amend("gate", verdict(of, source=Source.CLOUD, label=Label.FIRE))
    preroll.amend("yard", verdict(of, source=Source.CLOUD, label=Label.FIRE))
    (kept,) = preroll.frames("gate")
    assert kept.verdict.source is Source.CLOUD


def test_posts_under_endless_names_do_not_grow_it(clock):
    preroll = ring(clock)
    for number in range(3000):
        fill(preroll, clock, f"camera-{number}", count=1, size=0)
    assert preroll.frames("camera-0") == ()
    assert len(preroll.frames("camera-2999")) == 1


def test_a_tests_picture_and_a_nameless_one_are_not_kept(clock):
    preroll = ring(clock)
    preroll.put(replace(frame("a", "gate"), is_test=True), None)
    preroll.put(frame("b", None), None)
    assert preroll.held_bytes() == 0
