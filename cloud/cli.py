"""The command line of the cloud: which commands there are, and where. Ring: rim."""

from __future__ import annotations

import click

from shared.command.late_commands import LateCommand, LateGroup
from shared.version import version

_COMMANDS = (
    LateCommand(
        "check",
        "cloud.commands.check",
        "Check configuration and model; exit 2 when something is wrong.",
    ),
    LateCommand(
        "completion", "shared.command.completion", "Print the completion script of a shell."
    ),
    LateCommand(
        "detect", "cloud.commands.detect", "Detect fire and smoke in pictures, folders and videos."
    ),
    LateCommand(
        "doctor",
        "cloud.commands.doctor",
        "Check this machine, a line a check; exit 1 when one fails.",
    ),
    LateCommand("keys", "cloud.commands.keys", "Make and take away the keys that edges sign with."),
    LateCommand("run", "cloud.commands.run", "Run the cloud service until Ctrl-C."),
    LateCommand("tokens", "cloud.commands.users", "Make and take away the tokens of programs."),
    LateCommand("users", "cloud.commands.users", "Say who may sign in with a password."),
    LateCommand(
        "worker", "cloud.commands.run", "Run the model for front ends with engine.kind = redis."
    ),
)


@click.group(
    "emberlink-cloud",
    cls=LateGroup,
    commands=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(version(), prog_name="emberlink-cloud")
def main() -> None:
    """The full fire and smoke detector, behind a bounded queue."""
