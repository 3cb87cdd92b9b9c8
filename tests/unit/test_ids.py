from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ids import continue_trace, is_req_id, new_id

_NOW_AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
_TRACE = "0af7651916cd43dd8448eb211c80319c"
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01")


def test_an_id_may_itself_be_a_request_id():
    assert is_req_id(new_id(_NOW_AT))


@given(st.integers(1, 10**9))
def test_ids_sort_by_their_time(later_ms):
    assert new_id(_NOW_AT) < new_id(_NOW_AT + timedelta(milliseconds=later_ms))


def test_ids_of_one_moment_differ():
    assert len({new_id(_NOW_AT) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("text", ["a", "A-1_b.c:d", "x" * 64])
def test_plain_ids_may_be_echoed(text):
    assert is_req_id(text)


@pytest.mark.parametrize(
    "text",
    ["", "x" * 65, "a b", "a\n", "a\r\nSet-Cookie: x", "é", "<b>", "a/b", None, 7, ["a"]],
)
def test_anything_else_may_not_be_echoed(text):
    assert not is_req_id(text)


def test_a_trace_is_continued_with_a_span_of_our_own():
    continued = continue_trace(f"00-{_TRACE}-b7ad6b7169203331-01")
    assert continued.split("-")[1] == _TRACE
    assert continued.split("-")[2] != "b7ad6b7169203331"


@given(st.one_of(st.none(), st.text(max_size=80)))
def test_whatever_comes_in_a_valid_traceparent_goes_out(given_trace):
    assert _TRACEPARENT.fullmatch(continue_trace(given_trace))


def test_the_forbidden_trace_of_zeros_is_replaced():
    assert continue_trace(f"00-{'0' * 32}-b7ad6b7169203331-01").split("-")[1] != "0" * 32
