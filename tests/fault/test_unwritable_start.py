"""A state folder that cannot be written when the box starts: it watches, answers and alerts, and takes it up later."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from edge.box import spare_state
from edge.outbox.item import ItemClass, OutboxItem
from edge.service import EdgeService
from shared.errors import StoreError
from tests.helpers.disks import fill_up, remount, small_disk
from tests.helpers.pictures import fire_jpeg
from tests.helpers.processes import free_port
from tests.helpers.services import Running, edge_settings, running_cloud, running_edge
from tests.helpers.stand_in_clouds import answers, stand_in_cloud
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.fault

_CAMERAS = {"gate": {"source": "push:"}}
_POLICY = {"name": "always"}


@contextmanager
def edge_on(state: Path, models: Path, cloud_url: str = "", **sections: Any) -> Iterator[Running]:
    given: dict[str, Any] = {
        "cameras": _CAMERAS,
        "policy": _POLICY,
        "evidence": {"min_free_bytes": 0},
        **sections,
    }
    with running_edge(state, models, cloud_url, **given) as edge:
        yield edge


def codes(edge: Running) -> set[str]:
    found = edge.get("/troubles").json()["result"]["troubles"]
    return {f"{trouble['kind']}.{trouble['code']}" for trouble in found}


def burn(edge: Running, until: Callable[[], bool]) -> None:
    """Show a fire, each frame another picture, until something has come of it."""
    heights = iter(range(160, 400, 2))

    def is_over() -> bool:
        jpeg = fire_jpeg(height_px=next(heights))
        answer = edge.show("/joint_predict?camera=gate", jpeg)
        assert (answer.status_code, answer.json()["label"]) == (200, "fire")
        return until()

    wait_until(is_over)


@pytest.fixture(params=["read-only", "full", "a file"])
def unwritable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Give a state folder that cannot be written, for three reasons."""
    if request.param == "a file":
        (tmp_path / "state").write_text("in the way")
        yield tmp_path / "state"
        return
    with small_disk(tmp_path / "disk", "4m") as disk:
        if request.param == "full":
            fill_up(disk)
        else:
            remount(disk, "ro")
        yield disk / "state"


def test_a_box_that_cannot_write_answers_alerts_and_says_so(unwritable, models):
    with (
        stand_in_cloud(answers({})) as receiver,
        running_cloud(unwritable.parent.parent / "cloud", models) as cloud,
    ):
        sinks = {"duty": {"kind": "webhook", "url": f"{receiver.url}/hook"}}
        with edge_on(unwritable, models, cloud.url, alerts={"sinks": sinks}) as edge:
            burn(edge, until=lambda: bool(receiver.calls))
            answer = edge.show("/joint_predict", fire_jpeg()).json()
            assert (answer["source"], answer["decision"]["charged"]) == ("edge_fallback", False)
            assert {"disk.state_in_memory", "evidence.not_written"} <= codes(edge)
            ready = edge.get("/readyz").json()
            assert ready["checks"]["disk"]["state"] == "degraded"
            assert edge.post("/policy", json={}).status_code >= 400
            page = edge.get("/ui/health", headers={"Accept-Language": "zh"}).text
            assert "状态目录无法写入" in page


def kept(edge: Running) -> set[str]:
    return {event["event_id"] for event in edge.get("/events").json()["result"]["events"]}


def test_what_was_known_counts_and_what_is_in_memory_goes_back(tmp_path, models):
    with small_disk(tmp_path / "disk", "32m") as disk:
        state = disk / "state"
        with edge_on(state, models) as edge:
            burn(edge, until=lambda: bool(kept(edge)))
            before = kept(edge)
        remount(disk, "ro")
        with edge_on(state, models) as edge:
            assert kept(edge) == before
            item = OutboxItem(
                item_id="kept", kind="nobody", key="k", item_class=ItemClass.ALARM, payload={}
            )
            edge.service.alerting.outbox.put([item])
            remount(disk, "rw")
        with edge_on(state, models) as edge:
            assert "disk.state_in_memory" not in codes(edge)
            assert edge.service.alerting.outbox.status().items[ItemClass.ALARM] == 1
            assert kept(edge) == before


def test_a_running_box_takes_the_folder_up_by_itself(tmp_path, models):
    port = free_port()
    toml = f'models = "{models}"\n[server]\nport = {port}\n[cameras.gate]\nsource = "push:"\n'
    (tmp_path / "edge.toml").write_text(toml)
    with small_disk(tmp_path / "disk", "32m") as disk:
        remount(disk, "ro")
        command = [sys.executable, "-m", "edge", "run", "--config", str(tmp_path / "edge.toml")]
        with (
            (tmp_path / "log").open("wb") as log,
            subprocess.Popen([*command, "--state", str(disk / "state")], stderr=log) as box,
        ):
            try:
                wait_until(lambda: "state_in_memory" in told(port), 100.0)
                remount(disk, "rw")
                wait_until(lambda: told(port) not in ("", "state_in_memory"), 100.0)
                assert (disk / "state" / "ledger.sqlite3").exists()
                box.send_signal(signal.SIGTERM)
                assert box.wait(30) == 0
            finally:
                box.kill()
    assert (tmp_path / "log").read_text().count('"edge_ready"') == 2


def told(port: int) -> str:
    """Give `state_in_memory` while that trouble holds, `well` without it, nothing while nobody answers."""
    try:
        answer = requests.get(f"http://127.0.0.1:{port}/troubles", timeout=20).json()
    except requests.RequestException:
        return ""
    found = {trouble["code"] for trouble in answer["result"]["troubles"]}
    return "state_in_memory" if "state_in_memory" in found else "well"


def test_what_was_spent_is_never_spent_twice(tmp_path, models):
    with (
        small_disk(tmp_path / "disk", "32m") as disk,
        running_cloud(tmp_path / "cloud", models) as cloud,
        edge_on(disk / "state", models, cloud.url) as edge,
    ):
        edge.show("/joint_predict", fire_jpeg())
        spent = edge.get("/policy").json()["result"]["spent"]
        edge.service.stop()
        remount(disk, "ro")
        with edge_on(disk / "state", models, cloud.url) as blind:
            blind.show("/joint_predict", fire_jpeg())
            remount(disk, "rw")
        with edge_on(disk / "state", models, cloud.url) as again:
            assert again.get("/policy").json()["result"]["spent"] == spent > 0


def test_a_folder_that_another_process_has_is_still_refused(tmp_path, models):
    with edge_on(tmp_path / "state", models), pytest.raises(StoreError, match="in use"):
        EdgeService(edge_settings(tmp_path / "state", models))


def test_nothing_is_left_in_memory_by_a_box_that_stopped_or_was_killed(
    tmp_path, models, monkeypatch
):
    (tmp_path / "state").write_text("in the way")
    memory = tmp_path / "memory"
    monkeypatch.setattr(spare_state, "_IN_MEMORY", memory)
    left = memory / "emberlink-state-killed"
    left.mkdir(parents=True)
    (left / "lock").touch()
    with edge_on(tmp_path / "state", models):
        (held,) = memory.iterdir()
        assert held != left
    assert list(memory.iterdir()) == []


def test_a_folder_that_fills_up_at_the_probe_is_left_as_it_was(tmp_path):
    with small_disk(tmp_path / "disk", "512k") as disk:
        assert not spare_state.can_be_written(disk)
        assert list(disk.iterdir()) == []
