from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ids import Trace, continue_trace, is_req_id, new_id

_NOW_AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
_TRACE = "0af7651916cd43dd8448eb211c80319c"
_SPAN = "b7ad6b7169203331"
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
    continued = continue_trace(Trace(parent=f"00-{_TRACE}-{_SPAN}-01"))
    assert continued["traceparent"].split("-")[1] == _TRACE
    assert continued["traceparent"].split("-")[2] != _SPAN


@given(st.one_of(st.none(), st.text(max_size=80)), st.one_of(st.none(), st.text(max_size=80)))
def test_whatever_comes_in_a_valid_traceparent_goes_out(parent, state):
    trace = None if parent is None else Trace(parent=parent, state=state)
    assert _TRACEPARENT.fullmatch(continue_trace(trace)["traceparent"])


@pytest.mark.parametrize("parent", [f"00-{'0' * 32}-{_SPAN}-01", f"00-{_TRACE}-{'0' * 16}-01"])
def test_what_consists_of_zeros_begins_a_new_trace(parent):
    assert continue_trace(Trace(parent=parent))["traceparent"].split("-")[1] not in (
        "0" * 32,
        _TRACE,
    )


def test_the_state_of_a_trace_passes_through():
    trace = Trace(parent=f"00-{_TRACE}-{_SPAN}-01", state="rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert continue_trace(trace)["tracestate"] == trace.state


@pytest.mark.parametrize("state", ["", "a\nb", "é", "x" * 513])
def test_a_state_that_cannot_be_sent_is_left_out(state):
    trace = Trace(parent=f"00-{_TRACE}-{_SPAN}-01", state=state)
    assert "tracestate" not in continue_trace(trace)


def test_a_state_without_its_trace_is_left_out():
    assert "tracestate" not in continue_trace(Trace(parent="garbage", state="a=b"))
