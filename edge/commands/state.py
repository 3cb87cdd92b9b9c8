"""`emberlink-edge state`: the whole state of a box as one file, and back. Ring: rim."""

from __future__ import annotations

from pathlib import Path

import click

from edge.box.state_copy import Places, back_up, restore
from edge.commands.evidence import of_a_box
from edge.config.settings import EdgeSettings
from edge.wiring.evidence import evidence_folder
from shared.clock import SystemClock
from shared.command.terminal import NAME_STATE
from shared.errors import CommandError


@click.group("state")
def state_command() -> None:
    """Back up and restore ledger, evidence, outbox and users."""


@state_command.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--keep", type=click.IntRange(min=1), help="Delete all but so many of this machine's backups."
)
@of_a_box
def backup(settings: EdgeSettings, folder: Path, keep: int | None) -> None:
    """Write all of it into one file in FOLDER.

    The service may run. The file holds keys and names: keep it as you keep those.
    """
    if not settings.state.is_dir():
        raise CommandError(f"{settings.state} does not exist: there is nothing to keep", NAME_STATE)
    path = back_up(_places(settings), folder, SystemClock().now_at(), keep=keep)
    click.echo(f"{path}: {path.stat().st_size} bytes")
    if path.stat().st_dev == settings.state.stat().st_dev:
        click.echo(
            "note: that is the disk of the state itself; when it dies, both are gone", err=True
        )


@state_command.command("restore")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@of_a_box
def restore_state(settings: EdgeSettings, file: Path) -> None:
    """Put FILE back while the service is stopped.

    What was there is moved aside, never deleted.
    """
    aside = restore(file, _places(settings), SystemClock().now_at())
    click.echo(f"{settings.state}: restored from {file} and verified")
    for folder in aside:
        click.echo(f"what was there before is in {folder}")


def _places(settings: EdgeSettings) -> Places:
    return Places(state=settings.state, evidence=evidence_folder(settings))
