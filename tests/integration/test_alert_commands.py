from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge.cli import main
from edge.outbox.item import Delivered, OutboxItem, Outcome, Poison
from shared.clock import SystemClock
from tests.helpers.alerts import item, outbox_in
from tests.helpers.mosquitto import listener, mosquitto
from tests.helpers.stand_in_clouds import answers, dead_url, stand_in_cloud
from tests.helpers.waiting import wait_until


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def config(folder: Path, sink: str) -> str:
    path = folder / "edge.toml"
    path.write_text(f'[alerts]\nbox_name = "hut"\n[alerts.sinks.phone]\n{sink}\n', encoding="utf-8")
    return str(path)


def test_a_sample_reaches_a_webhook_and_says_that_it_is_a_test(tmp_path: Path) -> None:
    with stand_in_cloud(answers({})) as phone:
        path = config(tmp_path, f'kind = "webhook"\nurl = "{phone.url}"')
        result = call("alerts", "test", "phone", "--config", path)
    assert result.exit_code == 0, result.output
    assert result.output == "phone: delivered\n"
    said = json.loads(phone.calls[0].body)
    assert said["data"]["is_test"] is True
    assert "TEST, no real fire" in said["data"]["text"]
    assert said["data"]["box_name"] == "hut"
    assert len(said["data"]["snapshot_base64"]) > 1000


def test_a_sample_that_fails_says_why(tmp_path: Path) -> None:
    with dead_url() as url:
        path = config(tmp_path, f'kind = "webhook"\nurl = "{url}"')
        result = call("alerts", "test", "phone", "--config", path)
    assert result.exit_code == 1
    assert "Connection refused" in result.output
    with stand_in_cloud(answers({}, status=400)) as phone:
        path = config(tmp_path, f'kind = "webhook"\nurl = "{phone.url}"')
        result = call("alerts", "test", "phone", "--config", path)
    assert result.exit_code == 1
    assert "refused: HTTP 400" in result.output


def test_a_sample_over_mqtt_disturbs_no_running_box(tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt")
    with mosquitto(tmp_path) as broker, listener(broker.port) as heard:
        path = config(tmp_path, f'kind = "mqtt"\nhost = "127.0.0.1"\nport = {broker.port}')
        result = call("alerts", "test", "phone", "--config", path)
        assert result.exit_code == 0, result.output
        wait_until(lambda: len(heard.messages) >= 2)
        topics = {topic for topic, _, _ in heard.messages}
    assert topics == {"emberlink/hut/event", "emberlink/hut/sample/snapshot"}


def test_an_unknown_sink_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    path = config(tmp_path, 'kind = "log"')
    result = call("alerts", "test", "fax", "--config", path)
    assert result.exit_code == 2
    assert "no sink is called 'fax'; there are phone" in result.output


def test_check_names_every_sink(tmp_path: Path) -> None:
    result = call("check", "--config", config(tmp_path, 'kind = "log"'))
    assert "ok    alerts to phone (log)" in result.output


def test_refused_items_are_listed_tried_again_and_dropped_beside_a_running_service(
    tmp_path: Path,
) -> None:
    state = ["--state", str(tmp_path)]
    is_well, arrived = threading.Event(), threading.Event()

    def deliver(one: OutboxItem) -> Outcome:
        if not is_well.is_set():
            return Poison(reason="HTTP 422")
        arrived.set()
        return Delivered()

    with outbox_in(tmp_path, SystemClock()) as outbox:
        outbox.handle("cloud", deliver)
        outbox.put([item("a"), item("b", key="other")])
        outbox.start()
        rows = []
        for _ in range(200):
            rows = [
                json.loads(line)
                for line in call("outbox", "ls", "--json", *state).stdout.splitlines()
            ]
            if all(row["quarantined_at"] for row in rows):
                break
            threading.Event().wait(0.1)
        assert [(row["item_id"], row["error"]) for row in rows] == [
            ("a", "HTTP 422"),
            ("b", "HTTP 422"),
        ]
        assert "refused: HTTP 422" in call("outbox", "ls", *state).output
        is_well.set()
        assert call("outbox", "drop", "b", *state).output == "b: dropped\n"
        assert call("outbox", "retry", "a", *state).output == "a: is tried again\n"
        assert arrived.wait(40)
    assert call("outbox", "ls", *state).stdout == ""


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    missing = call("outbox", "ls", "--state", str(tmp_path))
    assert missing.exit_code == 2
    assert "outbox.sqlite3 does not exist" in missing.output
    with outbox_in(tmp_path, SystemClock()):
        pass
    for verb in ("retry", "drop"):
        result = call("outbox", verb, "nothing", "--state", str(tmp_path))
        assert result.exit_code == 2
        assert "'nothing'" in result.output
