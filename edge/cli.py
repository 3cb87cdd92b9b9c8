"""The command line of the edge: which commands there are, and where. Ring: rim."""

from __future__ import annotations

import click

from shared.command.late_commands import LateCommand, LateGroup
from shared.version import version

_COMMANDS = (
    LateCommand("alerts", "edge.commands.alerts", "Try out where alerts go."),
    LateCommand("calibrate", "edge.commands.calibrate", "Fit the probabilities to this site."),
    LateCommand("check", "edge.commands.check", "Check settings, model and addresses."),
    LateCommand("classify", "edge.commands.classify", "Classify pictures, folders and videos."),
    LateCommand(
        "completion", "shared.command.completion", "Print the completion script of a shell."
    ),
    LateCommand(
        "diagnostics", "edge.commands.doctor", "Write a bundle for whoever helps from afar."
    ),
    LateCommand("doctor", "edge.commands.doctor", "Check this box, one line a check."),
    LateCommand(
        "evidence",
        "edge.commands.evidence",
        "Look at recorded events, check, keep and export them.",
    ),
    LateCommand("init", "edge.commands.init", "Write a first settings file, edge.toml."),
    LateCommand(
        "outbox", "edge.commands.alerts", "Look at what waits to be sent, and at what was refused."
    ),
    LateCommand("reload", "edge.commands.reload", "Let the service take a newer model."),
    LateCommand("replay", "edge.commands.replay", "Tell what would have happened."),
    LateCommand("run", "edge.commands.run", "Run the edge service until Ctrl-C."),
    LateCommand("sample", "edge.commands.sample", "Render a picture of a fire."),
    LateCommand(
        "selftest",
        "edge.commands.selftest",
        "Let a camera see a flame; exit 1 when no alert comes of it.",
    ),
    LateCommand(
        "state", "edge.commands.state", "Back up and restore ledger, evidence, outbox and users."
    ),
    LateCommand("tokens", "edge.commands.users", "Make and take away the tokens of programs."),
    LateCommand("users", "edge.commands.users", "Say who may sign in with a password."),
)


@click.group(
    "emberlink-edge",
    cls=LateGroup,
    commands=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(version(), prog_name="emberlink-edge")
def main() -> None:
    """Fire and smoke at the edge: classify every frame, ask the cloud where it counts.

    Supplements listed fire alarms; never replaces one.
    """
