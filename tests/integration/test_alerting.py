from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from edge.config.settings import ENV_PREFIX, EdgeSettings
from shared.clock import SystemClock
from shared.config import load_settings
from shared.errors import ConfigError
from shared.model.manifest import shipped_models
from tests.helpers import stand_in_clouds as clouds
from tests.helpers.alerts import fire_event, opened
from tests.helpers.services import Running, running_edge
from tests.helpers.stand_in_clouds import Exchange, answers, dead_url, stand_in_cloud
from tests.helpers.waiting import OwnTime, wait_until

_CLOCK = SystemClock()


def webhook(url: str, **settings: Any) -> dict[str, Any]:
    return {"kind": "webhook", "url": url, "timeout_s": 1.0, **settings}


def troubles(edge: Running) -> list[tuple[str, str, str]]:
    found = edge.get("/troubles").json()["result"]["troubles"]
    return [(t["kind"], t["subject"], t["code"]) for t in found]


def test_the_first_attempt_follows_the_decision_within_two_seconds_beside_broken_sinks(
    tmp_path: Path, models: Path
) -> None:
    with (
        stand_in_cloud(answers({})) as phone,
        stand_in_cloud(clouds.hangs) as hangs,
        stand_in_cloud(clouds.speaks_garbage) as garbage,
        dead_url() as dead,
    ):
        sinks = {
            "hangs": webhook(hangs.url),
            "garbage": webhook(garbage.url),
            "dead": webhook(dead),
            "phone": webhook(phone.url),
        }
        with running_edge(tmp_path, models, alerts={"sinks": sinks}) as edge:
            desk = edge.service.alerting.desk
            for number in range(5):
                event = fire_event(_CLOCK, f"event-{number}", camera=f"camera-{number}")
                decided_at, own_time = _CLOCK.now_at(), OwnTime()
                desk.announce(opened(event), None)
                own_time.wait_until(lambda wanted=number: len(phone.calls) > wanted)
                assert own_time.between_s(decided_at, _CLOCK.now_at()) < 2.0
            broken = {("sink", name, "failing") for name in ("hangs", "garbage", "dead")}
            wait_until(lambda: broken <= set(troubles(edge)))
            assert ("sink", "phone", "failing") not in troubles(edge)
            assert edge.get("/readyz").json()["checks"]["alerts"]["state"] == "degraded"
            metrics = edge.get("/metrics").text
            assert 'fire_edge_alerts_total{result="delivered",sink="phone"} 5.0' in metrics
            assert 'fire_edge_outbox_items{class="alarm"} 15.0' in metrics
            assert "fire_edge_outbox_oldest_seconds" in metrics


def test_a_sink_that_comes_back_gets_everything_and_the_trouble_ends(
    tmp_path: Path, models: Path
) -> None:
    with dead_url() as url:
        port = int(url.rpartition(":")[2])
        sinks = {"phone": webhook(url)}
        with running_edge(tmp_path, models, alerts={"sinks": sinks}) as edge:
            desk = edge.service.alerting.desk
            desk.announce(opened(fire_event(_CLOCK, "first")), None)
            wait_until(lambda: ("sink", "phone", "failing") in troubles(edge))
    # The service was stopped with the message undelivered; its successor delivers it.
    with (
        stand_in_cloud(answers({}), port=port) as phone,
        running_edge(tmp_path, models, alerts={"sinks": sinks}) as edge,
    ):
        wait_until(lambda: phone.calls)
        wait_until(lambda: ("sink", "phone", "failing") not in troubles(edge))
    assert b"first" in phone.calls[0].body


def test_without_any_setting_alerts_are_lines_of_the_log(
    tmp_path: Path, models: Path, log: io.StringIO
) -> None:
    with running_edge(tmp_path, models) as edge:
        edge.service.alerting.desk.announce(opened(fire_event(_CLOCK)), None)
        waiting = edge.service.alerting.outbox.status
        wait_until(lambda: not any(waiting().items.values()))
    assert "Supplements listed fire alarms" in log.getvalue()


def test_wrong_settings_are_refused_with_all_problems_and_without_secrets(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(
        """
[alerts]
base_url = "gate.example"
cooldown_s = -1

[alerts.sinks.a]
kind = "pigeon"

[alerts.sinks.b]
kind = "webhook"

[alerts.sinks.c]
kind = "webhook"
url = "ftp://robot.example/?key=hush"
secret = "hush"
colour = "red"

[alerts.sinks."Ä"]
kind = "log"

[outbox]
max_items = 0
""",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load_settings(EdgeSettings, prefix=ENV_PREFIX, toml_path=path, environ={})
    detail = caught.value.detail
    for part in (
        "alerts.base_url",
        "alerts.cooldown_s",
        "alerts.sinks.a",
        "needs url or url_file",
        "must be http:// or https://",
        "must be whsec_",
        "colour: is not a known setting",
        "alerts.sinks.Ä",
        "outbox.max_items",
    ):
        assert part in detail, detail
    assert "hush" not in detail


def test_a_damaged_outbox_is_moved_away_and_alerts_go_on(tmp_path: Path, models: Path) -> None:
    for name in ("outbox.sqlite3", "alerts.sqlite3"):
        (tmp_path / name).write_bytes(bytes(65_536))
    with stand_in_cloud(answers({})) as phone:
        sinks = {"phone": webhook(phone.url)}
        with running_edge(tmp_path, models, alerts={"sinks": sinks}) as edge:
            edge.service.alerting.desk.announce(opened(fire_event(_CLOCK)), None)
            wait_until(lambda: phone.calls)
            assert ("outbox", "", "set_aside") in troubles(edge)
    kept = {path.name.partition(".damaged-")[0] for path in tmp_path.glob("*.damaged-*")}
    assert kept == {"outbox.sqlite3", "alerts.sqlite3"}


def test_from_the_frame_that_opens_an_event_to_the_first_attempt_two_seconds_are_enough(
    tmp_path: Path,
) -> None:
    own_time = OwnTime()
    arrived_at: list[datetime] = []

    def note(exchange: Exchange) -> None:
        arrived_at.append(_CLOCK.now_at())
        exchange.reply(200)

    cameras = {"yard": {"source": "sim:?ignite_at_s=1&growth_s=3&width_px=640&height_px=360"}}
    with stand_in_cloud(note) as phone:
        sections = {
            "alerts": {"sinks": {"phone": webhook(phone.url)}},
            "cameras": cameras,
            "model": {"variant": None},
        }
        with running_edge(tmp_path, shipped_models(), **sections):
            own_time.wait_until(lambda: arrived_at)
        said = json.loads(phone.calls[0].body)["data"]
    assert said["step"] == "opened"
    assert said["camera"] == "yard"
    assert len(said["snapshot_base64"]) > 1000
    # The event opens at the capture of its frame, which is before the decision.
    opened_at = datetime.fromisoformat(said["opened_at"])
    assert own_time.between_s(opened_at, arrived_at[0]) < 2.0
