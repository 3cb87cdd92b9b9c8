"""The walk back: to the first picture of this fire, through flicker, past what was always there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.event.fire_event import KeptFrame, OriginMethod
from edge.origin.tracing import find_origin
from edge.origin.walk_back import WalkSettings, checked, walk_back
from shared.types import Box, Detection, Frame, Label, Source
from tests.helpers.evidence import fire_event
from tests.helpers.frames import picture
from tests.helpers.verdicts import HEIGHT_PX, LEFT, RIGHT, WIDTH_PX, seen, verdict

BEGIN_AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SETTINGS = WalkSettings()


def kept(count: int, *, quiet_until: int = 0) -> list[KeptFrame]:
    """Frames half a second apart; the edge said of those before `quiet_until` that nothing is there."""
    frames = [
        Frame(
            frame_id=str(number),
            camera="gate",
            picture=picture(WIDTH_PX, HEIGHT_PX),
            captured_at=BEGIN_AT + timedelta(seconds=number / 2),
        )
        for number in range(count)
    ]
    return [
        KeptFrame(frame=frame, verdict=verdict(frame) if number < quiet_until else None)
        for number, frame in enumerate(frames)
    ]


class Shown:
    """What a detector would see in each frame; counts its looks."""

    def __init__(self, *by_frame: list[Detection]) -> None:
        self.by_frame = by_frame
        self.looks: list[int] = []

    def __call__(self, frame: Frame) -> list[Detection]:
        self.looks.append(int(frame.frame_id))
        return self.by_frame[int(frame.frame_id)]


def walk(shown: Shown, box: Box | None = LEFT, *, quiet_until: int = 0):
    frames = kept(len(shown.by_frame), quiet_until=quiet_until)
    return walk_back(frames, box, shown, SETTINGS, OriginMethod.DETECTOR)


def fire_from(first: int, count: int = 120) -> list[list[Detection]]:
    return [[seen(LEFT)] if number >= first else [] for number in range(count)]


def test_it_finds_the_first_frame_with_its_time_and_place():
    origin = walk(Shown(*fire_from(90)))
    assert origin.captured_at == BEGIN_AT + timedelta(seconds=45)
    assert (origin.frame_id, origin.box, origin.is_earliest_kept) == ("90", LEFT, False)


def test_coarse_steps_spare_looks():
    shown = Shown(*fire_from(20))
    walk(shown)
    assert len(shown.looks) == len(set(shown.looks)) < 40


@given(st.integers(10, 100), st.sets(st.integers(0, 119)))
def test_flicker_shorter_than_the_quiet_frames_never_stops_the_walk(first, dark):
    """Whatever frames are dark, the walk ends at a sighting with quiet before it, and never before the fire."""
    frames = fire_from(first)
    frames[119] = [seen(LEFT)]
    for number in dark - {first, 119}:
        frames[number] = []
    found = int(walk(Shown(*frames)).frame_id)
    assert found >= first
    assert frames[found]
    before = frames[max(0, found - SETTINGS.quiet_frames) : found]
    assert not any(before)


def test_a_fire_older_than_the_ring_says_so():
    assert walk(Shown(*fire_from(0))).is_earliest_kept
    assert walk(Shown(*fire_from(2))).is_earliest_kept
    assert not walk(Shown(*fire_from(4))).is_earliest_kept


def test_a_lamp_elsewhere_does_not_lead_it_astray():
    lamp = seen(RIGHT, score=0.99)
    frames = [[*found, lamp] for found in fire_from(90)]
    assert walk(Shown(*frames)).frame_id == "90"


def test_fog_that_was_always_there_is_not_followed():
    fog = seen(Box(x1=0, y1=150, x2=300, y2=350), Label.SMOKE, score=0.4)
    frames = [[*found, fog] for found in fire_from(90)]
    assert walk(Shown(*frames), quiet_until=90).frame_id == "90"


def test_it_follows_smoke_to_before_the_flame():
    frames = [
        [seen(LEFT)] if n >= 100 else [seen(LEFT, Label.SMOKE)] if n >= 80 else []
        for n in range(120)
    ]
    assert walk(Shown(*frames)).frame_id == "80"


def test_a_cloud_that_the_detector_faintly_takes_for_smoke_is_the_background_of_the_fire_in_front():
    haze = seen(Box(x1=0.0, y1=0.0, x2=600.0, y2=340.0), Label.SMOKE, score=0.47)
    told = {"source": Source.CLOUD, "label": Label.SMOKE, "confidence": 0.47}
    frames = [
        replace(k, verdict=verdict(k.frame, haze, fire=0.02, **told) if number < 100 else None)
        for number, k in enumerate(kept(120))
    ]
    shown = Shown(*([haze, seen(LEFT)] if number >= 100 else [haze] for number in range(120)))
    origin = walk_back(frames, haze.box, shown, SETTINGS, OriginMethod.DETECTOR)
    assert origin is not None
    assert (origin.frame_id, origin.box) == ("100", LEFT)


def test_the_growth_begins_at_the_origin_and_is_bounded():
    growth = walk(Shown(*fire_from(10))).growth
    assert 2 <= len(growth) <= SETTINGS.most_growth
    assert growth[0].frame_id == "10"
    assert growth[-1].frame_id == "119"
    assert [p.captured_at for p in growth] == sorted(p.captured_at for p in growth)


def test_a_detector_that_sees_nothing_gives_no_origin():
    assert walk(Shown(*fire_from(120))) is None
    assert walk_back([], LEFT, Shown(), SETTINGS, OriginMethod.DETECTOR) is None


def test_what_was_always_there_has_no_origin_and_none_is_made_up():
    always = Shown(*[[seen(LEFT)]] * 120)
    assert find_origin(fire_event(box=LEFT), kept(120, quiet_until=100), SETTINGS, always) is None


def test_what_fills_the_view_behind_a_small_flame_does_not_take_its_place():
    origin = walk(Shown(*fire_from(90)))
    small = replace(origin, box=Box(x1=100.0, y1=200.0, x2=110.0, y2=215.0))
    haze = seen(Box(x1=0.0, y1=0.0, x2=600.0, y2=340.0), Label.SMOKE, score=0.5)
    assert checked(small, (haze,), picture(WIDTH_PX, HEIGHT_PX), SETTINGS) == small


@pytest.mark.parametrize("box", [None, LEFT])
def test_the_cloud_gives_its_box_where_it_agrees(box):
    origin = walk(Shown(*fire_from(90)), box)
    better = Box(x1=50.0, y1=210.0, x2=118.0, y2=318.0)
    told = checked(origin, (seen(better, score=0.8),), picture(WIDTH_PX, HEIGHT_PX), SETTINGS)
    assert (told.method, told.box, told.confidence) == (OriginMethod.CLOUD, better, 0.8)


def test_a_cloud_that_sees_nothing_there_changes_nothing():
    origin = walk(Shown(*fire_from(90)))
    assert checked(origin, (), picture(WIDTH_PX, HEIGHT_PX), SETTINGS) is origin
    assert checked(origin, (seen(RIGHT),), picture(WIDTH_PX, HEIGHT_PX), SETTINGS) is origin
