from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from edge.alert.message import sample
from edge.alert.sinks import Sink
from edge.alert.webhook import retry_after_s
from edge.config.alerts import AlertsSection
from edge.outbox.item import Delivered, Outcome, Poison, Retry
from edge.wiring.sinks import build_receivers
from shared.clock import SystemClock
from shared.errors import ConfigError
from tests.helpers import stand_in_clouds as clouds
from tests.helpers.stand_in_clouds import Answer, answers, dead_url, stand_in_cloud

_SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def sink_at(url: str, **settings: Any) -> Sink:
    section = {"kind": "webhook", "url": url, "timeout_s": 20.0, **settings}
    alerts = AlertsSection.model_validate({"sinks": {"phone": section}})
    return build_receivers(alerts, (), SystemClock())["phone"].sink


def send(url: str, picture: bytes | None = None, **settings: Any) -> Outcome:
    sink = sink_at(url, **settings)
    try:
        return sink.deliver(sample("gate"), picture)
    finally:
        sink.close()


def test_the_receiver_can_verify_the_message_with_the_library_of_the_specification() -> None:
    with stand_in_cloud(answers({})) as receiver:
        assert send(f"{receiver.url}/hook", b"jpeg", secret=_SECRET) == Delivered()
    (call,) = receiver.calls
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    headers = {name: call.header(name) or "" for name in names}
    said = Webhook(_SECRET).verify(call.body, headers)
    assert headers["webhook-id"] == "sample"
    assert said["type"] == "fire.test.opened"
    assert said["data"]["camera"] == "gate"
    assert said["data"]["is_test"] is True
    assert base64.b64decode(said["data"]["snapshot_base64"]) == b"jpeg"


def test_a_message_without_a_secret_is_not_signed() -> None:
    with stand_in_cloud(answers({})) as receiver:
        assert send(receiver.url) == Delivered()
    assert receiver.calls[0].header("webhook-signature") is None


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("wecom", ("text", "content")),
        ("dingtalk", ("text", "content")),
        ("slack", ("text",)),
    ],
)
def test_chat_robots_get_the_form_they_document(template: str, path: tuple[str, ...]) -> None:
    with stand_in_cloud(answers({"errcode": 0, "errmsg": "ok"})) as robot:
        assert send(robot.url, template=template, language="both") == Delivered()
    text: Any = json.loads(robot.calls[0].body)
    for key in path:
        text = text[key]
    assert "TEST, no real fire: Fire on camera gate, upper left of the picture" in text
    assert "【测试，并非真实火情】明火：摄像机 gate，画面左上" in text
    assert "Supplements listed fire alarms" in text
    assert "不替代消防报警设备" in text


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (
            {"errcode": 93000, "errmsg": "invalid webhook url"},
            Retry(reason="errcode 93000 invalid webhook url"),
        ),
        (
            {"errcode": 45009, "errmsg": "too often"},
            Retry(reason="errcode 45009 too often", retry_after_s=60.0),
        ),
        ({"ok": True}, Retry(reason="the robot's answer holds no errcode")),
        ([], Retry(reason="the robot's answer holds no errcode")),
    ],
)
def test_a_robot_that_says_no_in_a_200_is_not_believed(said: Any, outcome: Outcome) -> None:
    with stand_in_cloud(answers(said)) as robot:
        assert send(robot.url, template="wecom") == outcome


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (answers({}, status=204), Delivered()),
        (answers({}, status=400), Poison(reason="HTTP 400")),
        (answers({}, status=413), Poison(reason="HTTP 413")),
        (answers({}, status=401), Retry(reason="HTTP 401")),
        (answers({}, status=404), Retry(reason="HTTP 404")),
        (answers({}, status=500), Retry(reason="HTTP 500")),
        (
            answers({}, status=503, Retry_After="17"),
            Retry(reason="HTTP 503", retry_after_s=17.0),
        ),
        (answers({}, status=302, Location="http://127.0.0.1:1/"), Retry(reason="HTTP 302")),
    ],
)
def test_the_status_tells_whether_to_try_again(answer: Answer, outcome: Outcome) -> None:
    with stand_in_cloud(answer) as receiver:
        assert send(receiver.url) == outcome
    assert len(receiver.calls) == 1


@pytest.mark.parametrize(
    "answer",
    [
        clouds.hangs,
        clouds.drips_headers,
        clouds.closes_at_once,
        clouds.speaks_garbage,
        clouds.closes_mid_body,
        clouds.sends_without_end,
    ],
)
def test_a_receiver_that_hangs_or_talks_nonsense_costs_its_time_limit_at_most(
    answer: Answer,
) -> None:
    started_s = time.monotonic()
    with stand_in_cloud(answer) as receiver:
        outcome = send(receiver.url, template="wecom", timeout_s=1.0)
    assert isinstance(outcome, Retry)
    assert time.monotonic() - started_s < 15.0


def test_a_receiver_that_refuses_connections_is_tried_again() -> None:
    with dead_url() as url:
        outcome = send(f"{url}/hook?key=very-secret")
    assert outcome == Retry(reason="cannot be reached: Connection refused")


def test_a_template_of_ones_own_fills_in_fields_and_nothing_can_break_out(tmp_path: Path) -> None:
    template = tmp_path / "body.json"
    template.write_text(
        '{"msg": {"title": "${title}", "at": "${began_at}", "n": 3}, "to": ["$camera"]}'
    )
    camera = 'ga"te\\, "x": "${text}'
    with stand_in_cloud(answers({})) as receiver:
        sink = sink_at(receiver.url, template_file=str(template))
        assert sink.deliver(sample(camera), None) == Delivered()
        sink.close()
    said = json.loads(receiver.calls[0].body)
    assert said["to"] == [camera]
    assert said["msg"]["n"] == 3
    assert said["msg"]["at"] == "2026-01-01T12:00:00+00:00"
    assert set(said) == {"msg", "to"}


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{", "is not JSON"),
        ('{"text": "${nonsense}"}', "${nonsense} is not known"),
        ('{"text": "5 $ fine"}', "lone $"),
        ("[" * 30_000, "is longer than"),
    ],
)
def test_a_wrong_template_is_refused_at_start(tmp_path: Path, template: str, problem: str) -> None:
    path = tmp_path / "body.json"
    path.write_text(template)
    with pytest.raises(ConfigError) as caught:
        sink_at("http://127.0.0.1:1", template_file=str(path))
    assert problem in caught.value.detail
    assert "alerts.sinks.phone" in caught.value.detail


def test_all_problems_of_all_sinks_are_told_at_once_without_their_secrets(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("ftp://robot.example/send?key=hush")
    (tmp_path / "secret").write_text("whsec_hush")
    good = {"kind": "webhook", "url": "http://127.0.0.1:1"}
    sinks = {
        "a": {"kind": "webhook", "url_file": str(tmp_path / "url")},
        "b": {**good, "secret_file": str(tmp_path / "secret")},
        "c": {**good, "secret_file": str(tmp_path / "missing")},
        "d": {**good, "ca_file": str(tmp_path / "missing")},
        "e": good,
    }
    with pytest.raises(ConfigError) as caught:
        build_receivers(AlertsSection.model_validate({"sinks": sinks}), (), SystemClock())
    lines = caught.value.detail.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"alerts.sinks.{name}" for name in "abcd"]
    assert "hush" not in caught.value.detail


def test_neither_address_nor_secret_is_shown_by_repr_or_errors() -> None:
    with dead_url() as url:
        sink = sink_at(f"{url}/hook?access_token=hush", secret=_SECRET)
        outcome = sink.deliver(sample(), None)
        sink.close()
    shown = repr(vars(sink)) + repr(outcome)
    assert "hush" not in shown
    assert _SECRET not in shown


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    now_at = datetime(2026, 3, 10, 12, 0, 0, tzinfo=UTC)
    assert retry_after_s("120", now_at) == 120.0
    assert retry_after_s("Tue, 10 Mar 2026 12:01:30 GMT", now_at) == 90.0
    assert retry_after_s("Tue, 10 Mar 2020 12:01:30 GMT", now_at) == 0.0
    assert retry_after_s("999999", now_at) == 3600.0
    assert retry_after_s("soon", now_at) is None
    assert retry_after_s("", now_at) is None
