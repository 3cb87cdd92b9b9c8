"""Who tells people, or the disk, hangs: what waits is bounded, counted, and what opens an event goes last."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from edge.alert.message import AlertStep
from edge.alert.notice import Notice, NoticeResult
from edge.config.events import EventsSection
from edge.event.announcing import _MOST_NEWS, Announcer
from edge.event.fire_event import EventChange, EventStep, FireEvent
from edge.incidents import _MOST_CHANGES, Incidents
from shared.types import Picture
from tests.helpers.alerts import fire_event
from tests.helpers.clock import FakeClock
from tests.helpers.verdicts import Line
from tests.helpers.waiting import wait_until


class Stuck:
    """Tells nobody before the gate opens."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.called = threading.Event()
        self.told: list[EventChange] = []

    def announce(self, change: EventChange, snapshot: Picture | None) -> None:
        self.called.set()
        assert self.gate.wait(40)
        self.told.append(change)


def test_of_too_many_changes_the_oldest_that_open_nothing_are_not_told_and_counted():
    kept, desk = threading.Event(), Stuck()
    kept.set()
    announcer = Announcer(desk)
    announcer.start()

    def tell(step: EventStep, number: int) -> None:
        change = EventChange(
            step=step, event=fire_event(FakeClock(), f"event-{number}"), why="test"
        )
        announcer.tell(change, None, kept)

    tell(EventStep.OPENED, 0)
    assert desk.called.wait(40)  # everything else waits
    for number in range(10):
        tell(EventStep.UPDATED, number)
    for number in range(_MOST_NEWS + 3):
        tell(EventStep.OPENED, number)
    assert announcer.dropped == 13
    desk.gate.set()
    wait_until(lambda: len(desk.told) == 1 + _MOST_NEWS)
    announcer.stop(40)
    assert {change.step for change in desk.told} == {EventStep.OPENED}
    assert desk.told[-1].event.event_id == f"event-{_MOST_NEWS - 1}"


class StuckDisk:
    """Takes the first word of an event, and no second one before the gate opens."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.called = threading.Event()
        self.notes = 0

    def note_alert(self, event_id: str, notice: Notice) -> None:
        self.called.set()
        assert self.gate.wait(40)
        self.notes += 1

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


class Told:
    def __init__(self) -> None:
        self.changes: list[EventChange] = []

    def tell(self, change: EventChange, snapshot: Picture | None, kept: threading.Event) -> None:
        self.changes.append(change)


def test_a_disk_that_hangs_for_days_fills_no_memory_and_people_are_told_all_the_same():
    clock, disk, told = FakeClock(), StuckDisk(), Told()
    incidents = Incidents(
        Line().events,
        preroll=EventsSection().preroll(clock),
        keeps=disk,
        tells=told,
        traces=None,
        clock=clock,
    )
    notice = Notice(
        at=clock.now_at(),
        alert_id="a",
        step=AlertStep.OPENED,
        sink="duty",
        sink_kind="log",
        result=NoticeResult.DELIVERED,
    )
    incidents.start()
    incidents.note_alert("event", notice)
    assert disk.called.wait(40)
    for _ in range(_MOST_CHANGES + 7):
        incidents.note_alert("event", notice)
    assert incidents.dropped == 7
    left: Sequence[FireEvent] = [fire_event(clock, f"event-{n}") for n in range(_MOST_CHANGES + 5)]
    incidents.close_left(left)
    assert incidents.dropped == 12
    assert len(told.changes) == _MOST_CHANGES + 5
    disk.gate.set()
    wait_until(lambda: disk.notes == 1 + _MOST_CHANGES)
    incidents.stop(40)
