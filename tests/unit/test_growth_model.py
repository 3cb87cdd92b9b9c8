"""Words under the chart of a fire's growth stand clear of each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.ui.growth_model import rows_of

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
