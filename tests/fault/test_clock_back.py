"""A clock that is never set, set late, set far ahead or set back: the box goes on, keeps everything, and says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.helpers.clock import FakeClock
from tests.helpers.pictures import fire_jpeg
from tests.helpers.services import Running, running_edge

pytestmark = pytest.mark.fault


def burn(edge: Running, clock: FakeClock, camera: str, until: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + 40
    while not until():
        assert time.monotonic() < ends_s
        assert edge.show(f"/joint_predict?camera={camera}", fire_jpeg()).status_code == 200
        clock.advance(0.5)
        time.sleep(0.1)


def cameras_of_events(edge: Running) -> list[str]:
    return [event["camera"] for event in edge.get("/events").json()["result"]["events"]]


def test_a_box_whose_clock_is_set_back_goes_on_and_loses_nothing(tmp_path, models):
    clock = FakeClock()
    cameras = {name: {"source": "push:"} for name in ("gate", "yard")}
    with running_edge(tmp_path, models, clock=clock, cameras=cameras) as edge:
        burn(edge, clock, "gate", until=lambda: cameras_of_events(edge) == ["gate"])
        clock.set_wall(clock.now_at() - timedelta(days=40))
        burn(edge, clock, "yard", until=lambda: sorted(cameras_of_events(edge)) == ["gate", "yard"])
        ends_s = time.monotonic() + 60
        while "clock" not in {
            trouble["kind"] for trouble in edge.get("/troubles").json()["result"]["troubles"]
        }:
            assert time.monotonic() < ends_s
            time.sleep(0.2)
        assert edge.service._kept.records.verify().is_unaltered
    with running_edge(tmp_path, models, clock=FakeClock()) as edge:
        assert sorted(cameras_of_events(edge)) == ["gate", "yard"]
        assert edge.service._kept.records.verify().is_unaltered


def troubles(edge: Running) -> set[str]:
    found = edge.get("/troubles").json()["result"]["troubles"]
    return {f"{trouble['kind']}.{trouble['code']}" for trouble in found}


def test_a_box_that_starts_in_1970_and_stands_in_2076_for_a_while_loses_nothing(tmp_path, models):
    real_at = datetime(2027, 3, 10, 12, tzinfo=UTC)
    sections = {
        "cameras": {"gate": {"source": "push:"}},
        "policy": {"name": "always", "daily_limit": 5, "cost_per_call": 0.02},
        "log": {"scores_keep_days": 14},
    }
    with running_edge(
        tmp_path, models, "mock:?latency_s=0", clock=FakeClock(real_at), **sections
    ) as edge:
        assert edge.show("/joint_predict?camera=gate", fire_jpeg()).json()["source"] == "cloud"
    clock = FakeClock(datetime(1970, 1, 1, tzinfo=UTC))
    with running_edge(tmp_path, models, "mock:?latency_s=0", clock=clock, **sections) as edge:

        def upkeep() -> set[str]:
            edge.service._upkeep.round()
            return troubles(edge)

        assert {"clock.set_back", "evidence.clock_off"} <= upkeep()
        burn(edge, clock, "gate", until=lambda: cameras_of_events(edge) == ["gate"])
        for wall_at in (real_at, real_at + timedelta(days=50 * 365)):
            clock.set_wall(wall_at)
            assert edge.show("/joint_predict?camera=gate", fire_jpeg()).json()["source"] == "cloud"
            told = upkeep()
        assert "evidence.clock_off" in told
        clock.set_wall(real_at + timedelta(minutes=5))
        assert not {"clock.set_back", "evidence.clock_off"} & upkeep()
        assert edge.get("/policy").json()["result"]["day"] == "2027-03-10"
        assert cameras_of_events(edge) == ["gate"]
        assert edge.service._kept.records.verify().is_unaltered
    days = {path.stem for path in (tmp_path / "scores" / "gate").iterdir()}
    assert {"1970-01-01", "2027-03-10"} <= days
