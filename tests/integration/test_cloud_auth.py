"""A cloud that wants signatures, its callers, and an edge that signs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner

import cloud.cli
from cloud.config_doubts import doubts
from cloud.fleet.keys import add_key
from cloud.service import CloudService
from shared.access.users import add_token
from shared.errors import ConfigError
from shared.roles import Role
from tests.helpers.clock import FakeClock
from tests.helpers.pictures import fire_jpeg
from tests.helpers.services import Running, cloud_settings, running_cloud, running_edge
from tests.helpers.signing import SignedBy
from tests.helpers.waiting import wait_until


class World:
    """A cloud in which `gate` and `yard` have keys."""

    def __init__(self, running: Running, keys: dict[str, str]) -> None:
        self.cloud = running
        self.keys = keys

    def call(self, name: str | None, method: str, path: str, **more: Any) -> requests.Response:
        auth = SignedBy(name, self.keys[name]) if name else None
        return self.cloud.call(method, path, auth=auth, **more)

    def post(self, name: str | None, path: str) -> requests.Response:
        headers = {"Content-Type": "image/jpeg"}
        return self.call(name, "POST", path, data=fire_jpeg(), headers=headers)


@pytest.fixture
def world(tmp_path: Path, models: Path) -> Iterator[World]:
    keys = {name: add_key(tmp_path / "keys.json", name) for name in ("gate", "yard", "admin")}
    with running_cloud(tmp_path, models) as running:
        yield World(running, keys)


def test_a_signed_call_is_answered(world):
    assert world.post("gate", "/infer").json()["result"]["label"] == "fire"
    assert world.post("gate", "/infer?camera=a").status_code == 200


def test_the_signature_that_the_guide_shows_is_accepted(world):
    guide = (Path(__file__).parents[2] / "docs/api.md").read_text(encoding="utf-8")
    code = next(
        b for b in re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL) if "hmac" in b
    )
    modules = {"base64": base64, "hashlib": hashlib, "hmac": hmac, "time": time}
    told = {**modules, "body": fire_jpeg(), "nonce": "n" * 16, "key": world.keys["gate"]}
    exec(code, told)  # noqa: S102 # it is ours
    headers = {"Content-Type": "image/jpeg", **told["headers"]}
    assert world.call(None, "POST", "/infer", data=fire_jpeg(), headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/infer", "/infer/async", "/infer/batch", "/fire_detector"])
def test_an_unsigned_call_is_refused_whatever_it_asks(world, path):
    answer = world.post(None, path)
    assert (answer.status_code, answer.json()["err_no"]) == (401, 1020)
    assert answer.headers["WWW-Authenticate"].startswith("Signature")
    assert world.call(None, "GET", "/infer/result/x").status_code == 401
    assert world.call(None, "DELETE", "/infer/result/x").status_code == 401
    assert world.call(None, "GET", "/nowhere").status_code == 401


@pytest.mark.parametrize(
    "path", ["/health", "/healthz", "/readyz", "/version", "/metrics", "/errors"]
)
def test_health_and_metrics_need_no_signature(world, path):
    assert world.call(None, "GET", path).status_code == 200


def test_a_form_and_json_can_be_signed_too(world):
    as_form = world.call("gate", "POST", "/infer", files={"image": fire_jpeg()})
    encoded = base64.b64encode(fire_jpeg()).decode()
    as_json = world.call("gate", "POST", "/infer", json={"image": encoded})
    assert [a.json()["result"]["label"] for a in (as_form, as_json)] == ["fire", "fire"]


def test_a_result_is_shown_to_its_creator_only(world):
    job_id = world.post("gate", "/infer/async").json()["request_id"]
    path = f"/infer/result/{job_id}"
    stranger = world.call("yard", "GET", path)
    assert (stranger.status_code, stranger.json()["err_no"]) == (404, 1017)
    assert world.call("yard", "DELETE", path).status_code == 404
    assert world.call("gate", "GET", path).status_code in (200, 202)


def test_what_one_token_asked_is_shown_to_no_other(tmp_path, models):
    tokens = [add_token(tmp_path / "users.json", name, Role.SENDER) for name in ("a", "b")]
    with running_cloud(tmp_path, models) as cloud:

        def call(token: str, method: str, path: str, **more: Any) -> requests.Response:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "image/jpeg"}
            headers["Idempotency-Key"] = "k1"
            return cloud.call(method, path, headers=headers, **more)

        job_id = call(tokens[0], "POST", "/infer/async", data=fire_jpeg()).json()["request_id"]
        for path in (f"/infer/result/{job_id}", "/infer/result/k1"):
            assert call(tokens[1], "GET", path).status_code == 404
            assert call(tokens[0], "GET", path).status_code in (200, 202)
        assert call(tokens[1], "POST", "/infer", data=fire_jpeg()).status_code == 200


def test_an_idempotency_key_is_its_callers_own(world):
    def ask(name: str) -> requests.Response:
        headers = {"Content-Type": "image/jpeg", "Idempotency-Key": "k1"}
        return world.call(name, "POST", "/infer", data=fire_jpeg(), headers=headers)

    ask("gate")
    assert "Idempotency-Replayed" not in ask("yard").headers
    assert ask("gate").headers["Idempotency-Replayed"] == "true"
    assert world.call("yard", "GET", "/infer/result/k1").status_code == 200
    assert world.call("admin", "GET", "/infer/result/k1").status_code == 404


def test_a_replayed_request_is_refused(world):
    signed = requests.Request(
        "POST",
        world.cloud.url + "/infer",
        data=fire_jpeg(),
        headers={"Content-Type": "image/jpeg"},
        auth=SignedBy("gate", world.keys["gate"]),
    ).prepare()
    first, second = (world.cloud.session.send(signed, timeout=20) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 401)
    assert second.json()["err_no"] == 1023


def test_a_box_with_a_wrong_clock_is_told_by_how_much(world):
    clock = FakeClock(datetime.now(UTC) - timedelta(hours=2))
    auth = SignedBy("gate", world.keys["gate"], clock)
    answer = world.cloud.post("/infer", data=fire_jpeg(), auth=auth)
    assert (answer.status_code, answer.json()["err_no"]) == (401, 1022)
    assert "behind" in answer.json()["detail"]


def test_the_old_key_works_until_the_next_rotation(world, tmp_path):
    path = tmp_path / "keys.json"
    world.cloud.service._keys._file._looked_mono_s -= 10
    add_key(path, "gate")
    assert world.post("gate", "/infer").status_code == 200
    add_key(path, "gate")
    world.cloud.service._keys._file._looked_mono_s -= 10
    assert world.post("gate", "/infer").status_code == 401


def test_a_cloud_that_refuses_the_box_is_not_told_as_one_that_is_away(world, tmp_path, models):
    def links(edge: Running) -> list[str]:
        told = edge.get("/troubles").json()["result"]["troubles"]
        return [f"{t['code']}: {t['cause']}" for t in told if t["kind"] == "link"]

    section = {"url": world.cloud.url, "edge_id": "gate", "key": "A" * 43}
    with running_edge(tmp_path / "wrong", models, cloud=section) as edge:
        wait_until(lambda: links(edge))  # no picture had to be sent for it
        (link,) = links(edge)
    assert link.startswith("cloud_refuses: The cloud refuses this box")
    assert "err_no 1021 the signature is not right" in link


def test_an_edge_with_a_key_is_answered_and_one_with_a_wrong_key_falls_back(
    world, tmp_path, models
):
    def source_with(key: str) -> dict:
        section = {"url": world.cloud.url, "edge_id": "gate", "key": key}
        state = tmp_path / key[:6]
        policy = {"name": "always"}
        with running_edge(state, models, cloud=section, policy=policy) as edge:
            return edge.show("/joint_predict", fire_jpeg()).json()

    assert source_with(world.keys["gate"])["source"] == "cloud"
    refused = source_with("x" * 43)
    assert refused["source"] == "edge_fallback"
    assert refused["decision"]["charged"] is False


def test_the_key_of_an_edge_can_stand_in_a_file(world, tmp_path, models):
    path = tmp_path / "gate.key"
    path.write_text(world.keys["gate"] + "\n")
    section = {"url": world.cloud.url, "edge_id": "gate", "key_file": path}
    with running_edge(tmp_path / "edge", models, cloud=section, policy={"name": "always"}) as edge:
        assert edge.show("/joint_predict", fire_jpeg()).json()["source"] == "cloud"


def test_a_cloud_without_keys_does_not_start_beyond_its_machine(tmp_path, models):
    settings = cloud_settings(tmp_path, models, server={"host": "0.0.0.0"})
    with pytest.raises(ConfigError, match="keys new"):
        CloudService(settings)


def test_a_cloud_without_keys_starts_anywhere_when_that_is_meant(tmp_path, models):
    sections = {"server": {"host": "0.0.0.0"}, "auth": {"mode": "open"}}
    with running_cloud(tmp_path, models, **sections) as running:
        assert running.show("/infer", fire_jpeg()).status_code == 200
        warnings = doubts(running.service._settings)
        assert any("without authentication" in warning for warning in warnings)


def test_a_cloud_that_was_told_to_wants_signatures_even_before_it_has_keys(tmp_path, models):
    with running_cloud(tmp_path, models, auth={"mode": "signed"}) as running:
        assert running.show("/infer", fire_jpeg()).status_code == 401


def test_a_signature_is_checked_also_where_none_is_needed(tmp_path, models):
    with running_cloud(tmp_path, models) as running:
        auth = SignedBy("gate", "x" * 43)
        assert running.post("/infer", data=fire_jpeg(), auth=auth).status_code == 401


def test_keys_are_made_listed_and_taken_away_on_the_command_line(tmp_path):
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(cloud.cli.main, ["keys", *arguments, "--state", str(tmp_path)])

    made = run("new", "gate")
    assert made.exit_code == 0
    assert len(made.stdout.strip()) == 43
    assert run("new", "gate").stdout != made.stdout
    assert run("list").stdout == "gate  2\n"
    assert run("remove", "gate").exit_code == 0
    assert run("remove", "gate").exit_code == 1
    assert run("new", "a b").exit_code == 2


def test_the_first_key_closes_a_door_that_was_open(tmp_path, models):
    with running_cloud(tmp_path, models) as running:
        assert running.show("/infer", fire_jpeg()).status_code == 200
        add_key(tmp_path / "keys.json", "gate")
        running.service._keys._file._looked_mono_s -= 10
        assert running.show("/infer", fire_jpeg()).status_code == 401
