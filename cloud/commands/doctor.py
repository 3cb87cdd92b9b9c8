"""`emberlink-cloud doctor`: one line a check, ok, warn or FAIL, with what to do. Ring: rim."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click
import requests

from cloud.config import ENV_PREFIX, CloudSettings, EngineKind
from cloud.config_doubts import doubts
from cloud.gate import check_door
from cloud.house_wiring import check_redis, slot_settings
from cloud.model.slot import load_sound
from cloud.troubles import EVICTION_REPAIR, evicts
from shared.clock import Stopwatch, SystemClock
from shared.command import checkup
from shared.command.checkup import Finding, State, as_line, checked, fail, ok, warn
from shared.command.terminal import explained
from shared.config import load_settings
from shared.error_code import ErrorCode
from shared.picture.imaging import jpeg_picture
from shared.rendered.scene import Scene, SceneSettings
from shared.types import Label

_BURNING_S = 40.0
_TIMEOUT_S = 5.0


@click.command("doctor")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a check.")
def doctor_command(config: Path | None, as_json: bool) -> None:
    """Check this machine, a line a check; exit 1 when one fails.

    Python, runtime, card, model, disk, port, keys, Redis.
    """
    with explained():
        settings = load_settings(CloudSettings, prefix=ENV_PREFIX, toml_path=config)
    worst = 0
    for finding in examine(settings):
        click.echo(json.dumps(asdict(finding)) if as_json else as_line(finding))
        worst |= finding.state is State.FAIL
    sys.exit(worst)


def examine(settings: CloudSettings) -> Iterator[Finding]:
    """Run every check that these settings need, one after the other."""
    yield from checked("python", checkup.python)
    yield from checked("runtime", checkup.runtime)
    if settings.model.device == "cpu":
        yield from checked("cpu", checkup.processor)
    yield from checked("model", partial(_model, settings))
    yield from checked("disk", partial(checkup.folder, settings.state))
    yield from checked("port", partial(_port, settings))
    for text in doubts(settings):
        yield warn("setting", text, "Change the setting, or leave it if it is meant.")
    yield from checked("keys", partial(_keys, settings))
    if settings.consul.token_file:
        yield from checked(
            "secret", partial(checkup.secret_file, settings.consul.token_file, "consul.token_file")
        )
    if settings.engine.kind is EngineKind.REDIS:
        yield from checked("redis", partial(_redis, settings))


def _model(settings: CloudSettings) -> Iterator[Finding]:
    """Load the detector as the service would, and let it look at its own pictures and at a rendered fire."""
    clock = SystemClock()
    detector = load_sound(slot_settings(settings, clock))
    picture = jpeg_picture(Scene(SceneSettings()).render(_BURNING_S).bgr_hwc_u8)
    prepared = detector.prepare(picture)
    watch = Stopwatch(clock)
    (raw,) = detector.run_batch([prepared.tensor])
    watch.lap("infer")
    finding = detector.finding(raw, prepared.letterbox)
    model = detector.identity
    text = (
        f"{model.name} {model.version} ({model.sha256_12}) on {detector.providers[0]}: "
        f"a rendered fire is {finding.label.value}, {1000 * watch.stages_s['infer']:.0f} ms a picture"
    )
    if finding.label is not Label.FIRE:
        yield fail(
            "model", text, "The model does not see a plain fire: install the shipped one again."
        )
    elif settings.model.device == "cuda" and "CUDA" not in detector.providers[0]:
        yield warn(
            "model", text, "The card is not used: check driver, CUDA and cuDNN with `nvidia-smi`."
        )
    else:
        yield ok("model", text)


def _port(settings: CloudSettings) -> Iterator[Finding]:
    def who() -> str | None:
        told = _told_by_service(settings, "/version")
        result = told.get("result", told)
        return "the running service" if result.get("name") == "emberlink-cloud" else None

    yield from checkup.port(settings.server.host, settings.server.port, health=who)


def _keys(settings: CloudSettings) -> Iterator[Finding]:
    is_signed = check_door(settings, SystemClock())
    told = _told_by_service(settings, "/infer/result/doctor")
    if not is_signed and told.get("err_no") == ErrorCode.SIGNATURE_MISSING.row.number:
        text = (
            f"requests must be signed for as long as the service runs, and then not: {settings.keys_path} is gone "
            "or names no edge"
        )
        yield warn("keys", text, "Put a copy back, or make each key anew with `keys new EDGE`.")
    else:
        yield ok("keys", f"requests {'must be signed' if is_signed else 'need no signature'}")
    if settings.keys_path.exists():
        yield from checkup.secret_file(settings.keys_path, "keys")


def _told_by_service(settings: CloudSettings, path: str) -> dict[str, Any]:
    """Ask the service that runs with these settings; {} where none does."""
    url = f"http://127.0.0.1:{settings.server.port}{path}"
    with requests.Session() as session:
        session.trust_env = False
        try:
            told = session.get(url, timeout=_TIMEOUT_S, allow_redirects=False).json()
        except (requests.RequestException, ValueError):
            return {}
    return told if isinstance(told, dict) else {}


def _redis(settings: CloudSettings) -> Iterator[Finding]:
    policy = check_redis(settings)
    if policy:
        yield fail("redis", evicts(policy), EVICTION_REPAIR)
    else:
        yield ok("redis", "answers")
