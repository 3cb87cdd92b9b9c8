"""Every row of the catalogue is provoked from outside: over HTTP, on the command line, or through the cloud client."""

from __future__ import annotations

import base64
import importlib.metadata
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import flask
import pytest
import requests
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

import edge.cli
from cloud.fleet.keys import add_key
from cloud.jobs.answer import Answer
from cloud.jobs.idempotency import fingerprint
from edge.capture.open_source import open_source
from edge.capture.shot import CameraAddress, Pace
from edge.forward.http_client import HttpCloudClient, RetrySettings
from edge.lines import CallerLine
from shared.access.users import add_token, add_user
from shared.clock import SystemClock
from shared.config import ServerSection
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import FireError
from shared.roles import Role
from shared.types import ImageLimits
from shared.web import app as web
from tests.contract.conftest import Pair
from tests.helpers.clock import FakeClock
from tests.helpers.evidence import fill
from tests.helpers.frames import picture
from tests.helpers.pictures import calm_jpeg, fire_jpeg
from tests.helpers.raw_http import raw_call
from tests.helpers.services import running_cloud, running_edge, taken_place
from tests.helpers.signing import SignedBy
from tests.helpers.stand_in_clouds import answers, dead_url, hangs, stand_in_cloud
from tests.helpers.tiny_models import write_classifier


@dataclass(frozen=True, kw_only=True)
class World:
    pair: Pair
    models: Path
    tmp_path: Path
    monkeypatch: pytest.MonkeyPatch


def _edge(path: str, body: Any, content_type: str = "image/jpeg", **headers: str):
    def provoke(world: World) -> int:
        picture_bytes = body() if callable(body) else body
        return world.pair.edge.show(
            path, picture_bytes, content_type=content_type, **headers
        ).json()["err_no"]

    return provoke


def _cloud_path(path: str) -> Callable[[World], int]:
    def provoke(world: World) -> int:
        return world.pair.cloud.post("/fire_detector", json={"image_path": path}).json()["err_no"]

    return provoke


def _command(world: World, *arguments: object) -> int:
    environment = {"CREDENTIALS_DIRECTORY": "/nonexistent"}
    result = CliRunner().invoke(edge.cli.main, [str(a) for a in arguments], env=environment)
    assert result.exit_code == 2, result.output
    found = re.search(r"^error (\d+): ", result.output, re.MULTILINE)
    assert found, result.output
    return int(found.group(1))


def _ask(url: str, timeout_s: float = 20.0) -> int:
    client = HttpCloudClient(
        url,
        RetrySettings(tries=1, timeout_s=timeout_s, first_pause_s=0.1, longest_pause_s=0.1),
        pool_size=1,
    )
    try:
        client.infer(
            picture(),
            call_id="call",
            deadline=Deadline.after(30.0, SystemClock()),
            trace=None,
        )
    except FireError as err:
        return err.code.row.number
    finally:
        client.close()
    return 0


def _malformed_http(world: World) -> int:
    return raw_call(world.pair.edge.port, b"GET / HTTP/1.1\r\nno colon here\r\n\r\n").json()[
        "err_no"
    ]


def _body_too_large(world: World) -> int:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    return raw_call(world.pair.edge.port, head).json()["err_no"]


def _rate_limited(_world: World) -> int:
    operations = web.Operations(checks=dict, version=dict, registry=CollectorRegistry())
    app = web.create_app("t", server=ServerSection(), clock=SystemClock(), operations=operations)
    app.add_url_rule("/busy", view_func=lambda: flask.abort(429))
    return app.test_client().get("/busy").get_json()["err_no"]


def _unavailable(world: World) -> int:
    with running_cloud(world.tmp_path / "c", world.models) as cloud:
        cloud.service.house._session.stop(1.0)
        return cloud.show("/infer", fire_jpeg()).json()["err_no"]


def _path_disabled(world: World) -> int:
    with running_cloud(world.tmp_path / "c", world.models) as cloud:
        return cloud.post("/fire_detector", json={"image_path": "/etc/passwd"}).json()["err_no"]


def _key_reused(world: World) -> int:
    for picture_bytes in (fire_jpeg(), calm_jpeg()):
        answer = world.pair.cloud.show("/infer", picture_bytes, Idempotency_Key="reused")
    return answer.json()["err_no"]


def _key_running(world: World) -> int:
    asked = fingerprint("/infer", [fire_jpeg()], {})
    world.pair.cloud.service.house.answers.begin("", "running", asked, within_s=60)
    return world.pair.cloud.show("/infer", fire_jpeg(), Idempotency_Key="running").json()["err_no"]


def _result_expired(world: World) -> int:
    jobs = world.pair.cloud.service.house.jobs
    jobs.add("", "old")
    jobs.finish("old", Answer.of(None))
    entry = jobs._finished["old"]
    jobs._finished["old"] = replace(entry, at_mono_s=entry.at_mono_s - jobs._ttl_s)
    jobs._finished.move_to_end("old", last=False)
    return world.pair.cloud.get("/infer/result/old").json()["err_no"]


def _unsigned(world: World) -> int:
    with running_cloud(world.tmp_path / "c", world.models, auth={"mode": "signed"}) as cloud:
        return cloud.show("/infer", fire_jpeg()).json()["err_no"]


def _signed(key: str | None = None, clock: FakeClock | None = None) -> Callable[[World], int]:
    def provoke(world: World) -> int:
        made = add_key(world.tmp_path / "c" / "keys.json", "gate")
        with running_cloud(world.tmp_path / "c", world.models) as cloud:
            auth = SignedBy("gate", key or made, clock)
            return cloud.post("/infer", data=fire_jpeg(), auth=auth).json()["err_no"]

    return provoke


def _closed(world: World, method: str, path: str, *, token: bool = False, **more: Any) -> int:
    """Ask an edge that has a user, and a token of a viewer."""
    state = world.tmp_path / "closed"
    add_user(state / "users.json", "anna", Role.ADMIN, "correct horse")
    bearer = add_token(state / "users.json", "screen", Role.VIEWER)
    headers = {"Authorization": f"Bearer {bearer}"} if token else {}
    with running_edge(state, world.models) as edge:
        return edge.call(method, path, headers=headers, **more).json()["err_no"]


def _replayed(world: World) -> int:
    key = add_key(world.tmp_path / "c" / "keys.json", "gate")
    with running_cloud(world.tmp_path / "c", world.models) as cloud:
        request = requests.Request(
            "POST", cloud.url + "/infer", data=fire_jpeg(), auth=SignedBy("gate", key)
        ).prepare()
        answers = [cloud.session.send(request, timeout=20) for _ in range(2)]
        return answers[-1].json()["err_no"]


def _model_not_ready(world: World) -> int:
    with running_cloud(world.tmp_path / "c", world.models) as cloud:
        cloud.service.house._trouble = "no model"
        return cloud.show("/infer", fire_jpeg()).json()["err_no"]


def _model_failed(world: World) -> int:
    def fails(*_given: Any) -> Any:
        raise RuntimeError("the card has fallen off the bus")

    with running_cloud(world.tmp_path / "c", world.models) as running:
        detector = running.service.house.slot.current  # it has passed its self-test
        world.monkeypatch.setattr(detector._session._session, "run", fails)
        return running.show("/infer", fire_jpeg()).json()["err_no"]


def _model_refused(world: World) -> int:
    folder = write_classifier(world.tmp_path / "m")
    (folder / "model.onnx").write_bytes(b"swapped")
    return _command(world, "classify", "x.jpg", "--models", world.tmp_path / "m")


def _runtime_conflict(world: World) -> int:
    world.monkeypatch.setattr(importlib.metadata, "distribution", lambda name: object())
    return _command(world, "run", "--state", world.tmp_path / "s", "--models", world.models)


def _unreachable(_world: World) -> int:
    with dead_url() as url:
        return _ask(url)


def _stand_in(answer: Any, timeout_s: float = 20.0) -> Callable[[World], int]:
    def provoke(_world: World) -> int:
        with stand_in_cloud(answer) as cloud:
            return _ask(cloud.url, timeout_s)

    return provoke


def _overloaded(world: World) -> int:
    with (
        running_cloud(world.tmp_path / "c", world.models, engine={"places": 1}) as cloud,
        taken_place(cloud),
    ):
        return cloud.show("/infer", fire_jpeg()).json()["err_no"]


def _edge_overloaded(world: World) -> int:
    with (
        running_edge(world.tmp_path / "e", world.models, server={"places": 1}) as edge,
        edge.service._line.admission.place(),
    ):
        return edge.show("/predict", fire_jpeg()).json()["err_no"]


class _HurryingClock(FakeClock):
    def mono_s(self) -> float:
        self.advance(1.0)
        return super().mono_s()


def _deadline_missed(world: World) -> int:
    with running_cloud(world.tmp_path / "c", world.models, clock=_HurryingClock()) as cloud:
        return cloud.show("/infer", fire_jpeg(), X_Request_Deadline_Ms="500").json()["err_no"]


def _engine_away(world: World) -> int:
    pytest.importorskip("redis")
    with dead_url() as url:
        sections = {
            "engine": {"kind": "redis"},
            "redis": {"url": url.replace("http", "redis")},
        }
        with running_cloud(world.tmp_path / "c", world.models, **sections) as cloud:
            return cloud.show("/infer", fire_jpeg()).json()["err_no"]


def _given_up(world: World) -> int:
    jobs = world.pair.cloud.service.house.jobs
    jobs.add("", "deadly")
    jobs.finish("deadly", Answer.of_error(FireError(ErrorCode.JOB_GIVEN_UP, "twice")))
    return world.pair.cloud.get("/infer/result/deadly").json()["err_no"]


def _store_unavailable(world: World) -> int:
    (world.tmp_path / "evidence" / "records.sqlite3").mkdir(parents=True)
    return _command(world, "evidence", "ls", "--state", world.tmp_path)


def _store_schema(world: World) -> int:
    state = world.tmp_path / "s"
    state.mkdir()
    with sqlite3.connect(state / "ledger.sqlite3") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    return _command(world, "run", "--state", state, "--models", world.models)


def _frame_unknown(world: World) -> int:
    fill(world.pair.edge.service._kept.records, "asked-for-a-frame")
    path = "/events/asked-for-a-frame/frames/x"
    return world.pair.edge.get(path).json()["err_no"]


def _evidence_damaged(world: World) -> int:
    records = world.pair.edge.service._kept.records
    fill(records, "damaged", 1)
    (frame,) = records.frames("damaged")
    (path,) = (world.pair.root.parent / "edge").rglob(frame.sha256)
    path.write_bytes(b"another picture")
    return world.pair.edge.get("/events/damaged/frames/damaged-0").json()["err_no"]


def _backup_damaged(world: World) -> int:
    backup = world.tmp_path / "backup.tar"
    backup.write_bytes(b"no tar")
    return _command(world, "state", "restore", backup, "--state", world.tmp_path / "s")


def _camera_unavailable(world: World) -> int:
    video = world.tmp_path / "broken.mp4"
    video.write_bytes(b"not a video")
    try:
        next(iter(open_source(CameraAddress(url=str(video)), 2.0, ImageLimits()).shots(Pace())))
    except FireError as err:
        return err.code.row.number
    return 0


def _config(world: World, toml: str) -> int:
    path = world.tmp_path / "edge.toml"
    path.write_text(toml)
    return _command(world, "check", "--config", path)


def _internal(world: World) -> int:
    def boom(_line: CallerLine, _frame: object) -> None:
        raise ZeroDivisionError

    world.monkeypatch.setattr(CallerLine, "classify", boom)
    return world.pair.edge.show("/predict", fire_jpeg()).json()["err_no"]


_FIRE_BASE64 = base64.b64encode(fire_jpeg()).decode()
_JSON = "application/json"


def _selftest_running(world: World) -> int:
    cameras = {"dead": {"source": "rtsp://127.0.0.1:1/x"}}
    with running_edge(world.tmp_path / "tested", world.models, cameras=cameras) as edge:
        edge.post("/selftest")
        return edge.post("/selftest").json()["err_no"]


PROVOCATIONS: dict[ErrorCode, Callable[[World], int]] = {
    ErrorCode.SUCCESS: _edge("/predict", fire_jpeg),
    ErrorCode.HTTP_BAD_REQUEST: _malformed_http,
    ErrorCode.HTTP_NOT_FOUND: _edge("/nowhere", b""),
    ErrorCode.HTTP_METHOD_NOT_ALLOWED: _edge("/healthz", b""),
    ErrorCode.HTTP_BODY_TOO_LARGE: _body_too_large,
    ErrorCode.HTTP_RATE_LIMITED: _rate_limited,
    ErrorCode.HTTP_UNAVAILABLE: _unavailable,
    ErrorCode.REQUEST_NOT_JSON: _edge("/predict", b'{"image": NaN}', _JSON),
    ErrorCode.REQUEST_CONTENT_TYPE: _edge("/predict", b"fire", "text/plain"),
    ErrorCode.REQUEST_FIELD_MISSING: _edge("/predict", b"{}", _JSON),
    ErrorCode.REQUEST_FIELD_INVALID: _edge("/predict?camera=a%20b", fire_jpeg),
    ErrorCode.REQUEST_BASE64: _edge("/predict", b'{"image": "!!!"}', _JSON),
    ErrorCode.IMAGE_NOT_A_PICTURE: _edge("/predict", b"GIF89a"),
    ErrorCode.IMAGE_DAMAGED: _edge("/predict", lambda: fire_jpeg()[:-200]),
    ErrorCode.IMAGE_TOO_MANY_PIXELS: _edge(
        "/predict", lambda: fire_jpeg(width_px=2500, height_px=2000)
    ),
    ErrorCode.IMAGE_TOO_SMALL: _edge("/predict", lambda: fire_jpeg(width_px=8, height_px=8)),
    ErrorCode.IMAGE_TOO_MANY_BYTES: _edge("/predict", b"\xff\xd8\xff" + b"\0" * 500_000),
    ErrorCode.BATCH_TOO_LARGE: _edge(
        "/batch_predict", b'{"images": ["a", "a", "a", "a", "a"]}', _JSON
    ),
    ErrorCode.IMAGE_PATH_DISABLED: _path_disabled,
    ErrorCode.IMAGE_PATH_FORBIDDEN: _cloud_path("/etc/passwd"),
    ErrorCode.REQUEST_DEADLINE_INVALID: _edge(
        "/joint_predict", fire_jpeg, X_Request_Deadline_Ms="soon"
    ),
    ErrorCode.IDEMPOTENCY_KEY_REUSED: _key_reused,
    ErrorCode.IDEMPOTENCY_RUNNING: _key_running,
    ErrorCode.RESULT_UNKNOWN: lambda world: world.pair.cloud.get("/infer/result/x").json()[
        "err_no"
    ],
    ErrorCode.RESULT_EXPIRED: _result_expired,
    ErrorCode.CALLBACK_FORBIDDEN: lambda world: world.pair.cloud.show(
        "/infer/async?callback_url=http://127.0.0.1/", fire_jpeg()
    ).json()["err_no"],
    ErrorCode.SIGNATURE_MISSING: _unsigned,
    ErrorCode.SIGNATURE_INVALID: _signed(key="x" * 43),
    ErrorCode.SIGNATURE_CLOCK: _signed(clock=FakeClock()),
    ErrorCode.SIGNATURE_REPLAYED: _replayed,
    ErrorCode.NOT_ALLOWED: lambda world: _closed(world, "GET", "/audit", token=True),
    ErrorCode.SIGN_IN_NEEDED: lambda world: _closed(world, "GET", "/cameras"),
    ErrorCode.SIGN_IN_WRONG: lambda world: _closed(
        world, "POST", "/login", data={"name": "anna", "password": "another one"}
    ),
    ErrorCode.FORGED_CHANGE: lambda world: world.pair.edge.post(
        "/predict", headers={"Origin": "https://evil.example"}
    ).json()["err_no"],
    ErrorCode.MODEL_NOT_READY: _model_not_ready,
    ErrorCode.MODEL_FAILED: _model_failed,
    ErrorCode.MODEL_REFUSED: _model_refused,
    ErrorCode.RUNTIME_CONFLICT: _runtime_conflict,
    ErrorCode.EDGE_OVERLOADED: _edge_overloaded,
    ErrorCode.CLOUD_UNREACHABLE: _unreachable,
    ErrorCode.CLOUD_TIMEOUT: _stand_in(hangs, timeout_s=0.2),
    ErrorCode.CLOUD_BAD_ANSWER: _stand_in(answers(raw=b"hello")),
    ErrorCode.CLOUD_OVERLOADED: _overloaded,
    ErrorCode.DEADLINE_MISSED: _deadline_missed,
    ErrorCode.CLOUD_REFUSED: _stand_in(answers({"err_no": 1007}, status=400)),
    ErrorCode.ENGINE_UNAVAILABLE: _engine_away,
    ErrorCode.JOB_GIVEN_UP: _given_up,
    ErrorCode.STORE_UNAVAILABLE: _store_unavailable,
    ErrorCode.STORE_SCHEMA: _store_schema,
    ErrorCode.EVENT_UNKNOWN: lambda world: world.pair.edge.get("/events/x").json()["err_no"],
    ErrorCode.FRAME_UNKNOWN: _frame_unknown,
    ErrorCode.EVIDENCE_DAMAGED: _evidence_damaged,
    ErrorCode.BACKUP_DAMAGED: _backup_damaged,
    ErrorCode.CAMERA_UNAVAILABLE: _camera_unavailable,
    ErrorCode.CAMERA_SOURCE_INVALID: lambda world: _config(
        world, f"models = '{world.models}'\n[cameras.yard]\nsource = '/nowhere'"
    ),
    ErrorCode.SELFTEST_RUNNING: _selftest_running,
    ErrorCode.CONFIG_INVALID: lambda world: _config(world, "surprise = 1"),
    ErrorCode.COMMAND_REFUSED: lambda world: _command(
        world, "outbox", "ls", "--state", world.tmp_path / "elsewhere"
    ),
    ErrorCode.INTERNAL: _internal,
}


@pytest.mark.parametrize("code", ErrorCode)
def test_the_code_can_be_provoked(code, pair, models, tmp_path, monkeypatch):
    world = World(pair=pair, models=models, tmp_path=tmp_path, monkeypatch=monkeypatch)
    assert PROVOCATIONS[code](world) == code.row.number
