"""`emberlink-edge reload`: tell the running service to take a newer model. Ring: rim."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import requests

from edge.config import ENV_PREFIX, EdgeSettings
from shared.config import load_settings
from shared.control import control_headers
from shared.terminal import explained

_LONGEST_S = 900.0  # over a thin link the model's files take minutes


@click.command("reload")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file.")
@click.option("--port", type=int, help="Port of the running service (5000).")
@click.option(
    "--state", type=click.Path(path_type=Path), help="State folder of the running service."
)
def reload_command(config: Path | None, port: int | None, state: Path | None) -> None:
    """Take a newer model, from the models folder or from the cloud; exit 1 when it was refused or nobody answers."""
    with explained():
        flags = {"server": {"port": port}, "state": state}
        settings = load_settings(EdgeSettings, prefix=ENV_PREFIX, toml_path=config, flags=flags)
    url = f"http://127.0.0.1:{settings.server.port}/models/reload"
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.post(
                url, headers=control_headers(settings.state), timeout=_LONGEST_S
            ).json()
        except (requests.RequestException, ValueError) as err:
            click.echo(f"no edge answers at {url}: {type(err).__name__}", err=True)
            sys.exit(1)
    if answer.get("err_no") != 0:
        click.echo(f"not changed: {answer.get('err_msg')}: {answer.get('detail')}", err=True)
        sys.exit(1)
    model = answer["result"]["model"]
    text = "now" if answer["result"]["changed"] else "nothing newer than"
    click.echo(f"{text} {model['name']} {model['version']} ({model['sha256_12']})")
