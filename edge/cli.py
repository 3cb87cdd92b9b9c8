"""The command line of the edge: run, check, classify, sample; replay and reload have files of their own. Ring: rim."""

from __future__ import annotations

import sys
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO, cast
from urllib.parse import urlsplit

import click

from edge.alert_command import alerts_command, outbox_command
from edge.calibrate_command import calibrate_command
from edge.camera_wiring import camera_address
from edge.capture import open_source
from edge.capture_sim import sim_settings
from edge.classify import Classifier, LoadedClassifier
from edge.config import ENV_PREFIX, EdgeLogSection, EdgeSettings
from edge.config_cameras import CameraSection
from edge.doctor import diagnostics_command, doctor_command
from edge.evidence_command import evidence_command
from edge.init_command import init_command
from edge.policies import PolicyName
from edge.reload_command import reload_command
from edge.replay_command import replay_command
from edge.selftest_command import selftest_command
from edge.service import EdgeService
from edge.shot import PUSH
from edge.sink_wiring import build_receivers
from edge.state_command import state_command
from shared.annotate import annotate
from shared.clock import SystemClock
from shared.completion import completion_command
from shared.config import load_settings, load_traced
from shared.errors import CommandError, FireError
from shared.gate import refuse_without_users
from shared.gather import Gathered
from shared.ids import new_id
from shared.imaging import ImageLimits, decode, jpeg_picture
from shared.inference import best_cpu_variant, refuse_two_runtimes
from shared.logs import configure_logs, get_logger, redact
from shared.manifest import load_artifact, shipped_models
from shared.rotated_log import RotatedLog
from shared.scene import Scene
from shared.terminal import (
    RATE,
    FiniteRange,
    StopSignal,
    explained,
    for_each_picture,
    unwritable,
)
from shared.types import Frame, Picture
from shared.user_commands import user_commands
from shared.users import Users
from shared.version import version

_CONFIG = click.option("--config", type=click.Path(path_type=Path), help="TOML file.")
_MODELS = click.option(
    "--models", type=click.Path(path_type=Path), help="Folder of model artifacts."
)
_SOURCE = "For instance --source gate=rtsp://viewer@10.0.0.5/stream1, or --source yard=sim: to try."


@click.group("emberlink-edge", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(), prog_name="emberlink-edge")
def main() -> None:
    """Fire and smoke at the edge: classify every frame, ask the cloud where it counts.

    Supplements listed fire alarms; never replaces one.
    """


@main.command()
@_CONFIG
@click.option("--host", help="Address to listen on (127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (5000).")
@click.option("--cloud", "cloud_url", help="Address of the cloud; without it the edge works alone.")
@click.option(
    "--policy", type=click.Choice([p.value for p in PolicyName]), help="Forwarding policy."
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="Folder for what must survive a restart (run/edge).",
)
@_MODELS
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="NAME=URL",
    help="A camera; may be given several times.",
)
def run(
    config: Path | None,
    host: str | None,
    port: int | None,
    cloud_url: str | None,
    policy: str | None,
    state: Path | None,
    models: Path | None,
    sources: tuple[str, ...],
) -> None:
    """Run the edge service until Ctrl-C."""
    with explained():
        flags = {
            "server": {"host": host, "port": port},
            "cloud": {"url": cloud_url},
            "policy": {"name": policy},
            "cameras": {name: {"source": url} for name, url in map(_named_source, sources)},
            "state": state,
            "models": models,
        }
        settings, origins = load_traced(
            EdgeSettings, prefix=ENV_PREFIX, toml_path=config, flags=flags
        )
        stream = _log_file(settings.log)
        out = cast(TextIO | None, stream)
        configure_logs(level=settings.log.level, stream=out, lines={"verdict": _verdict_line})
        if stream and stream.trouble:
            get_logger().warning("log_file_not_written", detail=stream.trouble)
        for warning in settings.warnings():
            get_logger().warning("setting_looks_wrong", detail=warning)
    stop = StopSignal()
    while (
        stop.goes_on()
    ):  # once; again when a state folder can be written that could not at the start
        with explained():
            service = EdgeService(settings, origins=origins, on_state_return=stop.wake)
            service.start()
        stop.wait()
        service.stop(for_good=stop.has_come)


@main.command()
@_CONFIG
def check(config: Path | None) -> None:
    """Check settings, model and addresses.

    Exit 2 when one is wrong.
    """
    with explained():
        settings = load_settings(EdgeSettings, prefix=ENV_PREFIX, toml_path=config)
        click.echo("ok    configuration")
        for warning in settings.warnings():
            click.echo(f"warn  {warning}")
        refuse_without_users(
            settings.access, settings.server, Users(settings.users_path, SystemClock())
        )
        refuse_two_runtimes()
        classifier = _classifier(settings.models, settings.model.variant)
        click.echo(
            f"ok    model {classifier.identity.name} {classifier.identity.version} ({classifier.identity.sha256_12})"
        )
        for name, camera in settings.cameras.items():
            _check_camera(name, camera, settings)
        for receiver in build_receivers(settings.alerts, (), SystemClock()).values():
            receiver.sink.close()
            click.echo(f"ok    alerts to {receiver.name} ({receiver.kind})")
        if not settings.cameras:
            click.echo("ok    no camera: frames come over HTTP")
        for address in settings.cloud.addresses:
            click.echo(f"ok    cloud {redact(address)}")
        if not settings.cloud.is_configured:
            click.echo("ok    no cloud: the edge works alone")


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON line a picture.")
@click.option("--save", type=click.Path(path_type=Path), help="Folder for annotated pictures.")
@click.option(
    "--video-fps",
    type=RATE,
    default=2.0,
    show_default=True,
    help="Frames a second taken from videos.",
)
@click.option("--variant", type=click.Choice(["int8", "fp32"]), help="Which file of the model.")
@_MODELS
def classify(
    files: tuple[Path, ...],
    as_json: bool,
    save: Path | None,
    video_fps: float,
    variant: str | None,
    models: Path | None,
) -> None:
    """Classify pictures, folders and videos.

    Exit 1 when some of them could not be used.
    """
    with explained():
        limits = ImageLimits()
        classifier = _classifier(models, variant)
        failed = for_each_picture(
            files,
            limits=limits,
            video_fps=video_fps,
            as_json=as_json,
            save=save,
            look=lambda found: _look(classifier, found),
        )
    sys.exit(1 if failed else 0)


main.add_command(init_command)
main.add_command(doctor_command)
main.add_command(calibrate_command)
main.add_command(diagnostics_command)
main.add_command(completion_command)
main.add_command(replay_command)
main.add_command(evidence_command)
main.add_command(state_command)
main.add_command(reload_command)
main.add_command(selftest_command)
main.add_command(alerts_command)
main.add_command(outbox_command)


def _users_path(config: Path | None, state: Path | None) -> Path:
    flags = {"state": state}
    settings = load_settings(EdgeSettings, prefix=ENV_PREFIX, toml_path=config, flags=flags)
    return settings.users_path


for _group in user_commands(_users_path):
    main.add_command(_group)


@main.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--at",
    "at_s",
    default=40.0,
    show_default=True,
    type=FiniteRange(0.0, 86_400.0),
    help="Second of the scene; its fire starts at 8.",
)
@click.option(
    "--source", default="sim:", show_default=True, help="Settings of the scene, as for a camera."
)
def sample(file: Path, at_s: float, source: str) -> None:
    """Render a picture of a fire.

    For machines without a photograph of one.
    """
    with explained():
        picture = jpeg_picture(Scene(sim_settings(source)).render(at_s).bgr_hwc_u8)
        try:
            file.write_bytes(picture.encoded)
        except OSError as err:
            raise unwritable(file, err, "FILE") from err
    click.echo(
        f"{file}: {picture.width_px} x {picture.height_px}, {len(picture.encoded)} bytes, second {at_s:g}"
    )


def _log_file(log: EdgeLogSection) -> RotatedLog | None:
    """Open the file that lines go to; None is stderr."""
    if log.file is None:
        return None
    return RotatedLog(log.file, max_bytes=log.max_bytes, keep=log.keep)


def _verdict_line(fields: MutableMapping[str, Any]) -> str:
    """Write a decision for a person: which camera, what, how sure, who said so and why, how long it took."""
    label = str(fields["label"])
    colour = {"fire": "red", "smoke": "yellow"}.get(label, "green")
    seen = click.style(f"{label:5} {fields['confidence']:.2f}", fg=colour, bold=label == "fire")
    stages = "  ".join(f"{stage} {ms:.0f} ms" for stage, ms in fields["ms"].items())
    who = f"{fields['source']:13} {fields['reason']:24}"
    return f"{fields['camera'] or 'post':12} {seen}  {who} {fields['boxes']} boxes  {stages}"


def _named_source(text: str) -> tuple[str, str]:
    name, separator, url = text.partition("=")
    if not separator or not url:
        raise CommandError(f"--source {redact(text)}: expected NAME=URL", _SOURCE)
    if urlsplit(url).password is not None or "=***" in redact(url):
        detail = f"--source {name}: a password on the command line can be read by every user of this machine"
        remedy = (
            f"Leave it out of the address and set {ENV_PREFIX}__CAMERAS__{name.upper()}__PASSWORD, or "
            "`password_file` in the TOML file."
        )
        raise CommandError(detail, remedy)
    return name, url


def _classifier(models: Path | None, variant: str | None) -> Classifier:
    artifact = load_artifact(
        models or shipped_models(),
        "edge-classifier",
        kind="classifier",
        variant=variant or best_cpu_variant(),
    )
    return Classifier(LoadedClassifier(artifact), at_once=1)


def _check_camera(name: str, camera: CameraSection, settings: EdgeSettings) -> None:
    address = camera_address(camera)
    if camera.source != PUSH:
        open_source(address, camera.fps, settings.limits.image_limits())
    click.echo(f"ok    camera {name} at {redact(address.url)}")


def _look(classifier: Classifier, found: Gathered) -> tuple[dict[str, Any], str, Any]:
    picture = _picture(found)
    now_at = SystemClock().now_at()
    frame = Frame(frame_id=new_id(now_at), camera=None, picture=picture, captured_at=now_at)
    started_s = time.perf_counter()
    seen = classifier.classify(frame)
    fields = {
        "fire": round(seen.fire, 4),
        "smoke": round(seen.smoke, 4),
        "confidence": round(seen.confidence, 4),
        "label": seen.label.value,
        "latency_ms": round(1000 * (time.perf_counter() - started_s), 2),
    }
    text = f"{seen.label.value:5}  fire {seen.fire:.3f}  smoke {seen.smoke:.3f}"
    headline = f"{seen.label.value}  fire {seen.fire:.2f}  smoke {seen.smoke:.2f}"
    return (
        fields,
        text,
        lambda: annotate(decode(picture).bgr_hwc_u8, headline, seen.label, seen.where),
    )


def _picture(found: Gathered) -> Picture:
    if isinstance(found.picture, FireError):
        raise found.picture
    return found.picture
