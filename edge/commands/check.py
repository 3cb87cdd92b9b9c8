"""`emberlink-edge check`: settings, model and addresses, without a service. Ring: rim."""

from __future__ import annotations

from pathlib import Path

import click

from edge.capture.open_source import open_source
from edge.capture.shot import PUSH
from edge.commands.classify import load_classifier
from edge.config.cameras import CameraSection
from edge.config.doubts import doubts
from edge.config.settings import ENV_PREFIX, EdgeSettings
from edge.wiring.cameras import camera_address
from edge.wiring.sinks import build_receivers
from shared.access.gate import refuse_without_users
from shared.access.users import Users
from shared.clock import SystemClock
from shared.command.terminal import explained
from shared.config import load_settings
from shared.logs import redact
from shared.model.inference import refuse_two_runtimes


@click.command("check")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file.")
def check_command(config: Path | None) -> None:
    """Check settings, model and addresses.

    Exit 2 when one is wrong.
    """
    with explained():
        settings = load_settings(EdgeSettings, prefix=ENV_PREFIX, toml_path=config)
        click.echo("ok    configuration")
        for warning in doubts(settings):
            click.echo(f"warn  {warning}")
        refuse_without_users(
            settings.access, settings.server, Users(settings.users_path, SystemClock())
        )
        refuse_two_runtimes()
        classifier = load_classifier(settings.models, settings.model.variant)
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


def _check_camera(name: str, camera: CameraSection, settings: EdgeSettings) -> None:
    address = camera_address(camera)
    if camera.source != PUSH:
        open_source(address, camera.fps, settings.limits.image_limits())
    click.echo(f"ok    camera {name} at {redact(address.url)}")
