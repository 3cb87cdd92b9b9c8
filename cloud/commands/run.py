"""`emberlink-cloud run` and `worker`: the service and its model, until a signal. Ring: rim."""

from __future__ import annotations

from pathlib import Path

import click

from cloud.config import ENV_PREFIX, CloudSettings
from cloud.config_doubts import doubts
from cloud.service import CloudService
from cloud.worker_process import run_worker
from shared.command.terminal import explained, wait_for_stop
from shared.config import load_settings
from shared.logs import configure_logs, get_logger

_CONFIG = click.option("--config", type=click.Path(path_type=Path), help="TOML file.")
_MODELS = click.option(
    "--models", type=click.Path(path_type=Path), help="Folder of model artifacts."
)


@click.command("run")
@_CONFIG
@click.option("--host", help="Address to listen on (127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (5001).")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="Folder for what must survive a restart (run/cloud).",
)
@_MODELS
def run_command(
    config: Path | None, host: str | None, port: int | None, state: Path | None, models: Path | None
) -> None:
    """Run the cloud service until Ctrl-C."""
    with explained():
        flags = {"server": {"host": host, "port": port}, "state": state, "models": models}
        settings = load_settings(CloudSettings, prefix=ENV_PREFIX, toml_path=config, flags=flags)
        configure_logs(level=settings.log.level)
        for warning in doubts(settings):
            get_logger().warning("setting_looks_wrong", detail=warning)
        service = CloudService(settings)
        service.start()
    wait_for_stop()
    service.stop()


@click.command("worker")
@_CONFIG
@_MODELS
def worker_command(config: Path | None, models: Path | None) -> None:
    """Run the model for front ends with engine.kind = redis.

    Until Ctrl-C; start as many as there are GPUs.
    """
    with explained():
        flags = {"models": models}
        settings = load_settings(CloudSettings, prefix=ENV_PREFIX, toml_path=config, flags=flags)
        configure_logs(level=settings.log.level)
        run_worker(settings)
