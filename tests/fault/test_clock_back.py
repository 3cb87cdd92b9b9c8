"""A clock that is set back by 40 days under the running service: it goes on, keeps everything, and says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.helpers.clock import FakeClock
from tests.helpers.pictures import fire_jpeg
from tests.helpers.services import Running, running_edge

pytestmark = [pytest.mark.fault, pytest.mark.timeout(180)]


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
        assert edge.service._records.verify().is_unaltered
    with running_edge(tmp_path, models, clock=FakeClock()) as edge:
        assert sorted(cameras_of_events(edge)) == ["gate", "yard"]
        assert edge.service._records.verify().is_unaltered
