"""The arithmetic of the evidence journal."""

from __future__ import annotations

import hashlib
import itertools
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.record.chain import (
    GENESIS,
    Entry,
    EntryKind,
    as_ranges,
    canonical,
    entry_of,
    line_of,
    link,
    row_hash,
)

_AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # A hostile cloud may send half of a surrogate pair in its detail.
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def _entry(seq: int = 1, **body: object) -> Entry:
    return Entry(seq=seq, at=_AT, kept_at=_AT, kind=EntryKind.FRAME, event_id="e", body=body)


@given(st.dictionaries(st.text(), _JSON, max_size=4))
def test_an_entry_comes_back_from_its_line_as_it_was(body):
    assert entry_of(line_of(_entry(**{"x": body}))).body == {"x": body}


@given(st.dictionaries(st.text(), _JSON, max_size=4))
def test_a_line_is_ascii_on_one_line_whatever_is_in_it(body):
    line = line_of(_entry(**{"x": body}))
    assert line.isascii()
    assert "\n" not in line


def test_a_line_does_not_depend_on_the_order_in_which_its_fields_were_set():
    assert canonical({"b": 1, "a": [1.5, None]}) == canonical({"a": [1.5, None], "b": 1})


def test_a_number_that_is_none_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        canonical({"score": float("nan")})


def test_anybody_can_compute_the_chain_with_nothing_but_sha256():
    line = line_of(_entry())
    hashed = hashlib.sha256(line.encode()).hexdigest()
    assert row_hash(line) == hashed
    assert link(GENESIS, hashed) == hashlib.sha256((GENESIS + hashed).encode()).hexdigest()


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=6), st.data())
def test_no_entry_can_be_changed_dropped_or_swapped_without_another_head(words, data):
    def head(texts: list[str]) -> str:
        chain = GENESIS
        for seq, text in enumerate(texts, start=1):
            chain = link(chain, row_hash(line_of(_entry(seq, text=text))))
        return chain

    at = data.draw(st.integers(0, len(words) - 1))
    changed = [*words[:at], words[at] + "!", *words[at + 1 :]]
    dropped = words[:at] + words[at + 1 :]
    assert len({head(words), head(changed), head(dropped)}) == 3


@given(st.sets(st.integers(0, 60)))
def test_ranges_hold_exactly_the_numbers_they_were_made_of(numbers):
    ranges = as_ranges(numbers)
    assert {n for first, last in ranges for n in range(first, last + 1)} == numbers
    assert all(last + 1 < first for (_, last), (first, _) in itertools.pairwise(ranges))


def test_a_line_reads_as_json():
    assert json.loads(line_of(_entry(3, text="火")))["body"] == {"text": "火"}
