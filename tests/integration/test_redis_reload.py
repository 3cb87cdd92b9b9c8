"""One reload over many workers, and entries that no worker understands, with a real Redis."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from cloud.fleet.keys import add_key
from cloud.redis_engine.link import GROUP
from tests.helpers.pictures import fire_jpeg
from tests.helpers.redis_server import redis_server
from tests.helpers.services import Running, running_cloud
from tests.helpers.signing import SignedBy
from tests.helpers.tiny_models import write_detector
from tests.helpers.waiting import wait_until
from tests.helpers.workers import running_worker


class World:
    """A front end without a model, two workers with a folder of models each, and the admin's key."""

    def __init__(self, front: Running, folders: list[Path], key: str) -> None:
        self.front = front
        self.folders = folders
        self.key = key

    def reload(self) -> requests.Response:
        return self.front.post("/models/reload", auth=SignedBy("admin", self.key))

    def versions(self) -> set[str]:
        found = self.front.get("/models", auth=SignedBy("admin", self.key)).json()
        return {model["version"] for model in found["result"]["models"]}

    def until_versions(self, wanted: set[str]) -> None:
        wait_until(lambda: self.versions() == wanted)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("cloud.redis_engine.worker._BEAT_S", 0.1)
    folders = [tmp_path / "models-1", tmp_path / "models-2"]
    key = add_key(tmp_path / "state" / "keys.json", "admin")
    with ExitStack() as stack:
        server = stack.enter_context(redis_server(tmp_path))
        sections: dict[str, Any] = {"engine": {"kind": "redis"}, "redis": {"url": server.url}}
        for folder in folders:
            write_detector(folder)
            stack.enter_context(running_worker(tmp_path, folder, **sections))
        front = stack.enter_context(running_cloud(tmp_path / "state", folders[0], **sections))
        made = World(front, folders, key)
        made.until_versions({"0.1.0"})
        yield made


def test_a_reload_at_a_front_end_reaches_every_worker(world):
    for folder in world.folders:
        write_detector(folder, version="0.2.0", fire_bias=-3.5)
    done = world.reload().json()["result"]
    assert (done["changed"], done["before"]["version"], done["model"]["version"]) == (
        True,
        "0.1.0",
        "0.2.0",
    )
    world.until_versions({"0.2.0"})
    answer = world.front.show("/infer", fire_jpeg(), **{})
    assert answer.json()["result"]["model"]["version"] == "0.2.0"


def test_a_reload_without_anything_newer_changes_nothing(world):
    assert world.reload().json()["result"]["changed"] is False


def test_a_worker_that_refuses_the_new_model_is_named_with_its_reason(world):
    write_detector(world.folders[0], version="0.2.0", fire_bias=-3.5)
    bad = write_detector(world.folders[1], version="0.2.0", fire_bias=-3.5)
    (bad / "model.onnx").write_bytes(b"not what the manifest says")
    answer = world.reload()
    assert (answer.status_code, answer.json()["err_no"]) == (500, 2003)
    assert "its manifest says" in answer.json()["detail"]
    world.until_versions({"0.1.0", "0.2.0"})
    shutil.rmtree(bad)
    write_detector(world.folders[1], version="0.2.0", fire_bias=-3.5)
    assert world.reload().json()["result"]["changed"] is True
    world.until_versions({"0.2.0"})


def test_without_a_worker_there_is_nothing_to_reload(tmp_path, models):
    key = add_key(tmp_path / "state" / "keys.json", "admin")
    with redis_server(tmp_path) as server:
        redis = {"url": server.url}
        with running_cloud(
            tmp_path / "state", models, engine={"kind": "redis"}, redis=redis
        ) as front:
            answer = front.post("/models/reload", auth=SignedBy("admin", key))
            assert (answer.status_code, answer.json()["err_no"]) == (503, 2001)


@pytest.mark.parametrize(
    "fields", [{"picture": "x"}, {"id": "a", "picture": "x", "wait_ms": "soon"}]
)
def test_an_entry_that_no_worker_can_read_is_taken_out_and_stops_none(tmp_path, models, fields):
    with redis_server(tmp_path) as server:
        sections: dict[str, Any] = {"engine": {"kind": "redis"}, "redis": {"url": server.url}}
        with (
            running_worker(tmp_path, models, **sections) as worker,
            running_cloud(tmp_path / "front", models, **sections) as front,
        ):
            link = worker._link
            wait_until(lambda: link.client.exists(link.now))
            link.client.xadd(link.now, fields)
            assert front.show("/infer", fire_jpeg()).status_code == 200
            wait_until(lambda: link.client.xlen(link.now) == 0)
            assert link.client.xpending(link.now, GROUP)["pending"] == 0


def test_a_beat_that_fails_is_not_the_last_one(tmp_path, models, monkeypatch):
    monkeypatch.setattr("cloud.redis_engine.worker._BEAT_S", 0.05)
    with redis_server(tmp_path) as server:
        sections: dict[str, Any] = {"engine": {"kind": "redis"}, "redis": {"url": server.url}}
        with running_worker(tmp_path, models, **sections) as worker:
            link = worker._link
            wait_until(lambda: link.client.exists(link.key("worker", worker.name)))
            link.client.set(link.key("reload"), "no number")
            wait_until(lambda: _is_told_anew(worker))


def _is_told_anew(worker: Any) -> bool:
    """Take what a worker said of itself away, and see whether it says it again."""
    link, key = worker._link, worker._link.key("worker", worker.name)
    link.client.delete(key)
    time.sleep(0.3)
    return bool(link.client.exists(key))
