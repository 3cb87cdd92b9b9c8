from __future__ import annotations

import re

import pytest

from tests.helpers.pictures import fire_jpeg, unsure_jpeg
from tests.helpers.services import running_cloud, running_edge, taken_place
from tests.helpers.stand_in_clouds import dead_url

_BOTH = pytest.mark.parametrize("service", ["edge", "cloud"])
_CHECK_STATES = {"ok", "degraded", "failed"}


def _metrics(running) -> dict[str, float]:
    rows = [line.rpartition(" ") for line in running.get("/metrics").text.splitlines()]
    return {name: float(value) for name, _, value in rows if name and not name.startswith("#")}


@_BOTH
def test_health_is_what_its_callers_expect(pair, service):
    answer = pair.named(service).get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


@_BOTH
def test_a_service_that_is_alive_says_so(pair, service):
    assert pair.named(service).get("/healthz").status_code == 200


@_BOTH
def test_readiness_lists_its_checks(pair, service):
    answer = pair.named(service).get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    for check in answer.json()["checks"].values():
        assert set(check) == {"state", "text"}
        assert check["state"] in _CHECK_STATES


def test_the_edge_checks_everything_it_needs(pair):
    checks = pair.edge.get("/readyz").json()["checks"]
    assert {"model", "cameras", "cloud_link", "budget", "disk"} <= checks.keys()


def test_the_edge_stays_ready_while_its_cloud_is_away(tmp_path, models):
    sections = {"breaker": {"failures_to_open": 1}, "cloud": {"tries": 1}}
    with dead_url() as url, running_edge(tmp_path, models, url, **sections) as edge:
        edge.show("/joint_predict", unsure_jpeg())
        answer = edge.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["checks"]["cloud_link"]["state"] == "degraded"


def test_the_edge_is_ready_without_any_cloud(tmp_path, models):
    with running_edge(tmp_path, models) as edge:
        assert edge.get("/readyz").json()["status"] == "ready"


def test_an_empty_budget_degrades_the_edge(tmp_path, models):
    with running_edge(tmp_path, models, policy={"daily_limit": "0.01"}) as edge:
        assert edge.get("/readyz").json()["checks"]["budget"]["state"] == "degraded"


def test_a_ledger_that_cannot_be_written_degrades_the_edge(tmp_path, models):
    sections = {"policy": {"name": "always"}}
    with running_edge(tmp_path, models, "mock:?latency_s=0", **sections) as edge:
        edge.service._kept.ledger.close()
        edge.show("/joint_predict", fire_jpeg())
        check = edge.get("/readyz").json()["checks"]["disk"]
    assert check["state"] == "degraded"


def test_a_cloud_without_its_model_is_not_ready_and_says_when_to_ask_again(tmp_path, models):
    with running_cloud(tmp_path, models) as cloud:
        cloud.service.house._trouble = "no model"
        answer = cloud.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")
    assert answer.headers["Retry-After"]


@_BOTH
def test_version_tells_the_limits_and_the_model(pair, service):
    body = pair.named(service).get("/version").json()
    assert body["limits"].keys() >= {"max_bytes", "max_pixels", "max_batch", "formats"}
    assert set(body["model"]) == {"name", "version", "sha256_12"}


@_BOTH
def test_metrics_are_in_the_text_format(pair, service):
    answer = pair.named(service).get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")


@_BOTH
def test_every_metric_bears_its_service_s_prefix(pair, service):
    pair.named(service).show("/predict" if service == "edge" else "/infer", fire_jpeg())
    assert all(name.startswith(f"fire_{service}_") for name in _metrics(pair.named(service)))


def test_the_edge_s_metrics_bear_the_names_of_the_contract(pair):
    pair.edge.show("/joint_predict", fire_jpeg())
    names = {re.sub(r"\{.*", "", name) for name in _metrics(pair.edge)}
    assert {
        "fire_edge_frames_total",
        "fire_edge_stage_seconds_bucket",
        "fire_edge_budget_remaining",
        "fire_edge_breaker_state",
        "fire_edge_build_info",
        "fire_edge_model_info",
    } <= names


def test_what_a_box_may_run_out_of_is_told_by_kind(tmp_path, models):
    sections = {
        "policy": {"name": "always", "daily_limit": "5", "monthly_limit": "3"},
        "cloud": {"uplink_bytes_per_s": 50_000, "uplink_burst_bytes": 50_000},
    }
    with running_edge(tmp_path, models, "mock:?latency_s=0", **sections) as edge:
        before = _metrics(edge)
        assert edge.show("/joint_predict", fire_jpeg()).json()["source"] == "cloud"
        after = _metrics(edge)
    left = {
        kind: after[f'fire_edge_budget_remaining{{kind="{kind}"}}']
        for kind in ("money", "month", "uplink_bytes")
    }
    assert before['fire_edge_budget_remaining{kind="uplink_bytes"}'] == 50_000
    assert left["money"] == left["month"] == pytest.approx(2.98)
    assert 0 < left["uplink_bytes"] <= 50_000


def test_the_cloud_s_metrics_bear_the_names_of_the_contract(pair):
    pair.cloud.show("/infer", fire_jpeg())
    names = {re.sub(r"\{.*", "", name) for name in _metrics(pair.cloud)}
    assert {
        "fire_cloud_requests_total",
        "fire_cloud_queue_items",
        "fire_cloud_queue_wait_seconds_bucket",
        "fire_cloud_batch_size_bucket",
        "fire_cloud_infer_seconds_bucket",
        "fire_cloud_build_info",
        "fire_cloud_model_info",
    } <= names


def test_a_posted_camera_name_never_becomes_a_label(tmp_path, models):
    with running_edge(tmp_path, models) as edge:
        for number in range(5):
            edge.post(
                "/joint_predict",
                params={"camera": f"invented-{number}"},
                data=fire_jpeg(),
                headers={"Content-Type": "image/jpeg"},
            )
        metrics = _metrics(edge)
    assert not any("invented" in name for name in metrics)
    assert metrics['fire_edge_frames_total{camera="http",outcome="edge"}'] == 5


def test_an_unknown_path_never_becomes_a_label(pair):
    pair.cloud.get("/invented")
    metrics = _metrics(pair.cloud)
    assert not any("invented" in name for name in metrics)


@pytest.mark.parametrize("outcome", ["edge", "cloud", "edge_fallback", "failed"])
def test_each_posted_frame_is_counted_once_by_its_outcome(tmp_path, models, outcome):
    policy = {"name": "always", "daily_limit": 0 if outcome == "edge_fallback" else 10}
    picture = fire_jpeg()[:-200] if outcome == "failed" else fire_jpeg()
    cloud = "" if outcome == "edge" else "mock:?latency_s=0"
    with running_edge(tmp_path, models, cloud, policy=policy) as edge:
        edge.show("/joint_predict", picture)
        metrics = _metrics(edge)
    counted = {n: v for n, v in metrics.items() if n.startswith("fire_edge_frames_total") and v}
    assert counted == {f'fire_edge_frames_total{{camera="http",outcome="{outcome}"}}': 1.0}


def test_a_full_cloud_says_when_to_come_back(tmp_path, models):
    with running_cloud(tmp_path, models, engine={"places": 1}) as cloud, taken_place(cloud):
        answer = cloud.show("/infer", fire_jpeg())
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1


def test_an_answer_of_the_cloud_tells_where_its_time_went(pair):
    timing = pair.cloud.show("/infer", fire_jpeg()).headers["Server-Timing"]
    stages = ("decode", "queue", "infer", "post")
    assert re.fullmatch(", ".join(rf"{stage};dur=[\d.]+" for stage in stages), timing)


def test_no_web_page_elsewhere_may_call_by_default(pair):
    answer = pair.edge.get("/health", headers={"Origin": "https://console.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [("https://console.example", True), ("https://evil.example", False), ("null", False)],
)
def test_a_web_page_may_call_from_an_origin_that_was_configured(
    tmp_path, models, origin, is_allowed
):
    server = {"cors_origins": ["https://console.example"]}
    with running_edge(tmp_path, models, server=server) as edge:
        answer = edge.show("/predict", fire_jpeg(), Origin=origin)
    assert (answer.headers.get("Access-Control-Allow-Origin") == origin) == is_allowed


def test_an_error_reaches_a_web_page_too(tmp_path, models):
    server = {"cors_origins": ["https://console.example"]}
    with running_edge(tmp_path, models, server=server) as edge:
        answer = edge.show("/predict", b"x", Origin="https://console.example")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://console.example"


def test_a_browser_may_ask_before_it_posts(tmp_path, models):
    server = {"cors_origins": ["https://console.example"]}
    headers = {"Origin": "https://console.example", "Access-Control-Request-Method": "POST"}
    with running_edge(tmp_path, models, server=server) as edge:
        answer = edge.call("OPTIONS", "/predict", headers=headers)
    assert answer.status_code == 200
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
