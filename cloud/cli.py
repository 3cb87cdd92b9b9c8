"""The command line of the cloud: run, worker, check, detect, keys. Ring: rim."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from cloud.config import ENV_PREFIX, CloudSettings, EngineKind
from cloud.doctor import doctor_command
from cloud.gate import check_door
from cloud.house_wiring import check_redis, slot_settings
from cloud.keys import ADMIN, add_key, read_keys, remove_keys
from cloud.model_slot import load_sound
from cloud.service import CloudService
from cloud.wire import detection_as_dict
from cloud.worker_service import run_worker
from shared.annotate import annotate
from shared.clock import SystemClock
from shared.completion import completion_command
from shared.config import load_settings
from shared.detector import Detector, Running
from shared.errors import FireError
from shared.gather import Gathered
from shared.imaging import ImageLimits, decode
from shared.inference import refuse_two_runtimes
from shared.logs import configure_logs, get_logger
from shared.manifest import load_artifact, shipped_models
from shared.terminal import RATE, explained, for_each_picture, wait_for_stop
from shared.user_commands import user_commands
from shared.version import version

_CONFIG = click.option("--config", type=click.Path(path_type=Path), help="TOML file.")
_MODELS = click.option(
    "--models", type=click.Path(path_type=Path), help="Folder of model artifacts."
)


@click.group("emberlink-cloud", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(), prog_name="emberlink-cloud")
def main() -> None:
    """The full fire and smoke detector, behind a bounded queue."""


@main.command()
@_CONFIG
@click.option("--host", help="Address to listen on (127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (5001).")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="Folder for what must survive a restart (run/cloud).",
)
@_MODELS
def run(
    config: Path | None, host: str | None, port: int | None, state: Path | None, models: Path | None
) -> None:
    """Run the cloud service until Ctrl-C."""
    with explained():
        flags = {"server": {"host": host, "port": port}, "state": state, "models": models}
        settings = load_settings(CloudSettings, prefix=ENV_PREFIX, toml_path=config, flags=flags)
        configure_logs(level=settings.log.level)
        for warning in settings.warnings():
            get_logger().warning("setting_looks_wrong", detail=warning)
        service = CloudService(settings)
        service.start()
    wait_for_stop()
    service.stop()


@main.command()
@_CONFIG
@_MODELS
def worker(config: Path | None, models: Path | None) -> None:
    """Run the model for front ends with engine.kind = redis.

    Until Ctrl-C; start as many as there are GPUs.
    """
    with explained():
        flags = {"models": models}
        settings = load_settings(CloudSettings, prefix=ENV_PREFIX, toml_path=config, flags=flags)
        configure_logs(level=settings.log.level)
        run_worker(settings)


main.add_command(doctor_command)
main.add_command(completion_command)


@main.command()
@_CONFIG
def check(config: Path | None) -> None:
    """Check configuration and model; exit 2 when something is wrong."""
    with explained():
        settings = load_settings(CloudSettings, prefix=ENV_PREFIX, toml_path=config)
        click.echo("ok    configuration")
        for warning in settings.warnings():
            click.echo(f"warn  {warning}")
        is_signed = check_door(settings, SystemClock())
        click.echo(f"ok    requests {'must be signed' if is_signed else 'need no signature'}")
        if settings.engine.kind is EngineKind.REDIS:
            check_redis(settings)
            click.echo("ok    Redis answers")
        refuse_two_runtimes()
        detector = load_sound(slot_settings(settings, SystemClock()))
        model = detector.identity
        click.echo(
            f"ok    model {model.name} {model.version} ({model.sha256_12}) on {detector.providers[0]}"
        )


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
@click.option("--variant", help="Which file of the model, fp32 or int8.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@_MODELS
def detect(
    files: tuple[Path, ...],
    as_json: bool,
    save: Path | None,
    video_fps: float,
    variant: str | None,
    device: str,
    models: Path | None,
) -> None:
    """Detect fire and smoke in pictures, folders and videos.

    Exit 1 when some of them could not be used.
    """
    with explained():
        limits = ImageLimits()
        detector = _detector(models, variant, device)
        failed = for_each_picture(
            files,
            limits=limits,
            video_fps=video_fps,
            as_json=as_json,
            save=save,
            look=lambda found: _look(detector, found),
        )
    sys.exit(1 if failed else 0)


@main.group()
def keys() -> None:
    """Make and take away the keys that edges sign with."""


_STATE = click.option("--state", type=click.Path(path_type=Path), help="Folder of the keys.")


@keys.command("new")
@click.argument("edge")
@_CONFIG
@_STATE
def keys_new(edge: str, config: Path | None, state: Path | None) -> None:
    """Make a key for EDGE, or for `admin`.

    The key before it stays valid until the next one is made.
    """
    with explained():
        path = _keys_path(config, state)
        key = add_key(path, edge)
    click.echo(key)
    click.echo(f"written to {path}; a running service takes it within a second", err=True)
    if edge != ADMIN:
        click.echo(
            f'on the box: edge_id = "{edge}" and key_file under [cloud], the key in that file',
            err=True,
        )


@keys.command("list")
@_CONFIG
@_STATE
def keys_list(config: Path | None, state: Path | None) -> None:
    """Name who has keys, and how many."""
    with explained():
        path = _keys_path(config, state)
        found = read_keys(path)
    for name, held in sorted(found.items()):
        click.echo(f"{name}  {len(held)}")
    if not found:
        click.echo(f"no edge has a key: {path} names none", err=True)


@keys.command("remove")
@click.argument("edge")
@_CONFIG
@_STATE
def keys_remove(edge: str, config: Path | None, state: Path | None) -> None:
    """Take all keys of EDGE away; exit 1 when it had none."""
    with explained():
        path = _keys_path(config, state)
        is_removed = remove_keys(path, edge)
    click.echo("removed" if is_removed else f"{edge} has no key in {path}", err=not is_removed)
    sys.exit(0 if is_removed else 1)


def _keys_path(config: Path | None, state: Path | None) -> Path:
    flags = {"state": state}
    return load_settings(CloudSettings, prefix=ENV_PREFIX, toml_path=config, flags=flags).keys_path


def _users_path(config: Path | None, state: Path | None) -> Path:
    flags = {"state": state}
    settings = load_settings(CloudSettings, prefix=ENV_PREFIX, toml_path=config, flags=flags)
    return settings.users_path


for _group in user_commands(_users_path):
    main.add_command(_group)


def _detector(models: Path | None, variant: str | None, device: str) -> Detector:
    artifact = load_artifact(
        models or shipped_models(), "cloud-detector", kind="detector", variant=variant
    )
    return Detector(artifact, Running(device=device), SystemClock())


def _look(detector: Detector, found: Gathered) -> tuple[dict[str, Any], str, Any]:
    if isinstance(found.picture, FireError):
        raise found.picture
    picture = found.picture
    started_s = time.perf_counter()
    prepared = detector.prepare(picture)
    finding = detector.finding(detector.run_batch([prepared.tensor])[0], prepared.letterbox)
    fields = {
        "width": picture.width_px,
        "height": picture.height_px,
        "detections": [detection_as_dict(d) for d in finding.detections],
        "latency_ms": round(1000 * (time.perf_counter() - started_s), 2),
    }
    boxes = ", ".join(
        f"{d.label.value} {d.score:.2f} {d.box.as_list()}" for d in finding.detections
    )
    text = f"{finding.label.value:5}  {boxes or 'no boxes'}"
    headline = f"{finding.label.value}  {len(finding.detections)} boxes"
    return (
        fields,
        text,
        lambda: annotate(decode(picture).bgr_hwc_u8, headline, finding.label, finding.detections),
    )
