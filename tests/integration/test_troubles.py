"""Troubles of a running edge, as somebody outside sees them."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

import edge.box.state_files
import edge.wiring.supervision
from edge.forward.clock_skew import ClockSkew
from tests.helpers.clock import FakeClock
from tests.helpers.pictures import calm_jpeg, unsure_jpeg
from tests.helpers.services import Running, running_cloud, running_edge
from tests.helpers.stand_in_clouds import dead_url
from tests.helpers.tiny_models import add_self_test, write_classifier
from tests.helpers.waiting import wait_until

_CLOSED_BREAKER = {"breaker": {"failures_to_open": 1}, "cloud": {"tries": 1}}


def _troubles(edge: Running) -> dict[str, dict[str, Any]]:
    found = edge.get("/troubles").json()["result"]["troubles"]
    return {f"{t['kind']}/{t['subject']}/{t['code']}": t for t in found}


def _gauge(edge: Running, kind: str, camera: str = "") -> float:
    name = f'fire_edge_trouble_active{{camera="{camera}",kind="{kind}"}} '
    (line,) = [line for line in edge.get("/metrics").text.splitlines() if line.startswith(name)]
    return float(line.rpartition(" ")[2])


def test_a_box_without_trouble_says_so(tmp_path, models):
    with running_edge(tmp_path, models) as running:
        assert _troubles(running) == {}
        assert _gauge(running, "link") == 0


def test_a_cloud_that_is_away_is_a_trouble_and_its_return_ends_it(tmp_path, models):
    with dead_url() as url, running_edge(tmp_path, models, url, **_CLOSED_BREAKER) as running:
        running.show("/joint_predict", unsure_jpeg())
        trouble = _troubles(running)["link//cloud_away"]
        assert trouble["cause"]
        assert trouble["remedy"]
        assert trouble["since"]
        assert _gauge(running, "link") == 1
        running.service._link.forwarder.breaker.succeeded()
        assert _troubles(running) == {}


def test_a_budget_that_is_spent_is_a_trouble(tmp_path, models):
    policy = {"daily_limit": "0.02", "name": "always"}
    with running_edge(tmp_path, models, "mock:?latency_s=0", policy=policy) as running:
        assert _troubles(running) == {}
        running.show("/joint_predict", unsure_jpeg())
        assert list(_troubles(running)) == ["budget//spent"]


def test_a_limit_of_nothing_is_a_choice_and_no_trouble(tmp_path, models):
    policy = {"daily_limit": "0", "name": "always"}
    with running_edge(tmp_path, models, "mock:?latency_s=0", policy=policy) as running:
        assert running.show("/joint_predict", unsure_jpeg()).json()["source"] == "edge_fallback"
        assert _troubles(running) == {}


def test_a_disk_that_runs_full_is_a_trouble_before_it_is_full(tmp_path, models, monkeypatch):
    with running_edge(tmp_path, models) as running:
        monkeypatch.setattr(edge.box.state_files, "free_bytes", lambda folder: 400_000_000)
        assert "400 MB left" in _troubles(running)["disk//low"]["cause"]
        monkeypatch.setattr(edge.box.state_files, "free_bytes", lambda folder: 4_000_000_000)
        assert _troubles(running) == {}


def test_a_newer_model_that_is_not_fit_is_a_trouble_until_a_sound_one_comes(tmp_path):
    folder = tmp_path / "models"
    write_classifier(folder)
    with running_edge(tmp_path / "edge", folder, model={"watch_s": 0.05}) as running:
        bad = write_classifier(tmp_path / "made", version="0.2.0")
        add_self_test(bad, "fire", calm_jpeg())
        bad.rename(folder / "edge-classifier" / "0.2.0")  # whole: it is looked at all the time
        wait_until(lambda: list(_troubles(running)) == ["model//newer_refused"])
        assert "selftest/fire-1.jpg" in _troubles(running)["model//newer_refused"]["cause"]
        write_classifier(folder, version="0.3.0")
        wait_until(lambda: _troubles(running) == {})


def test_a_model_that_fails_on_its_own_pictures_watches_on_and_is_a_trouble(tmp_path):
    folder = tmp_path / "models"
    add_self_test(write_classifier(folder), "fire", calm_jpeg())
    with running_edge(tmp_path / "edge", folder) as running:
        assert list(_troubles(running)) == ["model//untrue"]
        assert running.show("/predict", unsure_jpeg()).json()["err_no"] == 0
        assert "自检未通过" in running.get("/ui/health?lang=zh").text


def test_a_clock_that_nobody_has_set_is_a_trouble(tmp_path, models, monkeypatch):
    monkeypatch.setattr(edge.wiring.supervision, "_TIMESYNC", tmp_path)
    with running_edge(tmp_path / "edge", models) as running:
        assert list(_troubles(running)) == ["clock//unsynchronised"]
        (tmp_path / "synchronized").touch()
        assert _troubles(running) == {}


@pytest.mark.parametrize(("off_s", "said"), [(-90, "by -"), (90, "by +")])
def test_a_clock_that_differs_from_the_cloud_s_is_a_trouble(tmp_path, models, off_s, said):
    clock = FakeClock()
    with (
        running_cloud(tmp_path / "cloud", models) as cloud,
        running_edge(tmp_path / "edge", models, cloud.url, policy={"name": "always"}) as running,
    ):
        running.service._link.skew._clock = clock
        from shared.clock import SystemClock

        clock.set_wall(SystemClock().now_at() + timedelta(seconds=off_s))
        running.show("/joint_predict", unsure_jpeg())
        assert said in _troubles(running)["clock//differs"]["cause"]


def test_a_clock_within_what_an_answer_can_prove_is_no_trouble():
    clock = FakeClock()
    skew = ClockSkew(clock)
    assert skew.seconds() is None
    sent_at = clock.now_at()
    clock.advance(3)
    for told_at in (sent_at, sent_at - timedelta(seconds=0.9), clock.now_at()):
        skew.note(sent_at, told_at)
        assert skew.seconds() == 0


def test_a_seen_trouble_tells_by_whom(tmp_path, models):
    with running_edge(tmp_path, models, policy={"daily_limit": "0.01"}) as running:
        _troubles(running)
        seen = {"kind": "budget", "subject": "", "code": "spent", "by": "anna"}
        answer = running.post("/troubles/acknowledge", json=seen)
        assert (answer.status_code, answer.json()["err_no"]) == (200, 0)
        trouble = _troubles(running)["budget//spent"]
        assert (trouble["acknowledged_by"], bool(trouble["acknowledged_at"])) == ("anna", True)


@pytest.mark.parametrize(
    ("body", "err_no"),
    [
        ({"kind": "budget", "code": "spent"}, 404),
        ({"kind": "weather", "code": "rain"}, 1004),
        ({"kind": "budget"}, 1003),
        ({"kind": "budget", "code": "a" * 65}, 1004),
        ({"kind": "budget", "code": "spent", "subject": "x" * 201}, 1004),
        ([], 1001),
    ],
)
def test_what_cannot_be_acknowledged_is_refused(tmp_path, models, body, err_no):
    with running_edge(tmp_path, models) as running:
        assert running.post("/troubles/acknowledge", json=body).json()["err_no"] == err_no


def test_a_service_that_was_stopped_starts_without_trouble(tmp_path, models):
    for _ in range(2):
        with running_edge(tmp_path, models) as running:
            assert _troubles(running) == {}


def test_a_service_that_was_killed_wants_that_to_be_seen(tmp_path, models):
    with running_edge(tmp_path, models):
        pass
    (tmp_path / "running").touch()  # what a killed process leaves
    with running_edge(tmp_path, models) as running:
        assert "restart//unclean" in _troubles(running)
        assert running.get("/readyz").json()["checks"]["restart"]["state"] == "degraded"
        running.post("/troubles/acknowledge", json={"kind": "restart", "code": "unclean"})
        assert _troubles(running) == {}
        assert running.get("/readyz").json()["status"] == "ready"


def test_a_web_loop_that_hangs_is_a_trouble(tmp_path, models):
    with running_edge(tmp_path, models) as running:
        beats = running.service._supervisor._beats
        wait_until(lambda: beats.silent_s("web-loop") < 1.5)
        time.sleep(1.5)
        wait_until(lambda: beats.silent_s("web-loop") < 1.5)  # an idle loop beats, too


def test_every_thread_of_the_line_is_heard(tmp_path, models):
    cameras = {"yard": {"source": "sim:?width_px=320&height_px=192"}}
    with running_edge(tmp_path, models, "mock:", cameras=cameras) as running:
        beats = running.service._supervisor._beats
        names = {"web-loop", "classify-0", "recorder", "tracer", "read-yard", "line-yard"}
        assert names <= beats._watched.keys()
        time.sleep(1.5)
        for name in names - {"tracer"}:  # which has nothing to do here
            wait_until(lambda name=name: beats.silent_s(name) < 1.5)


def test_a_call_that_outlives_its_deadline_is_a_trouble(tmp_path, models):
    clock = FakeClock()
    with running_edge(tmp_path, models, "mock:?latency_s=0", clock=clock) as running:
        forwarder = running.service._link.forwarder
        forwarder._running["call"] = running.service._line.deadline_in(2500)
        clock.advance(17)
        assert "thread//call_hangs" not in _troubles(running)
        clock.advance(1)
        assert "thread//call_hangs" in _troubles(running)
        forwarder._running.clear()
        assert "thread//call_hangs" not in _troubles(running)
