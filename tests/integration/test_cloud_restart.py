"""Who is signed in and what edges reported outlives a restart, and is the same at every front end."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from cloud.fleet.fleet import KEPT_DAYS, Fleet
from cloud.local_engine.state import SqliteState
from shared.access.sessions import Sessions
from shared.access.users import add_user
from shared.roles import Role
from tests.helpers.clock import FakeClock
from tests.helpers.redis_server import redis_server
from tests.helpers.services import Running, running_cloud
from tests.helpers.waiting import wait_until
from tests.unit.test_fleet import report

_PASSWORD = "correct horse"


def sign_in(cloud: Running) -> None:
    form = {"name": "anna", "password": _PASSWORD}
    assert cloud.post("/login", data=form, allow_redirects=False).status_code == 303


def sign_out(cloud: Running) -> requests.Response:
    token = cloud.get("/whoami").json()["result"]["csrf_token"]
    headers = {"X-CSRF-Token": token}
    return cloud.post("/logout", headers=headers, allow_redirects=False)


def tell(cloud: Running, name: str) -> None:
    told = report(name).model_dump(mode="json")
    token = cloud.get("/whoami").json()["result"]["csrf_token"]
    answer = cloud.post("/edges/heartbeat", json=told, headers={"X-CSRF-Token": token})
    assert answer.status_code == 200


def names(cloud: Running) -> list[str]:
    return [edge["name"] for edge in cloud.get("/edges").json()["result"]["edges"]]


def test_a_restart_signs_nobody_out_and_forgets_no_edge(tmp_path: Path, models: Path):
    add_user(tmp_path / "users.json", "anna", Role.ADMIN, _PASSWORD)
    with running_cloud(tmp_path, models) as cloud:
        sign_in(cloud)
        tell(cloud, "gate")
        tell(cloud, "yard")
        before = cloud.get("/edges").json()["result"]["edges"]
        cookies = cloud.session.cookies
    with running_cloud(tmp_path, models) as cloud:
        cloud.session.cookies.update(cookies)
        assert cloud.get("/whoami").json()["result"]["name"] == "anna"
        after = cloud.get("/edges").json()["result"]["edges"]
        assert [e["name"] for e in after] == ["gate", "yard"]
        assert [e["heard_at"] for e in after] == [e["heard_at"] for e in before]
        assert sign_out(cloud).status_code == 303
    with running_cloud(tmp_path, models) as cloud:
        cloud.session.cookies.update(cookies)
        assert cloud.get("/edges").status_code == 401


def test_a_damaged_file_costs_the_sessions_and_not_the_service(tmp_path: Path, models: Path):
    add_user(tmp_path / "users.json", "anna", Role.ADMIN, _PASSWORD)
    (tmp_path / "console.sqlite3").write_bytes(b"no database" * 1000)
    with running_cloud(tmp_path, models) as cloud:
        sign_in(cloud)
        assert names(cloud) == []
    assert list(tmp_path.glob("console.sqlite3.damaged-*"))


def test_a_disk_that_takes_nothing_leaves_the_console_open_and_is_a_trouble(
    tmp_path: Path, models: Path
):
    add_user(tmp_path / "users.json", "anna", Role.ADMIN, _PASSWORD)
    (tmp_path / "console.sqlite3").mkdir()
    with running_cloud(tmp_path, models) as cloud:
        sign_in(cloud)
        tell(cloud, "gate")
        assert names(cloud) == ["gate"]
        wait_until(lambda: cloud.get("/readyz").json()["checks"]["disk"]["state"] == "degraded")


def test_front_ends_of_one_redis_agree_who_is_signed_in_and_who_reports(
    tmp_path: Path, models: Path
):
    with redis_server(tmp_path) as server:
        users = tmp_path / "users.json"
        add_user(users, "anna", Role.ADMIN, _PASSWORD)
        sections: dict[str, Any] = {
            "engine": {"kind": "redis"},
            "redis": {"url": server.url, "timeout_s": 10.0},
            "access": {"users_file": users},
        }
        with (
            running_cloud(tmp_path / "a", models, **sections) as one,
            running_cloud(tmp_path / "b", models, **sections) as two,
        ):
            sign_in(one)
            two.session.cookies.update(one.session.cookies)
            assert two.get("/whoami").json()["result"]["name"] == "anna"
            tell(one, "gate")
            tell(two, "yard")
            wait_until(lambda: names(one) == names(two) == ["gate", "yard"])
            server.kill()
            assert names(two) == ["gate", "yard"]  # as it was last known here
            assert sign_out(two).status_code == 503  # it could not be told to the other
            server.start()
            wait_until(lambda: one.get("/readyz").json()["checks"]["links"]["state"] == "ok")
            sign_in(one)
            two.session.cookies.update(one.session.cookies)
            # A front end that still takes Redis for away keeps a session until it can hand it over.
            wait_until(lambda: (one.get("/edges").ok, two.get("/edges").ok) == (True, True))
            assert sign_out(two).status_code == 303
            assert one.get("/edges").status_code == 401


def test_what_is_kept_is_bounded_and_goes_with_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("cloud.local_engine.state.MOST_SESSIONS", 3)
    monkeypatch.setattr("cloud.local_engine.state.MOST_EDGES", 2)
    clock = FakeClock()

    def opened() -> tuple[SqliteState, Sessions, Fleet]:
        state = SqliteState(tmp_path / "console.sqlite3", clock, longest_s=3600)
        return state, Sessions(clock, idle_s=600, longest_s=3600, store=state), Fleet(clock, state)

    state, sessions, fleet = opened()
    keys = []
    for name in ("a", "b", "c", "d"):
        clock.advance(10)
        keys.append(sessions.begin(name, "kept"))
        fleet.hear(report(name), address="", is_signed=True)
    assert [bool(sessions.find(key)) for key in keys] == [False, True, True, True]
    state.close()

    state, sessions, fleet = opened()
    assert [edge.report.name for edge in fleet.edges()] == ["c", "d"]
    clock.advance(601)
    assert sessions.find(keys[3]) is None
    state.close()

    clock.advance(timedelta(days=KEPT_DAYS).total_seconds())
    state, _, fleet = opened()
    fleet.hear(report("e"), address="", is_signed=True)
    state.close()
    state, _, fleet = opened()
    assert [edge.report.name for edge in fleet.edges()] == ["e"]
    state.close()
