"""Zones: what is ignored, watched in its own way, or refused as a polygon."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.decide.reasons import Reason
from edge.forward.cloud_client import CloudAnswer
from edge.forward.outcome import Outcome
from edge.zones.zones import Masks, Zone, ZoneKind, Zones, find_fault, is_inside
from shared.types import Box, Classification, Label
from tests.helpers.frames import frame, picture
from tests.helpers.verdicts import HEIGHT_PX, LEFT, RIGHT, WIDTH_PX, seen

LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
PICTURE = picture(WIDTH_PX, HEIGHT_PX)
IGNORED = Zones(zones=(Zone(name="stove", kind=ZoneKind.IGNORE, points=LEFT_HALF),))
BURNING = Classification(fire=0.95, smoke=0.1, where=(seen(LEFT),))


def test_a_fire_in_an_ignored_zone_counts_for_nothing_and_is_not_forgotten():
    masked = IGNORED.classification(BURNING, PICTURE)
    assert (masked.label, masked.where) == (Label.NONE, ())
    assert masked.presence < 0.05
    assert masked.masked == BURNING.where


def test_a_fire_outside_still_counts_in_full():
    both = replace(BURNING, where=(seen(LEFT), seen(RIGHT)))
    masked = IGNORED.classification(both, PICTURE)
    assert (masked.fire, masked.where) == (0.95, (seen(RIGHT),))


def test_evidence_without_a_place_is_never_masked():
    boxless = Classification(fire=0.95, smoke=0.1)
    assert IGNORED.classification(boxless, PICTURE) is boxless


def test_a_box_that_reaches_out_of_the_zone_by_more_than_half_counts():
    wide = Box(x1=260.0, y1=100.0, x2=460.0, y2=200.0)
    seen_wide = replace(BURNING, where=(seen(wide),))
    assert IGNORED.classification(seen_wide, PICTURE) is not BURNING
    assert IGNORED.classification(seen_wide, PICTURE).where == (seen(wide),)


def test_the_clouds_answer_is_masked_too():
    answer = CloudAnswer(
        label=Label.FIRE,
        confidence=0.9,
        detections=(seen(LEFT, score=0.9), seen(RIGHT, Label.SMOKE, score=0.6)),
        model={},
    )
    masked = IGNORED.answer(answer, PICTURE)
    assert (masked.label, masked.confidence, len(masked.detections)) == (Label.SMOKE, 0.6, 1)
    none = IGNORED.answer(replace(answer, detections=(seen(LEFT),)), PICTURE)
    assert (none.label, none.detections) == (Label.NONE, ())


def test_what_is_masked_is_counted_by_camera():
    masks = Masks({"kitchen": IGNORED})
    in_kitchen = frame("a", "kitchen", PICTURE)
    answer = CloudAnswer(label=Label.FIRE, confidence=0.9, detections=(seen(LEFT),), model={})
    masks.classification(in_kitchen, BURNING)
    masks.outcome(in_kitchen, Outcome(answer=answer, reason=Reason.CLOUD_VERIFY, charged_micros=0))
    masks.classification(frame("b", "yard", PICTURE), BURNING)
    assert (masks.suppressed("kitchen"), masks.suppressed("yard")) == (2, 0)


def test_a_watched_zone_has_its_own_threshold():
    watched = Zone(name="bins", kind=ZoneKind.WATCH, points=LEFT_HALF, threshold=0.98)
    zones = Zones(zones=(watched,))
    assert zones.watched(LEFT, PICTURE) is watched
    assert zones.watched(RIGHT, PICTURE) is None
    assert zones.classification(BURNING, PICTURE).label is Label.NONE
    assert zones.classification(replace(BURNING, fire=0.99), PICTURE).label is Label.FIRE


def test_the_version_changes_with_the_zones_and_not_with_their_order():
    other = Zone(name="desk", kind=ZoneKind.PRIVACY, points=LEFT_HALF)
    stove = IGNORED.zones[0]
    one, two = Zones(zones=(stove, other)), Zones(zones=(other, stove))
    assert one.version == two.version != IGNORED.version
    moved = replace(stove, points=((0.0, 0.0), (0.4, 0.0), (0.5, 1.0), (0.0, 1.0)))
    assert Zones(zones=(moved,)).version != IGNORED.version


@pytest.mark.parametrize(
    ("points", "fault"),
    [
        (((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)), "crosses itself"),
        (((0.0, 0.0), (0.5, 0.5), (1.0, 1.0)), "has no area"),
        (((0.0, 0.0), (1.2, 0.0), (1.0, 1.0)), "outside"),
        (((0.0, 0.0), (1.0, 0.0), (0.0, 0.0), (0.0, 1.0)), "twice"),
        (((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.0), (0.0, 1.0)), "crosses itself"),
        (((float("nan"), 0.0), (1.0, 0.0), (1.0, 1.0)), "outside"),
    ],
)
def test_a_polygon_that_cannot_be_a_zone_is_refused_in_words(points, fault):
    assert fault in find_fault(points)


def test_simple_polygons_pass():
    arrow = ((0.0, 0.0), (1.0, 0.5), (0.0, 1.0), (0.3, 0.5))
    assert find_fault(LEFT_HALF) is None
    assert find_fault(arrow) is None


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_point_lies_in_a_rectangle_or_not_as_arithmetic_says(x, y):
    rectangle = ((0.2, 0.3), (0.7, 0.3), (0.7, 0.9), (0.2, 0.9))
    is_on_edge = x in (0.2, 0.7) or y in (0.3, 0.9)
    if not is_on_edge:
        assert is_inside((x, y), rectangle) == (0.2 < x < 0.7 and 0.3 < y < 0.9)
