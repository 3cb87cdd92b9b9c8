"""Words under the chart of a fire's growth stand clear of each other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from edge.ui.growth_model import rows_of, show_growth
from edge.ui.speech import Speech
from tests.helpers.evidence import open_records
from tests.helpers.story import tell_fire

_NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
_SPEECH = Speech(language="en", zone=ZoneInfo("UTC"), now=_NOW)

_APART = 22.0  # per cent of the width, as wide as the longest word on a phone


def test_words_that_stand_apart_share_a_row():
    assert rows_of([10.0, 50.0, 90.0]) == [0, 0, 0]


def test_three_marks_close_together_have_a_row_each():
    assert rows_of([21.0, 25.0, 28.0]) == [0, 1, 2]


@given(st.lists(st.floats(0.0, 100.0), max_size=5))
def test_no_two_words_of_a_row_touch(places: list[float]):
    rows = rows_of(places)
    assert len(rows) == len(places)
    for number, (x, row) in enumerate(zip(places, rows, strict=True)):
        beside = [o for o, r in zip(places[:number], rows, strict=False) if r == row]
        assert all(abs(x - other) >= _APART for other in beside)


def test_what_was_seen_on_one_frame_alone_is_a_dot(tmp_path):
    with open_records(tmp_path) as records:
        event_id = tell_fire(records, began_at=_NOW).event_id
        record, frames = records.event(event_id), records.frames(event_id)
    (asked, *_) = [n for n, f in enumerate(frames) if len(f.said[-1].detections) > 1]
    silent = [replace(f, said=tuple(replace(s, detections=()) for s in f.said)) for f in frames]
    silent[asked] = frames[asked]
    growth = show_growth(record, silent, _SPEECH)
    assert growth is not None
    smoke, fire = growth.curves
    assert (smoke.kind, smoke.is_point, smoke.path.count("h0")) == ("smoke", True, 1)
    assert (fire.kind, fire.is_point) == ("fire", False)
    assert fire.path.count("L") > 1
