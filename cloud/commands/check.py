"""`emberlink-cloud check`: settings, door, Redis and model, without a service. Ring: rim."""

from __future__ import annotations

from pathlib import Path

import click

from cloud.config import ENV_PREFIX, CloudSettings, EngineKind
from cloud.config_doubts import doubts
from cloud.gate import check_door
from cloud.house_wiring import check_redis, slot_settings
from cloud.model.slot import load_sound
from cloud.troubles import EVICTION_REPAIR, evicts
from shared.clock import SystemClock
from shared.command.terminal import explained
from shared.config import load_settings
from shared.model.inference import refuse_two_runtimes


@click.command("check")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file.")
def check_command(config: Path | None) -> None:
    """Check configuration and model; exit 2 when something is wrong."""
    with explained():
        settings = load_settings(CloudSettings, prefix=ENV_PREFIX, toml_path=config)
        click.echo("ok    configuration")
        for warning in doubts(settings):
            click.echo(f"warn  {warning}")
        is_signed = check_door(settings, SystemClock())
        click.echo(f"ok    requests {'must be signed' if is_signed else 'need no signature'}")
        if settings.engine.kind is EngineKind.REDIS:
            policy = check_redis(settings)
            click.echo("ok    Redis answers")
            if policy:
                click.echo(f"warn  {evicts(policy)} {EVICTION_REPAIR}")
        refuse_two_runtimes()
        detector = load_sound(slot_settings(settings, SystemClock()))
        model = detector.identity
        click.echo(
            f"ok    model {model.name} {model.version} ({model.sha256_12}) on {detector.providers[0]}"
        )
