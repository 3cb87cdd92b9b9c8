from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.decide.uplink import Uplink, UploadForm
from edge.outbox.item import Delivered, ItemClass, Outcome, Poison, Retry
from edge.outbox.order import (
    Entry,
    Lane,
    Pace,
    RetryRules,
    Room,
    Settlement,
    make_room,
)
from tests.helpers.clock import FakeClock

_AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
_RULES = RetryRules()


def entry(
    seq: int, key: str = "a", item_class: ItemClass = ItemClass.ALARM, size_bytes: int = 1
) -> Entry:
    return Entry(
        seq=seq,
        key=key,
        item_class=item_class,
        size_bytes=size_bytes,
        created_at=_AT,
        expires_at=_AT + timedelta(days=7),
        since_mono_s=0.0,
    )


def lane(*entries: Entry) -> Lane:
    made = Lane(_RULES, jitter=lambda: 1.0)
    for one in entries:
        made.add(one)
    return made


def drained(made: Lane, now_mono_s: float = 0.0) -> list[int]:
    found = []
    while (due := made.next(now_mono_s)) is not None:
        made.settle(due.seq, Delivered(), now_mono_s)
        found.append(due.seq)
    return found


_OUTCOMES = st.sampled_from(
    [
        Delivered(),
        Delivered(),
        Retry(reason="away"),
        Retry(reason="busy", retry_after_s=20.0),
        Poison(reason="no"),
    ]
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("abc"), st.sampled_from(list(ItemClass))),
        _OUTCOMES,
        st.floats(0, 400),
    ),
    max_size=60,
)


@given(_STEPS)
def test_whatever_happens_a_key_arrives_in_order_and_nothing_is_lost(
    steps: list[tuple[str, ItemClass] | Outcome | float],
) -> None:
    made, now_mono_s, put = lane(), 0.0, 0
    keys: dict[int, str] = {}
    ended: list[int] = []
    for step in steps:
        match step:
            case (str() as key, ItemClass() as item_class):
                put += 1
                keys[put] = key
                made.add(entry(put, key, item_class))
            case float():
                now_mono_s += step
            case Delivered() | Retry() | Poison():
                due = made.next(now_mono_s)
                if due is None:
                    continue
                settlement = made.settle(due.seq, step, now_mono_s)
                if settlement is not Settlement.LATER:
                    ended.append(due.seq)
                assert (due.seq in made) == (settlement is Settlement.LATER)
    for key in "abc":
        of_key = [seq for seq in ended if keys[seq] == key]
        assert of_key == sorted(of_key)
    assert sorted([*ended, *(e.seq for e in made.entries())]) == list(range(1, put + 1))
    while len(made):  # a receiver that is well at last gets all the rest
        wait_s = made.wait_s(now_mono_s)
        assert wait_s is not None
        now_mono_s += wait_s + 0.001
        drained(made, now_mono_s)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(list(ItemClass))), max_size=30))
def test_of_those_that_may_go_class_comes_before_age(given: list[tuple[str, ItemClass]]) -> None:
    waiting = [entry(n, key, item_class) for n, (key, item_class) in enumerate(given)]
    made = lane(*waiting)
    while waiting:
        heads = {e.key: e for e in reversed(waiting)}.values()
        expected = min(heads, key=lambda e: (e.item_class.rank, e.seq))
        due = made.next(0.0)
        assert due == expected
        made.settle(expected.seq, Delivered(), 0.0)
        waiting.remove(expected)
    assert made.next(0.0) is None
    assert made.wait_s(0.0) is None


def test_pauses_double_and_end_at_the_longest() -> None:
    made, now_mono_s, pauses = lane(entry(1)), 0.0, []
    for _ in range(12):
        made.settle(1, Retry(reason="away"), now_mono_s)
        wait_s = made.wait_s(now_mono_s)
        assert wait_s is not None
        pauses.append(wait_s)
        now_mono_s += wait_s
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_what_the_receiver_asks_for_is_waited_for() -> None:
    made = lane(entry(1, "a"), entry(2, "b"))
    made.settle(1, Retry(reason="busy", retry_after_s=120.0), 0.0)
    assert made.next(119.0) is None
    due = made.next(120.0)
    assert due is not None
    made.add(entry(3, "c"))
    made.settle(2, Retry(reason="busy", retry_after_s=120.0), 120.0)
    made.add(entry(4, "d"))
    assert made.next(130.0) is None


def test_a_new_alarm_is_tried_at_once_though_the_receiver_was_away_for_hours() -> None:
    made, now_mono_s = lane(entry(1, "old")), 0.0
    for _ in range(20):
        made.settle(1, Retry(reason="away"), now_mono_s)
        now_mono_s += 400.0
    made.settle(1, Retry(reason="away"), now_mono_s)
    assert made.next(now_mono_s + 1.0) is None
    made.add(entry(2, "new"))
    due = made.next(now_mono_s + 1.0)
    assert due is not None
    assert due.seq == 2


def test_new_telemetry_does_not_end_a_pause() -> None:
    made = lane(entry(1, "old"))
    made.settle(1, Retry(reason="away"), 0.0)
    made.add(entry(2, "new", ItemClass.TELEMETRY))
    assert made.next(0.5) is None


def test_what_is_refused_for_good_leaves_after_three_tries_and_holds_up_nobody_else() -> None:
    made = lane(entry(1, "bad"), entry(2, "bad"), entry(3, "good"))
    assert made.settle(1, Poison(reason="400"), 0.0) is Settlement.LATER
    assert drained(made, 0.0) == [3]
    assert made.settle(1, Poison(reason="400"), 10.0) is Settlement.LATER
    assert made.settle(1, Poison(reason="400"), 20.0) is Settlement.QUARANTINE
    assert drained(made, 30.0) == [2]


def test_refusals_from_before_a_restart_count() -> None:
    made = lane()
    made.add(entry(1), refusals=2)
    assert made.settle(1, Poison(reason="400"), 0.0) is Settlement.QUARANTINE


def test_what_always_fails_though_others_get_through_is_set_aside() -> None:
    made, now_mono_s = lane(entry(1, "bad")), 0.0
    settlements = []
    for number in range(2, 30):
        settlements.append(made.settle(1, Retry(reason="HTTP 500"), now_mono_s))
        if settlements[-1] is not Settlement.LATER:
            break
        now_mono_s += 400.0
        made.add(entry(number, f"good-{number}"))
        made.settle(number, Delivered(), now_mono_s)
    assert settlements == [Settlement.LATER] * 19 + [Settlement.QUARANTINE]


def test_what_fails_because_the_receiver_is_away_is_never_set_aside() -> None:
    made, now_mono_s = lane(entry(1)), 0.0
    for _ in range(200):
        assert made.settle(1, Retry(reason="away"), now_mono_s) is Settlement.LATER
        now_mono_s += 400.0


def test_an_entry_can_be_taken_out_of_the_middle_and_from_the_head() -> None:
    made = lane(entry(1), entry(2), entry(3))
    made.remove(2)
    made.remove(1)
    made.remove(7)
    assert made.size_bytes == 1
    assert drained(made) == [3]


@given(
    st.lists(st.tuples(st.sampled_from(list(ItemClass)), st.integers(1, 50)), max_size=30),
    st.sampled_from(list(ItemClass)),
    st.integers(1, 50),
    st.integers(1, 20),
    st.integers(1, 300),
)
def test_room_is_made_by_those_that_matter_least_and_never_by_alarms(
    waiting: list[tuple[ItemClass, int]],
    incoming: ItemClass,
    size_bytes: int,
    max_items: int,
    max_bytes: int,
) -> None:
    entries = [entry(n, str(n), c, size) for n, (c, size) in enumerate(waiting)]
    room = Room(max_items=max_items, max_bytes=max_bytes)
    leaving = make_room(entries, incoming, size_bytes, room)
    if leaving is None:
        assert incoming is not ItemClass.ALARM
        return
    stay = [e for e in entries if e.seq not in leaving]
    left = [e for e in entries if e.seq in leaving]
    assert all(e.item_class is not ItemClass.ALARM for e in left)
    assert all(e.item_class.rank >= incoming.rank for e in left)
    fits = len(stay) < max_items and sum(e.size_bytes for e in stay) + size_bytes <= max_bytes
    assert fits or incoming is ItemClass.ALARM
    for gone in left:
        for kept in stay:
            if kept.item_class.rank >= incoming.rank and kept.item_class is not ItemClass.ALARM:
                assert (-gone.item_class.rank, gone.seq) < (-kept.item_class.rank, kept.seq)


def test_nothing_expires_because_the_clock_jumped_forward() -> None:
    kept = entry(1)
    assert not kept.is_expired(_AT + timedelta(days=5000), now_mono_s=30.0)
    assert kept.is_expired(_AT + timedelta(days=7), now_mono_s=3600.0)
    assert not kept.is_expired(_AT + timedelta(days=6), now_mono_s=3600.0)
    assert not kept.is_expired(_AT - timedelta(days=40), now_mono_s=1e9)


def test_what_can_wait_leaves_at_its_pace_and_never_takes_the_live_share_of_a_thin_link() -> None:
    clock = FakeClock()
    form = UploadForm(long_side_px=1280, quality=75)
    link = Uplink(best=form, bytes_per_s=10_000, burst_bytes=100_000, clock=clock)
    pace = Pace(items_per_s=10.0, link=link, live_bytes=50_000)
    sent = 0
    for _ in range(600):
        if pace.wait_s(30_000, clock.mono_s()) == 0:
            pace.note_sent(30_000, clock.mono_s())
            sent += 30_000
        assert link.available_bytes() >= 50_000 - 1
        clock.advance(0.1)
    assert sent == pytest.approx(60 * 10_000 + 50_000, abs=40_000)
