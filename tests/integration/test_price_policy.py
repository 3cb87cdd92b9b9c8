"""The price policy over HTTP: what it asks, what it tells, and when it alarms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.clock import FakeClock
from tests.helpers.pictures import calm_jpeg, fire_jpeg, unsure_jpeg
from tests.helpers.services import Running, running_edge
from tests.helpers.tiny_models import write_classifier

_ON_PLAN = {"name": "price", "daily_limit": 10, "audit": 0}
_YES, _NO = "mock:?latency_s=0&label=fire", "mock:?latency_s=0&label=none"


def decisions(
    edge: Running, pictures: list[bytes], clock: FakeClock, camera: str = ""
) -> list[dict]:
    found = []
    for picture in pictures:
        found.append(edge.show(f"/joint_predict{camera}", picture).json()["decision"])
        clock.advance(1.0)
    return found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_two_identical_anonymous_posts_get_the_same_decision(tmp_path: Path, models: Path, clock):
    with running_edge(tmp_path, models, _NO, clock=clock, policy=_ON_PLAN) as edge:
        first, second = decisions(edge, [unsure_jpeg(), unsure_jpeg()], clock)
    assert (first["reason"], first["tier"]) == (second["reason"], second["tier"])


def test_a_camera_is_not_asked_about_again_right_after_a_cloud_no(tmp_path, models, clock):
    price = {**_ON_PLAN, "price_min": 0.4}
    with running_edge(tmp_path, models, _NO, clock=clock, policy=price) as edge:
        first, second = decisions(edge, [unsure_jpeg()] * 2, clock, "?camera=gate")
    assert (first["reason"], second["reason"]) == ("cloud_routine", "edge_already_asked")


def test_a_cloud_yes_is_confirmed_with_the_next_frame(tmp_path, models, clock):
    with running_edge(tmp_path, models, _YES, clock=clock, policy=_ON_PLAN) as edge:
        _, second = decisions(edge, [unsure_jpeg(), calm_jpeg()], clock, "?camera=gate")
    assert second["reason"] == "cloud_confirm"


def test_a_confirmed_fire_is_not_paid_for_again_at_once(tmp_path, models, clock):
    with running_edge(tmp_path, models, _YES, clock=clock, policy=_ON_PLAN) as edge:
        reasons = [d["reason"] for d in decisions(edge, [fire_jpeg()] * 5, clock, "?camera=gate")]
    assert reasons[-1] == "edge_already_alarmed"


def test_a_decision_tells_value_and_price_and_the_price_ruled(tmp_path, models, clock):
    price = {**_ON_PLAN, "price_min": 1.0}
    with running_edge(tmp_path, models, _YES, clock=clock, policy=price) as edge:
        (kept,) = decisions(edge, [unsure_jpeg()], clock)
    assert (kept["reason"], kept["forward"], kept["charged"]) == ("edge_below_price", False, False)
    assert kept["value"] < kept["price"] == 1.0


def test_explaining_charges_nothing_and_changes_nothing(tmp_path, models, clock):
    with running_edge(tmp_path, models, _NO, clock=clock, policy=_ON_PLAN) as edge:
        before = edge.get("/policy").json()["result"]
        told = [edge.get("/policy/explain?fire=0.5&camera=gate").json()["result"] for _ in range(3)]
        assert edge.get("/policy").json()["result"] == before
    assert told[0] == told[1] == told[2]
    assert told[0]["decision"]["reason"] == "cloud_routine"


@pytest.mark.parametrize(
    ("question", "err_no", "named"),
    [
        ("fire=nan", 1004, "fire: "),
        ("fire=1.5", 1004, "fire: "),
        ("smoke=0.5", 1003, "fire is missing"),
        ("fire=0.5&colour=red", 1004, "colour is not known here"),
        ("colour=red", 1004, "fire is missing"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_by_name(
    tmp_path, models, question, err_no, named
):
    with running_edge(tmp_path, models, policy=_ON_PLAN) as edge:
        answer = edge.get(f"/policy/explain?{question}")
    assert (answer.status_code, answer.json()["err_no"]) == (400, err_no)
    assert named in answer.json()["detail"]


@pytest.mark.parametrize("name", ["fixed", "sliding_window", "always", "edge_only", "price"])
def test_every_policy_can_explain_itself(tmp_path, models, name):
    with running_edge(tmp_path, models, _NO, policy={**_ON_PLAN, "name": name}) as edge:
        answer = edge.get("/policy/explain?fire=0.55").json()
        assert answer["err_no"] == 0
        assert edge.get("/policy").json()["result"]["policy"] == name


def test_the_sums_of_the_day_are_told(tmp_path, models, clock):
    with running_edge(tmp_path, models, _NO, clock=clock, policy=_ON_PLAN) as edge:
        decisions(edge, [unsure_jpeg()], clock)
        told = edge.get("/policy").json()["result"]
    assert (told["spent"], told["left"], told["elapsed"]) == (
        0.02,
        9.98,
        pytest.approx(0.5, abs=0.001),
    )
    assert told["breaker"] == "closed"


def test_what_is_left_today_is_never_more_than_what_the_month_leaves(tmp_path, models, clock):
    policy = {**_ON_PLAN, "monthly_limit": 1}
    with running_edge(tmp_path, models, _NO, clock=clock, policy=policy) as edge:
        assert edge.get("/policy").json()["result"]["left"] == 1.0


def test_the_price_survives_a_restart(tmp_path, models, clock):
    with running_edge(tmp_path, models, _NO, clock=clock, policy=_ON_PLAN) as edge:
        decisions(edge, [unsure_jpeg()] * 3, clock)
        before = edge.get("/policy").json()["result"]["price"]
    with running_edge(tmp_path, models, _NO, clock=clock, policy=_ON_PLAN) as edge:
        assert edge.get("/policy").json()["result"]["price"] == pytest.approx(before)


def test_a_link_too_thin_for_a_frame_is_not_charged(tmp_path, models, clock):
    cloud = {"uplink_bytes_per_s": 1, "uplink_burst_bytes": 10_000}
    always = {"name": "always"}
    wide = unsure_jpeg(width_px=1600, height_px=900)
    with running_edge(tmp_path, models, _YES, clock=clock, policy=always, cloud=cloud) as edge:
        (refused,) = decisions(edge, [wide], clock)
        assert edge.get("/policy").json()["result"]["spent"] == 0.0
    assert (refused["reason"], refused["charged"]) == ("fallback_uplink_busy", False)


def test_a_broken_model_asks_the_cloud_says_so_and_alarms_nobody(tmp_path, clock):
    write_classifier(tmp_path / "m", fire_bias=float("nan"))
    with running_edge(tmp_path, tmp_path / "m", _NO, clock=clock, policy=_ON_PLAN) as edge:
        first, *_ = decisions(edge, [calm_jpeg()] * 8, clock, "?camera=gate")
        alone = edge.show("/predict", calm_jpeg()).json()
        checks = edge.get("/readyz").json()["checks"]
        metrics = edge.get("/metrics").text
        evidence = edge.service._plane._memories.peek("gate").evidence
    assert first["reason"] == "cloud_routine"
    assert (alone["err_no"], alone["confidence"]) == (0, 0.5)
    assert checks["model"]["state"] == "degraded"
    assert "fire_edge_broken_scores_total 8.0" in metrics
    assert evidence == 0.0


def test_an_audit_that_finds_what_the_edge_missed_is_counted_as_a_miss(tmp_path, models, clock):
    audits_all = {**_ON_PLAN, "audit": 0.5, "price_min": 1.0, "daily_limit": 3000}
    with running_edge(tmp_path, models, _YES, clock=clock, policy=audits_all) as edge:
        edge.service._plane.price_policy._pricing._random = lambda: 0.0
        (decision,) = decisions(edge, [calm_jpeg()], clock, "?camera=gate")
        told = edge.get("/policy/audits").json()["result"]
    assert decision["reason"] == "cloud_audit"
    assert (told["total"]["audits"], told["total"]["misses"]) == (1, 1)
    assert told["has_drifted"] is False


@pytest.mark.parametrize(("told", "booked"), [("0.05", 0.05), ("0", 0.0), ("999", 0.02)])
def test_a_call_costs_what_the_cloud_says_unless_that_is_absurd(tmp_path, models, told, booked):
    cloud = f"mock:?latency_s=0&cost={told}"
    with running_edge(tmp_path, models, cloud, policy={"name": "always"}) as edge:
        answer = edge.show("/joint_predict", fire_jpeg()).json()
        spent = edge.get("/policy").json()["result"]["spent"]
    assert (answer["cost"], spent) == (booked, booked)
