"""`emberlink-edge selftest`: a test alarm of the running service, from its flame to the sinks. Ring: rim."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import click

from edge.commands.running import RunningService
from edge.config.settings import ENV_PREFIX, EdgeSettings
from shared.command.terminal import explained
from shared.config import load_settings

_LONGEST_S = 90.0  # the service itself gives up after 60
_ASK_EVERY_S = 0.3
_ANSWER_WITHIN_S = 10.0


@click.command("selftest")
@click.option("--camera", help="Which camera; the one tested longest ago when not given.")
@click.option("--cloud", is_flag=True, help="Ask the cloud about one picture, for money.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON line.")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file.")
@click.option("--port", type=int, help="Port of the running service (5000).")
@click.option(
    "--state", type=click.Path(path_type=Path), help="State folder of the running service."
)
def selftest_command(
    camera: str | None,
    cloud: bool,
    as_json: bool,
    config: Path | None,
    port: int | None,
    state: Path | None,
) -> None:
    """Let a camera see a flame; exit 1 when no alert comes of it.

    The flame is drawn into its live picture, and everything about it is marked as a test. The camera's own pictures
    are watched as always meanwhile.
    """
    with explained():
        flags = {"server": {"port": port}, "state": state}
        settings = load_settings(EdgeSettings, prefix=ENV_PREFIX, toml_path=config, flags=flags)
        with RunningService(settings) as service:
            result = _run(service, {"camera": camera, "cloud": cloud})
    if as_json:
        click.echo(json.dumps(result))
    elif result["passed"]:
        told = ", ".join(result["sinks"]) or "nobody, as no sink is told at once"
        click.echo(
            f"passed: camera {result['camera']}, event after {result['event_s']} s, "
            f"alert after {result['alert_s']} s, told {told}"
        )
    else:
        click.echo(f"failed: camera {result['camera']}: {result['why']}", err=True)
    sys.exit(0 if result["passed"] else 1)


def _run(service: RunningService, wish: dict[str, Any]) -> dict[str, Any]:
    begun = _ask(service, "POST", wish)
    camera = begun["running"]
    ends_s = time.monotonic() + _LONGEST_S
    while (status := _ask(service, "GET"))["running"] == camera:
        if time.monotonic() > ends_s:
            _give_up(f"the service gave no result within {_LONGEST_S:.0f} s")
        time.sleep(_ASK_EVERY_S)
    found: dict[str, Any] = next(r for r in status["results"] if r["camera"] == camera)
    return found


def _ask(
    service: RunningService, method: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    answer = service.ask(method, "/selftest", body, timeout_s=_ANSWER_WITHIN_S)
    if answer["err_no"] != 0:
        _give_up(f"not begun: {answer.get('err_msg')}: {answer.get('detail')}")
    result: dict[str, Any] = answer["result"]
    return result


def _give_up(why: str) -> NoReturn:
    click.echo(why, err=True)
    sys.exit(1)
