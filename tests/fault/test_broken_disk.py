"""A disk that breaks while the service writes on it: it watches and alerts on, says so, and loses nothing it kept."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.disks import failing_disk, fill_up, small_disk
from tests.helpers.pictures import fire_jpeg
from tests.helpers.services import Running, running_edge
from tests.helpers.stand_in_clouds import StandIn, answers, stand_in_cloud

pytestmark = pytest.mark.fault

_EDGE_ONLY = {"name": "edge_only"}
_WITHIN_S = 60.0  # of the disk's change: a trouble is raised, and cleared


class Receiver:
    """A webhook's receiver, and what it was told: step and camera of each alert."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        self.url = f"{stand_in.url}/hook"

    def told(self) -> set[tuple[str, str]]:
        alerts = [json.loads(call.body)["data"] for call in list(self._stand_in.calls)]
        return {(alert["step"], alert["camera"]) for alert in alerts}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with stand_in_cloud(answers({})) as stand_in:
        yield Receiver(stand_in)


@contextmanager
def edge_on(
    disk: Path, models: Path, address: str, cloud: str = "", policy: Any = _EDGE_ONLY
) -> Iterator[Running]:
    sinks = {"duty": {"kind": "webhook", "url": address}}
    with running_edge(
        disk / "state",
        models,
        cloud,
        policy=policy,
        evidence={"min_free_bytes": 0},
        cameras={name: {"source": "push:"} for name in ("gate", "yard")},
        alerts={"sinks": sinks, "cooldown_s": 0},
    ) as edge:
        yield edge


def burn(edge: Running, camera: str, until: Callable[[], bool]) -> None:
    """Show a camera a fire, each frame another picture, until something has come of it."""
    ends_s = time.monotonic() + _WITHIN_S
    number = 0
    while number < 5 or not until():
        assert time.monotonic() < ends_s
        number += 1
        jpeg = fire_jpeg(height_px=160 + 2 * number)
        assert edge.show(f"/joint_predict?camera={camera}", jpeg).status_code == 200
        time.sleep(0.3)


def troubles(edge: Running) -> dict[str, dict[str, Any]]:
    found = edge.get("/troubles").json()["result"]["troubles"]
    return {f"{trouble['kind']}.{trouble['code']}": trouble for trouble in found}


def kept(edge: Running) -> dict[str, int]:
    """Tell which events are there, and how many of their frames."""
    events = edge.get("/events").json()["result"]["events"]
    return {event["event_id"]: event["frames_kept"] for event in events}


def wait_until(is_true: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + _WITHIN_S
    while not is_true():
        assert time.monotonic() < ends_s
        time.sleep(0.2)


def recorded(edge: Running) -> dict[str, int]:
    """Show a fire and wait until it is recorded and nothing more is written."""
    burn(edge, "gate", until=lambda: sum(kept(edge).values()) >= 4)
    before, now = None, kept(edge)
    while now != before:
        time.sleep(2.0)
        before, now = now, kept(edge)
    return now


def test_a_disk_that_turns_read_only_stops_no_alert_and_loses_nothing_that_was_kept(
    tmp_path, models, receiver
):
    with failing_disk(tmp_path / "disk") as disk:
        with edge_on(disk.folder, models, receiver.url) as edge:
            before = recorded(edge)
            disk.fail()
            burn(edge, "yard", until=lambda: ("opened", "yard") in receiver.told())
            expected = {"evidence.not_written", "outbox.not_written", "disk.troubles_not_kept"}
            wait_until(lambda: expected <= troubles(edge).keys())
            assert "dmesg" in troubles(edge)["evidence.not_written"]["remedy"]
            assert kept(edge) == before
            time.sleep(3.0)  # the outbox reads on; that it can is no sign that it could write
            assert expected <= troubles(edge).keys()
        disk.repair()
        with edge_on(disk.folder, models, receiver.url) as edge:
            assert kept(edge) == before
            assert edge.service._kept.records.verify().is_unaltered
            assert not {"evidence.not_written", "outbox.not_written"} & troubles(edge).keys()


def test_a_disk_that_hangs_holds_up_no_answer_and_no_alert(tmp_path, models, receiver):
    always = {"name": "always", "daily_limit": 20, "cost_per_call": 0.02, "deadline_ms": 2500}
    with (
        failing_disk(tmp_path / "disk") as disk,
        edge_on(disk.folder, models, receiver.url, "mock:?latency_s=0", policy=always) as edge,
    ):
        before = recorded(edge)
        with disk.hanging():
            started_s = time.monotonic()
            answer = edge.show("/joint_predict?camera=yard", fire_jpeg()).json()
            assert time.monotonic() - started_s < 15.0  # the disk hangs until all of this is over
            assert answer["decision"]["reason"] == "fallback_ledger_down"
            burn(edge, "yard", until=lambda: ("opened", "yard") in receiver.told())
            burn(edge, "gate", until=lambda: ("opened", "gate") in receiver.told())
            expected = {"disk.ledger", "outbox.not_written", "disk.troubles_not_kept"}
            wait_until(lambda: expected <= troubles(edge).keys())
            assert edge.service._supervisor.is_fit()
        wait_until(lambda: not expected & troubles(edge).keys())
        burn(edge, "yard", until=lambda: sum(kept(edge).values()) > sum(before.values()))
        assert edge.show("/joint_predict", fire_jpeg()).json()["source"] == "cloud"
        assert edge.service._kept.records.verify().is_unaltered


def test_a_disk_that_fills_is_told_until_there_is_room_again(tmp_path, models, receiver):
    with (
        small_disk(tmp_path / "disk", "12m") as disk,
        edge_on(disk, models, receiver.url) as edge,
    ):
        before = recorded(edge)
        fill_up(disk)
        burn(edge, "yard", until=lambda: ("opened", "yard") in receiver.told())
        wait_until(lambda: {"evidence.not_written", "outbox.not_written"} <= troubles(edge).keys())
        assert kept(edge) == before
        (disk / "filler").unlink()
        wait_until(
            lambda: not {"evidence.not_written", "outbox.not_written"} & troubles(edge).keys()
        )
        burn(edge, "yard", until=lambda: sum(kept(edge).values()) > sum(before.values()))
        assert edge.service._kept.records.verify().is_unaltered


def test_a_service_whose_evidence_folder_becomes_a_link_watches_and_says_what_to_do(
    tmp_path, models, receiver
):
    with edge_on(tmp_path, models, receiver.url) as edge:
        before = recorded(edge)
        evidence, elsewhere = tmp_path / "state" / "evidence", tmp_path / "elsewhere"
        evidence.rename(elsewhere)
        evidence.symlink_to(elsewhere)
        burn(edge, "yard", until=lambda: ("opened", "yard") in receiver.told())
        wait_until(lambda: "evidence.not_written" in troubles(edge))
        assert "name that folder itself" in troubles(edge)["evidence.not_written"]["cause"]
    with edge_on(tmp_path, models, receiver.url) as edge:
        assert "evidence.not_written" in troubles(edge)
        evidence.unlink()
        elsewhere.rename(evidence)
        wait_until(lambda: "evidence.not_written" not in troubles(edge))
        assert kept(edge) == before
