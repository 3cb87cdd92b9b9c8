"""What is wrong with a cloud is said at /troubles, /readyz, in the metrics and on a page, until it is over."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

import cloud.local_engine.engine
from cloud.fleet.keys import add_key
from cloud.jobs.callback_receiver import CallbackSettings
from cloud.jobs.callbacks import Callbacks
from cloud.registration import Registered, Registration
from shared.access.users import add_token
from shared.clock import SystemClock
from shared.roles import Role
from tests.helpers.clock import FakeClock
from tests.helpers.held_model import HeldModel, held_model
from tests.helpers.logs import FULL, logging_into
from tests.helpers.pictures import calm_jpeg, fire_jpeg
from tests.helpers.redis_server import redis_server
from tests.helpers.services import Running, running_cloud
from tests.helpers.signing import SignedBy
from tests.helpers.stand_in_clouds import dead_url
from tests.helpers.tiny_models import add_self_test, write_detector
from tests.helpers.waiting import wait_until
from tests.helpers.workers import running_worker


def codes(running: Running) -> set[tuple[str, str]]:
    troubles = running.get("/troubles").json()["result"]["troubles"]
    return {(trouble["kind"], trouble["code"]) for trouble in troubles}


def test_a_session_that_hangs_makes_the_service_unfit_until_it_goes_on(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cloud.local_engine.engine, "_SILENT_S", 1.0)
    monkeypatch.setattr(cloud.local_engine.engine, "_BEAT_S", 0.05)
    with running_cloud(tmp_path, models) as running, held_model(running) as model:
        asking = threading.Thread(target=lambda: running.show("/infer", fire_jpeg()))
        asking.start()
        wait_until(lambda: codes(running) == {("thread", "silent")})
        ready = running.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["threads"]["state"]) == (503, "failed")
        assert 'fire_cloud_trouble_active{kind="thread"} 1.0' in running.get("/metrics").text
        page = running.get("/ui/queue").text
        assert "session: silent" in page
        assert 'aria-label="1 trouble">1</span>' in page
        assert "session：无响应" in running.get("/ui/queue?lang=zh").text
        model.go_on.set()
        asking.join()
        wait_until(lambda: not codes(running))
        assert running.get("/readyz").json()["status"] == "ready"


def test_a_job_that_waits_long_for_the_model_is_not_taken_for_a_dead_thread(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("cloud.jobs.runner._SILENT_S", 1.0)
    monkeypatch.setattr("cloud.jobs.runner._BEAT_S", 0.05)
    monkeypatch.setattr("cloud.local_engine.house._BEAT_S", 0.05)
    with running_cloud(tmp_path, models) as running, held_model(running) as model:
        running.show("/infer/async", fire_jpeg())
        assert model.is_running.wait(40)
        time.sleep(2.5)
        wait_until(lambda: not codes(running), within_s=20.0)  # one that hangs stays a trouble


def test_a_newer_model_that_was_refused_is_a_trouble_until_a_sound_one_comes(tmp_path: Path):
    folder = tmp_path / "models"
    write_detector(folder)
    with running_cloud(tmp_path / "state", folder, model={"watch_s": 0.05}) as running:
        bad = write_detector(tmp_path / "made", version="0.2.0", fire_bias=-3.5)
        model = bad / "model.onnx"
        model.write_bytes(model.read_bytes()[:-1] + b"x")
        bad.rename(folder / "cloud-detector" / "0.2.0")  # whole: it is looked at all the time
        wait_until(lambda: codes(running) == {("model", "newer_refused")})
        ready = running.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        write_detector(folder, version="0.3.0", fire_bias=-3.6)
        wait_until(lambda: not codes(running))


def untrue_detector(folder: Path) -> None:
    """Write a model whose own picture shows something else than it says."""
    add_self_test(write_detector(folder), "fire", calm_jpeg())


def test_a_model_that_fails_on_its_own_pictures_takes_none_until_a_sound_one_comes(tmp_path: Path):
    folder = tmp_path / "models"
    untrue_detector(folder)
    with running_cloud(tmp_path / "state", folder) as running:
        assert codes(running) == {("model", "untrue")}
        ready = running.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["model"]["state"]) == (503, "failed")
        assert "selftest/fire-1.jpg" in ready.json()["checks"]["model"]["text"]
        refused = running.show("/infer", fire_jpeg())
        assert (refused.status_code, refused.json()["err_no"]) == (503, 2001)
        assert "fails on its own pictures" in running.get("/ui/queue").text
        write_detector(folder, version="0.2.0", fire_bias=-3.5)
        assert running.post("/models/reload").status_code == 200
        assert not codes(running)
        assert running.show("/infer", fire_jpeg()).json()["result"]["label"] == "fire"


def test_a_model_that_fails_on_its_own_pictures_can_be_gone_back_from(tmp_path: Path):
    folder = tmp_path / "models"
    write_detector(folder)
    bad = write_detector(folder, version="0.2.0", fire_bias=-3.5)
    add_self_test(bad, "fire", calm_jpeg())
    with running_cloud(tmp_path / "state", folder) as running:
        assert running.get("/readyz").status_code == 503
        assert running.post("/models/rollback").json()["result"]["model"]["version"] == "0.1.0"
        assert running.get("/readyz").json()["status"] == "ready"


def test_a_worker_whose_model_fails_on_its_own_pictures_leaves_them_and_says_so(tmp_path: Path):
    folder = tmp_path / "models"
    untrue_detector(folder)
    with redis_server(tmp_path) as server:
        sections: dict[str, Any] = {"engine": {"kind": "redis"}, "redis": {"url": server.url}}
        with (
            running_cloud(tmp_path / "a", folder, **sections) as running,
            running_worker(tmp_path / "w", folder, **sections) as worker,
        ):
            wait_until(lambda: codes(running) == {("model", "untrue")})
            (trouble,) = running.get("/troubles").json()["result"]["troubles"]
            assert trouble["subject"] == worker.name
            assert running.get("/readyz").status_code == 503
            job_id = running.show("/infer/async", fire_jpeg()).json()["request_id"]
            write_detector(folder, version="0.2.0", fire_bias=-3.5)
            assert running.post("/models/reload").status_code == 200
            assert running.settled(job_id).json()["result"]["label"] == "fire"
            wait_until(lambda: not codes(running))


@pytest.mark.parametrize("text", ["{", '{"gate": ["short"]}'])
def test_a_file_of_keys_that_breaks_is_a_trouble_and_the_keys_from_before_count(
    tmp_path: Path, models: Path, text: str
):
    path, clock = tmp_path / "keys.json", FakeClock()
    auth = SignedBy("gate", add_key(path, "gate"), clock)
    good, token = path.read_text(), add_token(tmp_path / "users.json", "watcher", Role.VIEWER)
    with running_cloud(tmp_path, models, clock=clock) as running:
        path.write_text(text)
        clock.advance(1.1)
        assert keys_trouble(running, token)["remedy"].startswith("Let the service's user read it.")
        assert running.get("/readyz").json()["checks"]["disk"]["state"] == "degraded"
        assert running.get("/infer/result/x", auth=auth).status_code == 404
        path.write_text(good)
        clock.advance(1.1)
        assert running.get("/readyz").json()["checks"]["disk"]["state"] == "ok"


def test_a_cloud_that_starts_with_a_broken_file_of_keys_says_so_and_lets_no_edge_in(
    tmp_path: Path, models: Path
):
    path = tmp_path / "keys.json"
    auth = SignedBy("gate", add_key(path, "gate"))
    path.write_text("{")
    token = add_token(tmp_path / "users.json", "watcher", Role.VIEWER)
    with running_cloud(tmp_path, models) as running:
        assert "keys.json" in keys_trouble(running, token)["cause"]
        unsigned, signed = running.get("/infer/result/x"), running.get("/infer/result/x", auth=auth)
        assert (unsigned.status_code, signed.status_code) == (401, 401)


def keys_trouble(running: Running, token: str) -> dict[str, str]:
    answer = running.get("/troubles", headers={"Authorization": f"Bearer {token}"})
    (trouble,) = answer.json()["result"]["troubles"]
    assert (trouble["kind"], trouble["code"]) == ("disk", "keys_unreadable")
    return trouble


def test_a_log_on_a_full_disk_costs_no_answer(tmp_path: Path, models: Path):
    with logging_into(FULL), running_cloud(tmp_path, models) as running:
        assert running.show("/infer", fire_jpeg()).json()["result"]["label"] == "fire"


def test_redis_that_is_away_is_a_trouble_also_where_the_front_end_answers_alone(
    tmp_path: Path, models: Path
):
    with redis_server(tmp_path) as server:
        redis = {"url": server.url, "timeout_s": 10.0, "fallback": True}
        sections: dict[str, Any] = {"engine": {"kind": "redis"}, "redis": redis}
        with (
            running_worker(tmp_path / "w", models, **sections),
            running_cloud(tmp_path / "a", models, **sections) as running,
        ):
            wait_until(lambda: not codes(running))
            server.kill()
            wait_until(lambda: codes(running) == {("link", "redis_away")})
            wait_until(lambda: "Connection refused" in running.get("/troubles").text)
            ready = running.get("/readyz")
            assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
            server.start()
            wait_until(lambda: not codes(running))


def test_a_worker_that_hangs_is_named_by_the_front_ends(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
):
    with redis_server(tmp_path) as server:
        sections: dict[str, Any] = {"engine": {"kind": "redis"}, "redis": {"url": server.url}}
        monkeypatch.setattr("cloud.redis_engine.worker._SILENT_S", 3.0)
        with (
            running_cloud(tmp_path / "a", models, **sections) as running,
            running_worker(tmp_path / "w", models, **sections) as worker,
        ):
            wait_until(lambda: not codes(running))
            detector = worker._slot.current
            held = HeldModel(detector.run_batch)
            detector.run_batch = held
            running.show("/infer/async", fire_jpeg())
            wait_until(lambda: codes(running) == {("thread", "silent")})
            (trouble,) = running.get("/troubles").json()["result"]["troubles"]
            assert trouble["subject"] == f"{worker.name} worker"
            # The next look finds the same trouble, not another.
            wait_until(
                lambda: running.get("/troubles").json()["result"]["troubles"][0]["lasts_s"] > 1.0
            )
            held.go_on.set()
            wait_until(lambda: not codes(running))


def test_a_front_end_without_a_worker_says_so(tmp_path: Path, models: Path):
    with redis_server(tmp_path) as server:
        sections: dict[str, Any] = {"engine": {"kind": "redis"}, "redis": {"url": server.url}}
        with running_cloud(tmp_path, models, **sections) as running:
            wait_until(lambda: codes(running) == {("model", "no_worker")})
            assert "emberlink-cloud worker" in running.get("/ui/queue").text


def test_a_front_end_with_a_model_answers_alone_while_no_worker_is_there(
    tmp_path: Path, models: Path
):
    with redis_server(tmp_path) as server:
        redis = {"url": server.url, "fallback": True}
        sections: dict[str, Any] = {"engine": {"kind": "redis"}, "redis": redis}
        with running_cloud(tmp_path, models, **sections) as running:
            wait_until(lambda: codes(running) == {("model", "no_worker")})
            assert running.get("/readyz").json()["status"] == "degraded"
            assert running.show("/infer", fire_jpeg()).json()["result"]["label"] == "fire"
            job_id = running.show("/infer/async", fire_jpeg()).json()["request_id"]
            assert running.settled(job_id).json()["result"]["label"] == "fire"
            running.service.house._fallback.slot.current.trouble = "the card failed"
            assert running.get("/readyz").status_code == 503


def test_a_callback_that_was_given_up_is_a_trouble():
    clock = SystemClock()
    with dead_url() as url:
        callbacks = Callbacks(
            clock, CallbackSettings(key=b"k" * 16, tries=1, timeout_s=1.0), [url + "/hooks"]
        )
        callbacks.send("job", url + "/hooks", b"{}")
        wait_until(lambda: callbacks.troubles(clock.now_at()))
        (trouble,) = callbacks.troubles(clock.now_at())
        assert "127.0.0.1" in trouble.cause
        callbacks.stop(1.0)


def test_callbacks_that_are_left_at_the_stop_are_counted():
    outcomes: list[str] = []
    with dead_url() as url:
        settings = CallbackSettings(key=b"k" * 16, tries=9, timeout_s=1.0)
        callbacks = Callbacks(SystemClock(), settings, [url + "/hooks"], count=outcomes.append)
        for job_id in ("one", "two"):
            callbacks.send(job_id, url + "/hooks", b"{}")
        callbacks.stop(0.0)
    assert outcomes == ["failed"] * 2


def test_a_consul_that_is_away_is_a_trouble():
    clock = SystemClock()
    with dead_url() as url:
        what = Registered(
            agent_url=url,
            service="cloud",
            address="127.0.0.1",
            port=1,
            tags=(),
            is_tls=False,
            token=None,
        )
        registration = Registration(what)
        registration.start()
        wait_until(lambda: registration.troubles(clock.now_at()))
        registration.stop()
