"""Who was told of an event: on its page, over HTTP, in the journal and in the export."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from edge.event.fire_event import EventChange, EventStep, FireEvent
from shared.clock import SystemClock
from tests.helpers.services import Running, running_edge
from tests.helpers.stand_in_clouds import answers, dead_url, stand_in_cloud
from tests.helpers.story import tell_fire
from tests.helpers.waiting import wait_until

_CLOCK = SystemClock()


def webhook(url: str, **settings: Any) -> dict[str, Any]:
    return {"kind": "webhook", "url": url, "timeout_s": 1.0, **settings}


def alerts(edge: Running, event_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = edge.get(f"/events/{event_id}/alerts").json()["result"]["alerts"]
    return found


def came_to(edge: Running, event_id: str) -> set[tuple[str, str, str]]:
    return {(a["sink"], a["step"], a["result"]) for a in alerts(edge, event_id)}


def burning(edge: Running, **changes: Any) -> FireEvent:
    began_at = _CLOCK.now_at() - timedelta(seconds=12)
    return tell_fire(edge.service._kept.records, began_at=began_at, **changes)


def announce(edge: Running, event: FireEvent) -> None:
    edge.service.alerting.desk.announce(EventChange(step=EventStep.OPENED, event=event), None)


def text_of(edge: Running, event_id: str, language: str = "en") -> str:
    page = edge.get(f"/ui/events/{event_id}", headers={"Accept-Language": language}).text
    part = page[page.index('id="event-told"') :]
    return part[: part.index("</section>")]


@pytest.fixture
def edge(tmp_path: Path, models: Path) -> Iterator[Running]:
    with (
        stand_in_cloud(answers({})) as phone,
        stand_in_cloud(answers({}, status=422)) as robot,
        dead_url() as dead,
    ):
        sinks = {
            "phone": webhook(phone.url),
            "robot": webhook(robot.url),
            "dead": webhook(dead),
            "boss": webhook(phone.url, escalate_after_s=3600),
            "brigade": webhook(phone.url, least="fire"),
        }
        with running_edge(tmp_path, models, alerts={"sinks": sinks}) as running:
            yield running


def test_an_event_tells_who_was_told_who_was_not_and_why(edge: Running) -> None:
    event = burning(edge)
    announce(edge, event)
    expected = {
        ("phone", "opened", "delivered"),
        ("brigade", "opened", "delivered"),
        ("robot", "opened", "refused"),
        ("dead", "opened", "retried"),
    }
    wait_until(lambda: came_to(edge, event.event_id) == expected)
    refused = next(a for a in alerts(edge, event.event_id) if a["sink"] == "robot")
    assert "422" in refused["detail"]
    for language, words in (
        ("en", ("delivered", "not delivered since", "refused by the receiver", "if nobody")),
        ("zh", ("送达", "未送达", "被接收方拒绝", "若")),
    ):
        shown = text_of(edge, event.event_id, language)
        assert all(word in shown for word in ("phone", "robot", "dead", "boss", *words))
    edge.service._acknowledge(event.event_id, by="anna")
    wait_until(lambda: ("phone", "acknowledged", "delivered") in came_to(edge, event.event_id))
    assert "somebody acknowledged within 1 h" in text_of(edge, event.event_id)


def test_a_message_that_arrives_at_last_is_noted_once_as_lost_and_once_as_delivered(
    tmp_path: Path, models: Path
) -> None:
    with contextlib.ExitStack() as gone:
        url = gone.enter_context(dead_url())
        sinks = {"phone": webhook(url)}
        with running_edge(tmp_path, models, alerts={"sinks": sinks}) as edge:
            event = burning(edge)
            announce(edge, event)
            wait_until(lambda: edge.service.alerting.deliveries.troubles())  # two tries at least
            assert [a["result"] for a in alerts(edge, event.event_id)] == ["retried"]
            gone.close()
            with stand_in_cloud(answers({}), port=int(url.rpartition(":")[2])):
                wait_until(lambda: len(alerts(edge, event.event_id)) > 1)
            results = [a["result"] for a in alerts(edge, event.event_id)]
            assert results == ["retried", "delivered"]
            shown = text_of(edge, event.event_id)
            assert "not delivered" not in shown
            assert "delivered" in shown


def test_what_a_cool_down_held_back_is_told(tmp_path: Path, models: Path) -> None:
    with running_edge(tmp_path, models, alerts={"cooldown_s": 600}) as edge:
        first, second = burning(edge, seed=1), burning(edge, seed=2)
        announce(edge, first)
        wait_until(lambda: came_to(edge, first.event_id) == {("log", "opened", "delivered")})
        announce(edge, second)
        wait_until(lambda: came_to(edge, second.event_id) == {("log", "opened", "held")})
        assert "held back" in text_of(edge, second.event_id)


def test_without_a_sink_the_page_says_that_nobody_is_told(tmp_path: Path, models: Path) -> None:
    with running_edge(tmp_path, models, alerts={"sinks": {}}) as edge:
        event = burning(edge)
        assert "no receiver is configured" in text_of(edge, event.event_id)
        assert alerts(edge, event.event_id) == []


def test_who_was_told_is_evidence_that_leaves_with_the_export(edge: Running) -> None:
    event = burning(edge)
    announce(edge, event)
    wait_until(lambda: len(alerts(edge, event.event_id)) == 4)
    assert edge.service._kept.records.verify().is_unaltered
    with zipfile.ZipFile(
        io.BytesIO(edge.get(f"/events/{event.event_id}/export").content)
    ) as packed:
        report = packed.read("report.html").decode()
        rows = [json.loads(row) for row in packed.read("journal.jsonl").splitlines()]
    entries = [json.loads(row["line"]) for row in rows if "line" in row]
    assert sum(entry["kind"] == "alerted" for entry in entries) == 4
    assert "Who was told" in report
    assert "refused by the receiver" in report


def test_of_an_event_that_is_gone_nothing_is_noted_and_nothing_fails(edge: Running) -> None:
    records, event = edge.service._kept.records, burning(edge)
    announce(edge, event)
    wait_until(lambda: len(alerts(edge, event.event_id)) == 4)
    notice = records.alerts(event.event_id)[0]
    records.note_alert("another", notice)
    assert edge.get("/events/another/alerts").json()["err_no"] != 0
    assert records.verify().is_unaltered
