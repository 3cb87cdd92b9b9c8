from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from edge.alert.rules import ReceiverRules
from edge.event.evidence import Grade
from edge.event.fire_event import Origin, OriginMethod, Severity
from edge.outbox.item import Poison, Retry
from shared.error_code import ErrorCode
from shared.errors import StoreError
from shared.types import MediaType, Picture
from tests.helpers.alerts import Recorder, closed, fire_event, office_in, opened, updated
from tests.helpers.clock import FakeClock

_SNAPSHOT = Picture(encoded=b"jpeg", media_type=MediaType.JPEG, width_px=300, height_px=150)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def phone() -> Recorder:
    return Recorder()


def test_one_event_is_one_message_and_then_only_what_changed(
    tmp_path: Path, clock: FakeClock, phone: Recorder
) -> None:
    event = fire_event(clock, severity=Severity.SMOKE)
    with office_in(tmp_path, clock, sinks={"phone": phone}) as office:
        office.desk.announce(opened(event), _SNAPSHOT)
        for frames in range(4, 20):
            office.desk.announce(updated(event, frames=frames, peak=0.95), _SNAPSHOT)
            office.run(1.0)
        assert phone.steps == ["opened"]
        office.desk.announce(updated(event, severity=Severity.FIRE), None)
        office.run()
        worse = fire_event(clock, severity=Severity.FIRE, grade=Grade.CONFIRMED)
        office.desk.announce(updated(worse), None)
        office.run()
        office.desk.announce(closed(worse, clock.now_at()), None)
        office.run(300.0)
    assert phone.steps == ["opened", "updated", "updated", "closed"]
    assert [alert.why for alert in phone.alerts] == ["", "smoke is now fire", "confirmed", ""]
    assert len({alert.alert_id for alert in phone.alerts}) == 4
    assert phone.pictures[0] == b"jpeg"
    first = phone.alerts[0]
    assert (first.place, first.link, first.box_name) == ("upper left", "http://b/event-1", "box-1")


def test_an_event_that_the_outbox_could_not_take_is_told_as_soon_as_it_can(
    tmp_path: Path, clock: FakeClock, phone: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_full(items: object) -> None:
        raise StoreError(ErrorCode.STORE_UNAVAILABLE, "neither disk nor memory has room")

    with office_in(tmp_path, clock, sinks={"phone": phone}) as office:
        with monkeypatch.context() as full:
            full.setattr(office.outbox, "put", is_full)
            office.desk.announce(opened(fire_event(clock)), _SNAPSHOT)
            office.run(2.0)
        assert phone.steps == []
        office.run(2.0)
    assert phone.steps == ["opened"]
    assert phone.pictures == [b"jpeg"]


def test_the_origin_is_told_when_it_was_traced(
    tmp_path: Path, clock: FakeClock, phone: Recorder
) -> None:
    event = fire_event(clock)
    origin = Origin(
        captured_at=event.opened_at - timedelta(seconds=23),
        frame_id="early",
        box=event.box,
        method=OriginMethod.DETECTOR,
        confidence=0.8,
        is_earliest_kept=False,
        growth=(),
    )
    with office_in(tmp_path, clock, sinks={"phone": phone}) as office:
        office.desk.announce(opened(event), _SNAPSHOT)
        office.run(2.0)
        office.desk.announce(updated(event, origin=origin), None)
        office.run(2.0)
    assert phone.steps == ["opened", "updated"]
    assert [a.is_traced for a in phone.alerts] == [False, True]
    assert phone.alerts[1].began_at == origin.captured_at
    assert phone.alerts[1].why == "traced back to its beginning"


def test_an_origin_that_is_traced_after_the_end_reopens_nothing(
    tmp_path: Path, clock: FakeClock, phone: Recorder
) -> None:
    event = fire_event(clock)
    origin = Origin(
        captured_at=event.opened_at - timedelta(seconds=5),
        frame_id="early",
        box=event.box,
        method=OriginMethod.CLOUD,
        confidence=0.8,
        is_earliest_kept=False,
        growth=(),
    )
    with office_in(tmp_path, clock, sinks={"phone": phone}) as office:
        office.desk.announce(opened(event), None)
        office.run(30.0)
        office.desk.announce(closed(event, clock.now_at()), None)
        office.run(1.0)
        office.desk.announce(updated(event, origin=origin), None)  # the event as it opened
        office.run(1.0)
        assert phone.burning == frozenset()
    assert phone.steps == ["opened", "closed", "updated"]
    assert phone.alerts[-1].closed_at is not None


def test_a_fire_that_comes_back_after_its_end_was_told_is_told_again(
    tmp_path: Path, clock: FakeClock, phone: Recorder
) -> None:
    event = fire_event(clock)
    with office_in(tmp_path, clock, sinks={"phone": phone}) as office:
        office.desk.announce(opened(event), None)
        office.run(5.0)
        office.desk.announce(closed(event, clock.now_at()), None)
        office.run(5.0)
        office.desk.announce(updated(event, last_seen_at=clock.now_at()), None)
        office.run(5.0)
        assert phone.burning == {"gate"}
        office.desk.announce(closed(event, clock.now_at(), last_seen_at=clock.now_at()), None)
        office.run(1.0)
    assert phone.steps == ["opened", "closed", "updated", "closed"]
    assert phone.alerts[2].why == "seen again"


def test_a_second_event_of_a_camera_waits_for_the_cool_down_and_is_not_lost(
    tmp_path: Path, clock: FakeClock, phone: Recorder
) -> None:
    with office_in(tmp_path, clock, sinks={"phone": phone}) as office:
        office.desk.announce(opened(fire_event(clock, "first")), None)
        office.run(10.0)
        office.desk.announce(opened(fire_event(clock, "second")), None)
        office.desk.announce(opened(fire_event(clock, "elsewhere", camera="hall")), None)
        office.run(40.0)
        assert [a.event_id for a in phone.alerts] == ["first", "elsewhere"]
        office.run(15.0)
    assert [a.event_id for a in phone.alerts] == ["first", "elsewhere", "second"]


def test_the_cool_down_counts_from_what_was_delivered_not_from_what_was_tried(
    tmp_path: Path, clock: FakeClock, phone: Recorder
) -> None:
    phone.outcomes = [Retry(reason="away")] * 3
    with office_in(tmp_path, clock, sinks={"phone": phone}) as office:
        office.desk.announce(opened(fire_event(clock, "first")), None)
        office.run()
        office.desk.announce(opened(fire_event(clock, "second")), None)
        office.run(20.0)
        assert {a.event_id for a in phone.alerts} == {"first", "second"}


def test_what_is_worse_does_not_wait_for_the_cool_down(
    tmp_path: Path, clock: FakeClock, phone: Recorder
) -> None:
    with office_in(tmp_path, clock, sinks={"phone": phone}) as office:
        office.desk.announce(opened(fire_event(clock, "1", severity=Severity.SMOKE)), None)
        office.run(1.0)
        office.desk.announce(opened(fire_event(clock, "2", severity=Severity.FIRE)), None)
        office.run(1.0)
    assert [a.event_id for a in phone.alerts] == ["1", "2"]


def test_an_event_that_ended_during_the_cool_down_is_still_told_once(
    tmp_path: Path, clock: FakeClock, phone: Recorder
) -> None:
    with office_in(tmp_path, clock, sinks={"phone": phone}) as office:
        office.desk.announce(opened(fire_event(clock, "1")), None)
        office.run(1.0)
        event = fire_event(clock, "2")
        office.desk.announce(opened(event), None)
        office.run(5.0)
        office.desk.announce(closed(event, clock.now_at()), None)
        office.run(120.0)
    assert [(a.event_id, a.step.value) for a in phone.alerts] == [("1", "opened"), ("2", "closed")]


def test_nobody_acknowledges_so_the_next_receiver_is_told(
    tmp_path: Path, clock: FakeClock, phone: Recorder
) -> None:
    boss = Recorder()
    rules = {"boss": ReceiverRules(escalate_after_s=300.0)}
    with office_in(tmp_path, clock, sinks={"phone": phone, "boss": boss}, rules=rules) as office:
        event = fire_event(clock)
        office.desk.announce(opened(event), _SNAPSHOT)
        office.run(100.0)
        # A camera that is covered by smoke sees no fire any more: the end of an event ends no escalation.
        office.desk.announce(closed(event, clock.now_at()), None)
        office.run(190.0)
        assert boss.steps == []
        office.run(20.0)
        assert boss.steps == ["escalated"]
        assert boss.pictures == [b"jpeg"]
        office.desk.acknowledge("event-1", by="anna")
        office.run(2.0)
    assert boss.steps == ["escalated", "acknowledged"]
    assert phone.steps == ["opened", "closed", "acknowledged"]
    assert phone.alerts[-1].acknowledged_by == "anna"


def test_an_acknowledged_event_is_not_escalated_and_said_once(
    tmp_path: Path, clock: FakeClock, phone: Recorder
) -> None:
    boss = Recorder()
    rules = {"boss": ReceiverRules(escalate_after_s=300.0)}
    with office_in(tmp_path, clock, sinks={"phone": phone, "boss": boss}, rules=rules) as office:
        office.desk.announce(opened(fire_event(clock)), None)
        office.run(10.0)
        office.desk.acknowledge("event-1", by="anna")
        office.desk.acknowledge("event-1", by="bert")
        office.desk.acknowledge("unknown", by="bert")
        office.run(900.0)
    assert boss.steps == []
    assert phone.steps == ["opened", "acknowledged"]
    assert phone.alerts[-1].acknowledged_by == "anna"


def test_escalation_and_what_was_told_outlive_a_restart(
    tmp_path: Path, clock: FakeClock, phone: Recorder
) -> None:
    boss = Recorder()
    sinks, rules = {"phone": phone, "boss": boss}, {"boss": ReceiverRules(escalate_after_s=300.0)}
    with office_in(tmp_path, clock, sinks=sinks, rules=rules) as office:
        office.desk.announce(opened(fire_event(clock)), None)
        office.run(100.0)
    clock.advance(100.0)
    with office_in(tmp_path, clock, sinks=sinks, rules=rules) as office:
        office.run(50.0)
        assert boss.steps == []
        office.run(60.0)
    assert boss.steps == ["escalated"]
    assert phone.steps == ["opened", "closed"]  # who saw the event is gone: its end is told, too
    assert "the box was restarted" in phone.alerts[1].why


def test_a_message_that_was_not_delivered_before_a_restart_goes_out_after_it(
    tmp_path: Path, clock: FakeClock, phone: Recorder
) -> None:
    with office_in(tmp_path, clock, sinks={"phone": phone}) as office:
        office.desk.announce(opened(fire_event(clock)), _SNAPSHOT)
    with office_in(tmp_path, clock, sinks={"phone": phone}) as office:
        office.run(1.0)
    assert phone.steps == ["opened", "closed"]
    assert phone.pictures[0] == b"jpeg"


def test_a_test_neither_waits_nor_makes_wait_nor_escalates(
    tmp_path: Path, clock: FakeClock, phone: Recorder
) -> None:
    boss = Recorder()
    rules = {"boss": ReceiverRules(escalate_after_s=60.0)}
    with office_in(tmp_path, clock, sinks={"phone": phone, "boss": boss}, rules=rules) as office:
        office.desk.announce(opened(fire_event(clock, "1")), None)
        office.run(1.0)
        office.desk.acknowledge("1", by="anna")
        office.desk.announce(opened(fire_event(clock, "2", is_test=True)), None)
        office.run(100.0)
        office.desk.announce(opened(fire_event(clock, "3", is_test=True)), None)
        office.run(1.0)
        office.desk.announce(opened(fire_event(clock, "4")), None)
        office.run(1.0)
    assert [a.event_id for a in phone.alerts if a.step.value == "opened"] == ["1", "2", "3", "4"]
    assert [a.is_test for a in phone.alerts if a.step.value == "opened"] == [0, 1, 1, 0]
    assert boss.steps == []


def test_a_receiver_that_wants_fire_hears_nothing_of_smoke_until_it_is_fire(
    tmp_path: Path, clock: FakeClock, phone: Recorder
) -> None:
    rules = {"phone": ReceiverRules(least=Severity.FIRE)}
    with office_in(tmp_path, clock, sinks={"phone": phone}, rules=rules) as office:
        event = fire_event(clock, severity=Severity.SMOKE)
        office.desk.announce(opened(event), None)
        office.run(5.0)
        assert phone.steps == []
        office.desk.announce(updated(event, severity=Severity.FIRE), None)
        office.run(5.0)
    assert phone.steps == ["opened"]


def test_a_failing_sink_is_a_trouble_until_it_works_and_touches_no_other(
    tmp_path: Path, clock: FakeClock, phone: Recorder
) -> None:
    dead = Recorder(outcomes=[Retry(reason="no answer in time")] * 4)
    with office_in(tmp_path, clock, sinks={"phone": phone, "dead": dead}) as office:
        office.desk.announce(opened(fire_event(clock)), None)
        office.run()
        assert office.deliveries.troubles() == []  # one hiccup is none
        office.run(3.0)
        (trouble,) = office.deliveries.troubles()
        assert (trouble.kind.value, trouble.subject, trouble.code) == ("sink", "dead", "failing")
        assert "no answer in time" in trouble.cause
        assert "alerts test dead" in trouble.remedy
        assert phone.steps == ["opened"]
        office.run(30.0)
        assert dead.steps == ["opened"]
        assert office.deliveries.troubles() == []


def test_a_sink_that_refuses_a_message_is_a_trouble_until_it_takes_another(
    tmp_path: Path, clock: FakeClock, phone: Recorder
) -> None:
    phone.outcomes = [Poison(reason="HTTP 400")] * 3
    with office_in(tmp_path, clock, sinks={"phone": phone}) as office:
        office.desk.announce(opened(fire_event(clock, "bad")), None)
        office.run(30.0)
        assert [t.code for t in office.deliveries.troubles()] == ["refused"]
        assert office.outbox.status().quarantined == 1
        office.desk.announce(opened(fire_event(clock, "good", camera="hall")), None)
        office.run(1.0)
        assert office.deliveries.troubles() == []
    assert [a.event_id for a in phone.alerts] == ["good"]


def test_closed_events_are_forgotten_after_a_day(
    tmp_path: Path, clock: FakeClock, phone: Recorder
) -> None:
    with office_in(tmp_path, clock, sinks={"phone": phone}) as office:
        event = fire_event(clock)
        office.desk.announce(opened(event), None)
        office.run()
        assert phone.burning == {"gate"}
        office.desk.announce(closed(event, clock.now_at()), None)
        office.run(1.0)
        assert phone.burning == frozenset()
        clock.advance(90_000.0)
        office.run(1.0)
        office.desk.acknowledge("event-1", by="late")
        office.run(1.0)
    assert phone.steps == ["opened", "closed"]
