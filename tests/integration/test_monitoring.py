"""Prometheus, its rules and the dashboard, against the services themselves."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from docs.dashboard import queries
from docs.generate import DASHBOARD
from shared.access.users import add_token
from shared.roles import Role
from tests.helpers.pictures import fire_jpeg
from tests.helpers.prometheus import PROMETHEUS, PROMTOOL, Prometheus, running_prometheus
from tests.helpers.services import Running, running_cloud, running_edge
from tests.helpers.waiting import wait_until

_DEPLOY = Path(__file__).parents[2] / "deploy" / "prometheus"
_NAME = re.compile(r"\bfire_(?:edge|cloud)_[a-z0-9_]+")
_LIMIT = re.compile(r"(==|>|<=|<) [0-9.]+")
_STAGES = {"capture", "queue", "decode", "classify", "decide", "forward", "fuse", "record", "alert"}
_needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed")
_needs_prometheus = pytest.mark.skipif(not PROMETHEUS, reason="prometheus is not installed")


@pytest.fixture(scope="module")
def pair(tmp_path_factory, models) -> Iterator[tuple[Running, Running]]:
    folder = tmp_path_factory.mktemp("watched")
    sections = {
        "cameras": {"yard": {"source": "sim:"}},
        "policy": {"name": "always", "daily_limit": 100},
        "alerts": {"sinks": {"book": {"kind": "log"}}},
    }
    with (
        running_cloud(folder / "cloud", models) as cloud,
        running_edge(folder / "edge", models, cloud.url, **sections) as edge,
    ):
        edge.show("/joint_predict", fire_jpeg())
        yield edge, cloud


@pytest.fixture(scope="module")
def prometheus(pair, tmp_path_factory) -> Iterator[Prometheus]:
    edge, cloud = pair
    jobs = {"emberlink-edge": edge.port, "emberlink-cloud": cloud.port}
    folder = tmp_path_factory.mktemp("prometheus")
    with running_prometheus(folder, _DEPLOY / "alerts.yml", jobs) as running:
        for job in jobs:
            running.wait_for(f'up{{job="{job}"}} == 1')
        yield running


def told(pair) -> set[str]:
    """Name every series that both services give now."""
    lines = [line for running in pair for line in running.get("/metrics").text.splitlines()]
    return {re.split(r"[{ ]", line)[0] for line in lines if not line.startswith("#")}


def rules() -> list[dict[str, str]]:
    groups = yaml.safe_load((_DEPLOY / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@_needs_promtool
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
    ],
)
def test_the_shipped_files_are_what_prometheus_takes(arguments):
    done = subprocess.run(
        [str(PROMTOOL), *arguments], cwd=_DEPLOY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_says_what_to_do(pair):
    for rule in rules():
        assert set(rule["annotations"]) == {"summary", "remedy"}
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_every_alert_looks_at_metrics_that_exist(pair):
    names = {name for rule in rules() for name in _NAME.findall(rule["expr"])}
    assert names
    assert names <= told(pair)


def test_every_query_of_the_dashboard_looks_at_metrics_that_exist(pair):
    names = {name for query in queries() for name in _NAME.findall(query)}
    assert names
    assert names <= told(pair)


def test_the_dashboard_is_the_one_that_the_code_describes():
    body = json.loads(DASHBOARD.read_text())
    written = [t["expr"] for panel in body["panels"] for t in panel.get("targets", ())]
    assert written == list(queries())
    titles = [panel["title"] for panel in body["panels"] if panel["type"] == "row"]
    assert titles == ["Is it watching?", "Is it right?", "Is it fast?", "What does it cost?"]
    ids = [panel["id"] for panel in body["panels"]]
    assert len(set(ids)) == len(ids)


def test_the_names_of_the_contract_are_all_there(pair):
    names = told(pair)
    for wanted in (
        "fire_edge_frames_total",
        "fire_edge_frame_age_seconds",
        "fire_edge_stage_seconds_bucket",
        "fire_edge_confidence_bucket",
        "fire_edge_threshold_ratio",
        "fire_edge_budget_remaining",
        "fire_edge_breaker_state",
        "fire_edge_outbox_items",
        "fire_edge_outbox_bytes",
        "fire_edge_outbox_oldest_seconds",
        "fire_edge_events_total",
        "fire_edge_alerts_total",
        "fire_edge_trouble_active",
        "fire_edge_evidence_bytes",
        "fire_edge_evidence_oldest_seconds",
        "fire_edge_build_info",
        "fire_edge_model_info",
        "fire_cloud_requests_total",
        "fire_cloud_queue_items",
        "fire_cloud_queue_wait_seconds_bucket",
        "fire_cloud_batch_size_bucket",
        "fire_cloud_infer_seconds_bucket",
        "fire_cloud_dropped_total",
        "fire_cloud_build_info",
        "fire_cloud_model_info",
    ):
        assert wanted in names


def stage_times(edge: Running) -> dict[str, tuple[float, int]]:
    """Give seconds and number of what was booked on each stage of the line."""
    text = edge.get("/metrics").text
    found = re.findall(r'fire_edge_stage_seconds_(sum|count)\{stage="(\w+)"\} (\S+)', text)
    values = {(what, stage): float(value) for what, stage, value in found}
    return {s: (values["sum", s], int(values["count", s])) for w, s in values if w == "sum"}


def test_every_stage_from_the_camera_to_the_alert_is_timed(tmp_path, models):
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(30):
        (frames / f"{number:02}.jpg").write_bytes(fire_jpeg())
    sections = {
        "cameras": {"yard": {"source": str(frames), "fps": 1}},
        "policy": {"name": "always", "daily_limit": 100},
        "alerts": {"sinks": {"book": {"kind": "log"}}},
    }
    with (
        running_cloud(tmp_path / "cloud", models) as cloud,
        running_edge(tmp_path / "edge", models, cloud.url, **sections) as edge,
    ):
        wait_until(lambda: all(number > 0 for _, number in stage_times(edge).values()), 30)
        times = stage_times(edge)
    assert set(times) == _STAGES
    assert all(total_s > 0 for total_s, _ in times.values())
    capture_s, frames_read = times["capture"]
    assert capture_s < 0.5 * frames_read  # reading a file, without the second until the next one


@_needs_prometheus
def test_a_real_prometheus_tells_what_the_services_told_it(pair, prometheus):
    edge, _ = pair
    asked = 'fire_edge_frames_total{camera="http",outcome="cloud"}'
    prometheus.wait_for(asked)
    assert prometheus.value(asked) == 1.0
    assert prometheus.value('fire_cloud_requests_total{route="/infer",code="200"}') >= 1.0
    assert prometheus.value('fire_edge_frame_age_seconds{camera="yard"}') < 60
    build = prometheus.query("fire_edge_build_info")[0]["metric"]
    assert build["version"] == edge.get("/version").json()["version"]


def whatever_its_value(expression: str) -> str:
    """Open the limits of an expression, so that it gives what it looks at."""
    return _LIMIT.sub("> -1", expression)


@_needs_prometheus
@pytest.mark.parametrize("query", sorted(set(queries())))
def test_every_panel_of_the_dashboard_has_something_to_show(prometheus, query):
    prometheus.wait_for(whatever_its_value(query.replace("$edge", "127.0.0.1:.*")))


@_needs_prometheus
@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_rule_looks_at_what_is_there_and_a_healthy_pair_raises_none(prometheus, rule):
    prometheus.wait_for(whatever_its_value(rule["expr"]))
    assert prometheus.query(rule["expr"]) == []


@_needs_prometheus
def test_prometheus_gets_in_with_a_token_where_metrics_are_closed(tmp_path, models):
    token_file = tmp_path / "token"
    token_file.write_text(add_token(tmp_path / "users.json", "prometheus", Role.VIEWER))
    access = {"metrics_are_open": False}
    with running_edge(tmp_path, models, access=access) as edge:
        jobs, tokens = {"open": edge.port, "closed": edge.port}, {"open": token_file}
        rules_path = _DEPLOY / "alerts.yml"
        with running_prometheus(tmp_path / "p", rules_path, jobs, tokens) as prometheus:
            prometheus.wait_for('up{job="open"} == 1')
            prometheus.wait_for('up{job="closed"} == 0')
