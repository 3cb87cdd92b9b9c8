"""`emberlink-edge run`: the service, until a signal. Ring: rim."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO, cast
from urllib.parse import urlsplit

import click

from edge.config.doubts import doubts
from edge.config.settings import ENV_PREFIX, EdgeLogSection, EdgeSettings
from edge.decide.policies import PolicyName
from edge.service import EdgeService
from shared.command.terminal import StopSignal, explained
from shared.config import load_traced
from shared.disk.rotated_log import RotatedLog
from shared.errors import CommandError
from shared.logs import configure_logs, get_logger, redact

_SOURCE = "For instance --source gate=rtsp://viewer@10.0.0.5/stream1, or --source yard=sim: to try."


@click.command("run")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file.")
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
@click.option("--models", type=click.Path(path_type=Path), help="Folder of model artifacts.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="NAME=URL",
    help="A camera; may be given several times.",
)
def run_command(
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
        for warning in doubts(settings):
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
