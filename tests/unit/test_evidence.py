"""What counts as the cloud's "yes": its boxes in the light of what the edge saw."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.decide.memory import Memories
from edge.event.events import Taken
from edge.event.evidence import Evidence, Grade, is_agreed, together
from edge.event.fire_event import Severity
from shared.types import Box, Classification, Label, Source
from tests.helpers.clock import FakeClock
from tests.helpers.frames import frame
from tests.helpers.verdicts import LEFT, RIGHT, Line, seen, verdict

probabilities = st.floats(0.0, 1.0)


def told(fire: float, score: float, **changes: object):
    """Give the cloud's answer, one box, to a frame in which the edge saw fire at `fire`."""
    box = seen(LEFT, score=score)
    answer = {"source": Source.CLOUD, "label": Label.FIRE, "confidence": score}
    return verdict(frame(), box, fire=fire, **{**answer, **changes})


def look(line: Line, fire: float, score: float, box: Box = LEFT) -> Taken:
    """Let the cloud see something in the next frame."""
    line.clock.advance(0.5)
    of = line.frame()
    answer = {"source": Source.CLOUD, "label": Label.FIRE, "confidence": score}
    return line.judge(of, verdict(of, seen(box, score=score), fire=fire, **answer))


def test_faint_boxes_that_the_edge_is_sure_are_nothing_alarm_nobody_however_often():
    line = Line()
    for _ in range(600):
        look(line, fire=0.02, score=0.45)
    assert line.changes == []


def test_the_same_box_alarms_within_a_second_where_the_edge_half_sees_it():
    line = Line()
    look(line, fire=0.5, score=0.45)
    look(line, fire=0.5, score=0.45)
    assert line.steps() == ["opened"]


@pytest.mark.parametrize("fire", [0.0, 1e-9, 0.001, 0.02])
def test_a_fire_that_only_the_detector_sees_opens_an_event_when_it_is_clear(fire):
    line = Line()
    look(line, fire, score=0.72)
    look(line, fire, score=0.72)
    assert line.steps() == ["opened"]
    event = line.changes[0].event
    assert (event.severity, event.grade) == (Severity.UNCERTAIN, Grade.CONFIRMED)


def test_a_fire_that_grows_opens_an_event_as_soon_as_both_looks_together_make_it_likely():
    line = Line()
    for step in range(12):
        look(line, fire=0.01 + 0.03 * step, score=0.33 + 0.03 * step)
        if line.changes:
            break
    assert 3 <= step <= 10


@given(probabilities, probabilities, probabilities)
def test_who_sees_more_never_agrees_less(fire, score, other):
    low, high = sorted((score, other))
    assert together(told(fire, low)) <= together(told(fire, high))
    low, high = sorted((fire, other))
    assert together(told(low, score)) <= together(told(high, score))


@given(probabilities, st.floats(0.7, 1.0))
def test_no_edge_outvotes_a_clear_box(fire, score):
    assert is_agreed(told(fire, score))


@given(st.floats(0.7, 1.0), st.floats(0.3, 1.0))
def test_a_box_at_any_working_threshold_agrees_with_an_edge_that_sees_fire(fire, score):
    assert is_agreed(told(fire, score))


@pytest.mark.parametrize(("confidence", "is_taken_away"), [(0.74, False), (0.75, True)])
def test_only_a_cloud_that_is_sure_of_nothing_takes_evidence_away(confidence, is_taken_away):
    clock, memories = FakeClock(), Memories()
    evidence = Evidence(memories, score=lambda x, slow: x - 2.0, clock=clock)
    for _ in range(3):
        clock.advance(0.5)
        evidence.note(verdict(frame(camera="gate"), fire=0.95))
    before = memories.peek("gate").evidence
    answer = {"source": Source.CLOUD, "label": Label.NONE, "confidence": confidence}
    evidence.note(verdict(frame(camera="gate"), fire=0.95, **answer, is_amendment=True))
    assert (memories.peek("gate").evidence < before) is is_taken_away


def test_a_broken_classifier_has_no_say():
    broken = Classification(fire=0.5, smoke=0.5, is_broken=True)
    assert is_agreed(replace(told(0.0, 0.31), edge=broken))


def test_an_answer_without_boxes_counts_by_its_confidence():
    assert is_agreed(told(0.4, 0.9, detections=()))
    assert not is_agreed(told(0.001, 0.4, detections=()))


def test_faint_boxes_elsewhere_open_nothing_while_a_fire_burns():
    line = Line()
    for _ in range(8):
        line.see(seen(LEFT))
    for _ in range(60):
        look(line, fire=0.02, score=0.45, box=RIGHT)
        line.see(seen(LEFT))
    assert line.steps() == ["opened"]
    assert line.events.open_events()[0].grade is Grade.EDGE_ONLY
