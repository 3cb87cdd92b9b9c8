"""`emberlink-edge reload`: tell the running service to take a newer model. Ring: rim."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edge.commands.running import RunningService
from edge.config.settings import ENV_PREFIX, EdgeSettings
from shared.command.terminal import explained
from shared.config import load_settings

_LONGEST_S = 900.0  # over a thin link the model's files take minutes


@click.command("reload")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file.")
@click.option("--port", type=int, help="Port of the running service (5000).")
@click.option(
    "--state", type=click.Path(path_type=Path), help="State folder of the running service."
)
def reload_command(config: Path | None, port: int | None, state: Path | None) -> None:
    """Let the service take a newer model.

    It comes from the models folder or from the cloud; exit 1 when it was refused.
    """
    with explained():
        flags = {"server": {"port": port}, "state": state}
        settings = load_settings(EdgeSettings, prefix=ENV_PREFIX, toml_path=config, flags=flags)
        with RunningService(settings) as service:
            answer = service.ask("POST", "/models/reload", timeout_s=_LONGEST_S)
    if answer.get("err_no") != 0:
        click.echo(f"not changed: {answer.get('err_msg')}: {answer.get('detail')}", err=True)
        sys.exit(1)
    model = answer["result"]["model"]
    text = "now" if answer["result"]["changed"] else "nothing newer than"
    click.echo(f"{text} {model['name']} {model['version']} ({model['sha256_12']})")
