from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from edge.config import ENV_PREFIX, EdgeSettings
from shared.clock import SystemClock
from shared.config import load_settings
from shared.errors import ConfigError
from tests.helpers import stand_in_clouds as clouds
from tests.helpers.alerts import fire_event, opened
from tests.helpers.services import Running, running_edge
from tests.helpers.stand_in_clouds import answers, dead_url, stand_in_cloud

_CLOCK = SystemClock()


def webhook(url: str, **settings: Any) -> dict[str, Any]:
    return {"kind": "webhook", "url": url, "timeout_s": 1.0, **settings}


def wait_until(is_so: Any, seconds: float = 10.0) -> float:
    """Wait, and tell how long it took."""
    started_s = time.monotonic()
    while not is_so():
        assert time.monotonic() - started_s < seconds, "did not come to be"
        time.sleep(0.01)
    return time.monotonic() - started_s


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
                desk.announce(opened(event), None)
                took_s = wait_until(lambda wanted=number: len(phone.calls) > wanted)
                assert took_s < 2.0
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
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_edge(tmp_path, models) as edge:
        edge.service.alerting.desk.announce(opened(fire_event(_CLOCK)), None)
        waiting = edge.service.alerting.outbox.status
        wait_until(lambda: not any(waiting().items.values()))
    assert "Supplements listed fire alarms" in capsys.readouterr().out


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
