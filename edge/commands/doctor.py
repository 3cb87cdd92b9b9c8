"""`emberlink-edge doctor`: one line a check, ok, warn or FAIL, with what to do. Ring: rim."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click
import requests

from edge.capture.open_source import open_source
from edge.capture.shot import PUSH, Pace, Shot
from edge.classify.classifier import Classifier, LoadedClassifier
from edge.commands.doctor_cloud import clouds
from edge.commands.doctor_sinks import sinks
from edge.config.cameras import CameraSection
from edge.config.doubts import doubts
from edge.config.settings import ENV_PREFIX, EdgeSettings
from edge.record.archive import DATABASE
from edge.wiring.cameras import camera_address
from edge.wiring.evidence import build_records, evidence_folder
from shared.clock import Stopwatch, SystemClock
from shared.command import checkup
from shared.command.checkup import Finding, State, as_line, checked, fail, ok, warn
from shared.command.control import control_headers
from shared.command.diagnostics import write_bundle
from shared.command.terminal import explained, unwritable
from shared.config import holds_secret, load_settings
from shared.errors import FireError
from shared.logs import redact
from shared.model.inference import best_cpu_variant
from shared.model.manifest import load_artifact, shipped_models
from shared.picture.imaging import jpeg_picture
from shared.rendered.scene import Scene, SceneSettings
from shared.types import Frame
from shared.watch.supervise import Supervisor

_TIMEOUT_S = 5.0
_CAMERA_WAIT_S = 12.0  # opening an RTSP stream and waiting for its first key frame
_BURNING_S = 40.0
_MOST_BUSY = 0.8  # of the frames that the classifier can take; above, bursts are skipped
_TIMED = 3  # the quickest of so many, since a machine does other things, too
_TOLD = ("/version", "/readyz", "/troubles", "/cameras", "/policy", "/metrics")


@click.command("doctor")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a check.")
@click.option("--no-cameras", is_flag=True, help="Do not open the cameras.")
def doctor_command(config: Path | None, as_json: bool, no_cameras: bool) -> None:
    """Check this box, one line a check.

    Exit 1 when something fails. Python, runtime, CPU, model, disk, port, secrets, sinks, cloud, clock and cameras.
    """
    with explained():
        settings = load_settings(EdgeSettings, prefix=ENV_PREFIX, toml_path=config)
    worst = 0
    for finding in examine(settings, with_cameras=not no_cameras, config=config):
        click.echo(json.dumps(asdict(finding)) if as_json else as_line(finding))
        worst |= finding.state is State.FAIL
    sys.exit(worst)


def examine(
    settings: EdgeSettings, *, with_cameras: bool, config: Path | None
) -> Iterator[Finding]:
    """Run every check that these settings, from the file `config`, need, one after the other."""
    yield from checked("python", checkup.python)
    yield from checked("runtime", checkup.runtime)
    yield from checked("cpu", checkup.processor)
    yield from checked("model", partial(_model, settings))
    yield from checked("disk", partial(checkup.folder, settings.state))
    if settings.evidence.folder:
        yield from checked("disk", partial(checkup.folder, settings.evidence.folder))
    yield from checked("evidence", partial(_evidence, settings))
    yield from checked("port", partial(_port, settings))
    for text in doubts(settings):
        yield warn("setting", text, "Change the setting, or leave it if it is meant.")
    if config and holds_secret(settings):
        check = partial(checkup.secret_file, config, "settings", may_share_group=True)
        yield from checked("secret", check)
    for what, path in secrets(settings):
        yield from checked("secret", partial(checkup.secret_file, path, what))
    yield from sinks(settings)
    for address in settings.cloud.addresses:
        yield from checked("cloud", partial(clouds, settings, address))
    if not settings.cloud.is_configured:
        yield ok("cloud", "none is configured: the edge works alone")
    if with_cameras:
        for name, camera in settings.cameras.items():
            yield from checked("camera", partial(_camera, name, camera, settings))
    if not settings.cameras:
        yield ok("camera", "none is configured: frames come over HTTP")


def secrets(settings: EdgeSettings) -> Iterator[tuple[str, Path]]:
    """List the secret files that the settings name."""
    if settings.cloud.key_file:
        yield "cloud.key_file", settings.cloud.key_file
    if settings.cloud.consul_token_file:
        yield "cloud.consul_token_file", settings.cloud.consul_token_file
    for name, camera in settings.cameras.items():
        if camera.password_file:
            yield f"cameras.{name}.password_file", camera.password_file
    for name, sink in settings.alerts.sinks.items():
        for field in ("url_file", "secret_file", "password_file"):
            if path := getattr(sink, field, None):
                yield f"alerts.sinks.{name}.{field}", path
    if settings.users_path.exists():
        yield "users", settings.users_path


def _evidence(settings: EdgeSettings) -> Iterator[Finding]:
    """Tell for how many days the disk takes what was recorded in the last 24 hours."""
    if not (evidence_folder(settings) / DATABASE).exists():
        text = (
            "nothing was recorded yet; `emberlink-edge evidence size` tells how long a disk lasts"
        )
        yield ok("evidence", text)
        return
    clock = SystemClock()
    records = build_records(settings, clock, Supervisor(clock), is_visitor=True)
    try:
        found = records.forecast()
    finally:
        records.close()
    text = f"{found.used_bytes / 1e9:.2f} GB kept, {found.bytes_per_day / 1e9:.2f} GB in the last 24 hours: "
    if found.days_left is None:
        yield ok("evidence", text + "no end in sight")
    elif found.is_short:
        remedy = (
            "Free room, or record less; `emberlink-edge evidence size` tells what a disk holds."
        )
        yield warn("evidence", f"{text}{found.days_left:.1f} days left", remedy)
    else:
        yield ok("evidence", f"{text}{found.days_left:.0f} days left")


def _model(settings: EdgeSettings) -> Iterator[Finding]:
    """Load the classifier, verified, and let it look at a rendered fire."""
    artifact = load_artifact(
        settings.models or shipped_models(),
        settings.model.name,
        kind="classifier",
        variant=settings.model.variant or best_cpu_variant(),
    )
    classifier = Classifier(LoadedClassifier(artifact), at_once=1)
    picture = jpeg_picture(Scene(SceneSettings()).render(_BURNING_S).bgr_hwc_u8)
    clock = SystemClock()
    frame = Frame(frame_id="doctor", camera=None, picture=picture, captured_at=clock.now_at())
    try:
        classifier.classify(frame)
        watch = Stopwatch(clock)
        for number in range(_TIMED):
            seen = classifier.classify(frame)
            watch.lap(str(number))
    finally:
        classifier.stop()
    took_s = min(watch.stages_s.values())
    name = f"{artifact.identity.name} {artifact.identity.version} ({artifact.identity.sha256_12})"
    text = f"{name}: a rendered fire is {seen.fire:.0%} fire, {1000 * took_s:.1f} ms a frame"
    if seen.fire < 0.5:
        yield fail(
            "model", text, "The model does not see a plain fire: install the shipped one again."
        )
        return
    wanted, most = sum(c.fps for c in settings.cameras.values()), settings.model.sessions / took_s
    if wanted > _MOST_BUSY * most:
        text += f"; {most:.0f} frames a second at most, and the cameras want {wanted:g}"
        remedy = (
            "Lower `fps` of the cameras, or take a faster box: what cannot be looked at is skipped."
        )
        yield warn("model", text, remedy)
    else:
        yield ok("model", text)


def _port(settings: EdgeSettings) -> Iterator[Finding]:
    def who() -> str | None:
        url = f"http://127.0.0.1:{settings.server.port}/version"
        try:
            told = _get(url).json()
        except (requests.RequestException, ValueError):
            return None
        result = told.get("result", told) if isinstance(told, dict) else {}
        return "the running service" if result.get("name") == "emberlink-edge" else None

    yield from checkup.port(settings.server.host, settings.server.port, health=who)


def _camera(name: str, camera: CameraSection, settings: EdgeSettings) -> Iterator[Finding]:
    """Open a camera and wait for one picture; a thread of its own, since a read may hang."""
    if camera.source == PUSH:
        yield ok("camera", f"{name}: its frames are posted")
        return
    got: list[str | FireError] = []
    pace = Pace()

    def read() -> None:
        try:
            source = open_source(camera_address(camera), camera.fps, settings.limits.image_limits())
            shot = next(iter(source.shots(pace)), None)
        except FireError as err:
            got.append(err)
        else:
            got.append(_size(shot) if shot else "no picture")

    thread = threading.Thread(target=read, name=f"doctor-{name}", daemon=True)
    thread.start()
    thread.join(_CAMERA_WAIT_S)
    pace.end()
    if not got:
        remedy = "Check address, cable and password; `ffplay` with the same address shows whether it sends."
        yield fail("camera", f"{name}: no picture within {_CAMERA_WAIT_S:g} s", remedy)
    elif isinstance(got[0], FireError):
        yield fail("camera", f"{name}: {got[0].detail}", got[0].remedy)
    else:
        yield ok("camera", f"{name}: {redact(camera.source)}, {got[0]}")


def _size(shot: Shot) -> str:
    return f"{shot.picture.width_px} × {shot.picture.height_px}"


def _get(url: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=_TIMEOUT_S, allow_redirects=False)


@click.command("diagnostics")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default="diagnostics.zip")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file.")
def diagnostics_command(file: Path, config: Path | None) -> None:
    """Write a bundle for whoever helps from afar.

    FILE gets settings, health, metrics and versions; no secrets, no pictures.
    """
    with explained():
        settings = load_settings(EdgeSettings, prefix=ENV_PREFIX, toml_path=config)
        try:
            write_bundle(
                file,
                settings=settings,
                findings=examine(settings, with_cameras=False, config=config),
                base_url=f"http://127.0.0.1:{settings.server.port}",
                routes=_TOLD,
                headers=control_headers(settings.state),
            )
        except OSError as err:
            raise unwritable(file, err, "FILE") from err
    click.echo(f"{file} written; look into it before you send it")
