"""Edges report to their cloud: real services, real sockets."""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

from cloud.fleet.keys import add_key
from edge.box.heartbeat import FleetHeartbeat
from shared.access.users import add_user
from shared.clock import SystemClock
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import LinkError
from shared.fleet import EdgeReport
from shared.roles import Role
from shared.watch.supervise import Supervisor
from tests.helpers.pictures import fire_jpeg
from tests.helpers.services import Running, running_cloud, running_edge
from tests.helpers.signing import SignedBy
from tests.helpers.stand_in_clouds import answers, dead_url, stand_in_cloud
from tests.helpers.waiting import wait_until
from tests.unit.test_fleet import report


def edges(cloud: Running) -> list[dict]:
    return list(cloud.get("/edges").json()["result"]["edges"])


def test_an_edge_is_known_to_its_cloud_a_second_after_its_start(tmp_path, models):
    sections = {"cameras": {"yard": {"source": "sim:"}}, "policy": {"name": "always"}}
    with (
        running_cloud(tmp_path / "cloud", models) as cloud,
        running_edge(tmp_path / "edge", models, cloud.url, **sections) as edge,
    ):
        edge.show("/joint_predict", fire_jpeg())
        wait_until(lambda: edges(cloud))
        (known,) = edges(cloud)
        assert known["state"] == "reporting"
        assert known["report"]["model"] == edge.get("/version").json()["model"]
        assert (known["report"]["cameras"], known["name"]) == (1, "box")
        assert sum(known["forwarded"].values()) >= 1
        assert 'fire_cloud_edges{state="reporting"} 1.0' in cloud.get("/metrics").text


def test_a_box_whose_ledger_is_gone_still_reports(tmp_path, models):
    always = {"name": "always", "daily_limit": 1, "cost_per_call": 0.02}
    with (
        running_cloud(tmp_path / "cloud", models) as cloud,
        running_edge(tmp_path / "edge", models, cloud.url, policy=always) as edge,
    ):
        for _ in range(3):
            edge.show("/joint_predict", fire_jpeg())
        (tmp_path / "edge" / "ledger.sqlite3").rename(tmp_path / "elsewhere")
        edge.service._heartbeat._tell()
        (known,) = edges(cloud)
    assert known["report"]["forwarded"] == 3


def test_a_signed_report_bears_the_name_of_the_key(tmp_path, models):
    key = add_key(tmp_path / "cloud" / "keys.json", "gate")
    add_user(tmp_path / "cloud" / "users.json", "anna", Role.ADMIN, "correct horse")
    with running_cloud(tmp_path / "cloud", models) as cloud:
        section = {"url": cloud.url, "edge_id": "gate", "key": key}
        with running_edge(tmp_path / "edge", models, cloud=section):
            form = {"name": "anna", "password": "correct horse"}
            cloud.post("/login", data=form)
            wait_until(lambda: edges(cloud))
        (known,) = edges(cloud)
        assert (known["name"], known["is_signed"]) == ("gate", True)
        other = cloud.post(
            "/edges/heartbeat",
            json=report("yard").model_dump(mode="json"),
            auth=SignedBy("gate", key),
        )
        assert other.json()["result"]["name"] == "gate"


def test_an_unsigned_report_is_refused_where_edges_sign(tmp_path, models):
    add_key(tmp_path / "keys.json", "gate")
    with running_cloud(tmp_path, models) as cloud:
        told = report().model_dump(mode="json")
        assert cloud.post("/edges/heartbeat", json=told).status_code == 401
        assert cloud.get("/edges").status_code == 401


def test_a_broken_or_huge_report_is_refused(tmp_path, models):
    with running_cloud(tmp_path, models) as cloud:
        headers = {"Content-Type": "application/json"}
        for body, number in (
            (b"{", 1001),
            (b"{}", 1003),
            (b'{"name": "' + b"x" * 40_000 + b'"}', 413),
        ):
            answer = cloud.post("/edges/heartbeat", data=body, headers=headers)
            assert answer.json()["err_no"] == number
        assert edges(cloud) == []


def test_a_cloud_that_is_away_disturbs_nobody(tmp_path, models, log):
    with dead_url() as url, running_edge(tmp_path, models, url, cloud={"tries": 1}) as edge:
        wait_until(lambda: "fleet_report_not_heard" in log.getvalue())
        assert edge.show("/joint_predict", fire_jpeg()).status_code == 200
        troubles = edge.get("/troubles").json()["result"]["troubles"]
        assert not [t for t in troubles if t["kind"] == "thread"]


def test_a_report_that_cannot_be_made_or_sent_is_followed_by_the_next():
    sent: list[bytes] = []
    failures: list[Exception] = [
        LinkError(ErrorCode.CLOUD_UNREACHABLE, "away"),
        RuntimeError("broken"),
    ]

    def tell() -> EdgeReport:
        if failures:
            raise failures.pop()
        return report()

    clock = SystemClock()
    beat = FleetHeartbeat(
        tell, lambda body, _deadline: sent.append(body), Supervisor(clock), clock, every_s=0.05
    )
    beat.start()
    wait_until(lambda: len(sent) >= 2)
    beat.stop()
    assert EdgeReport.model_validate_json(sent[0]) == report()


def test_a_cloud_that_is_away_shows_on_a_box_whose_frames_are_all_quiet_and_its_return_too(
    tmp_path, models, monkeypatch
):
    monkeypatch.setattr("edge.box.heartbeat._FIRST_S", 0.1)
    monkeypatch.setattr("edge.box.heartbeat._AGAIN_S", 0.2)
    with contextlib.ExitStack() as stack:
        with dead_url() as url:
            edge = stack.enter_context(running_edge(tmp_path, models, url))
            wait_until(lambda: edge.get("/readyz").json()["status"] == "degraded")
            said = edge.get("/readyz")
        stack.enter_context(stand_in_cloud(answers(), port=urlsplit(url).port))
        wait_until(lambda: edge.get("/readyz").json()["checks"]["cloud_link"]["state"] == "ok")
    assert said.status_code == 200
    assert "does not answer" in said.json()["checks"]["cloud_link"]["text"]


def test_one_lost_report_is_no_silence():
    outcomes = [
        LinkError(ErrorCode.CLOUD_TIMEOUT, "late"),
        LinkError(ErrorCode.CLOUD_BAD_ANSWER, "404"),
    ]

    def send(_body: bytes, _deadline: Deadline) -> None:
        raise outcomes.pop(0)

    clock = SystemClock()
    beat = FleetHeartbeat(report, send, Supervisor(clock), clock)
    beat._tell()
    assert not beat.is_cloud_silent
    beat._tell()
    assert not beat.is_cloud_silent
