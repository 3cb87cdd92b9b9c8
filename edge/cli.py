"""The command line of the edge: which commands there are, and where. Ring: rim."""

from __future__ import annotations

import click

from shared.late_commands import LateCommand, LateGroup
from shared.version import version

_COMMANDS = (
    LateCommand("alerts", "edge.alert_command", "Try out where alerts go."),
    LateCommand("calibrate", "edge.calibrate_command", "Fit the probabilities to this site."),
    LateCommand("check", "edge.check_command", "Check settings, model and addresses."),
    LateCommand("classify", "edge.classify_command", "Classify pictures, folders and videos."),
    LateCommand("completion", "shared.completion", "Print the completion script of a shell."),
    LateCommand("diagnostics", "edge.doctor", "Write a bundle for whoever helps from afar."),
    LateCommand("doctor", "edge.doctor", "Check this box, one line a check."),
    LateCommand(
        "evidence",
        "edge.evidence_command",
        "Look at recorded events, check, keep and export them.",
    ),
    LateCommand("init", "edge.init_command", "Write a first settings file, edge.toml."),
    LateCommand(
        "outbox", "edge.alert_command", "Look at what waits to be sent, and at what was refused."
    ),
    LateCommand("reload", "edge.reload_command", "Let the service take a newer model."),
    LateCommand("replay", "edge.replay_command", "Tell what would have happened."),
    LateCommand("run", "edge.run_command", "Run the edge service until Ctrl-C."),
    LateCommand("sample", "edge.sample_command", "Render a picture of a fire."),
    LateCommand(
        "selftest",
        "edge.selftest_command",
        "Let a camera see a flame; exit 1 when no alert comes of it.",
    ),
    LateCommand(
        "state", "edge.state_command", "Back up and restore ledger, evidence, outbox and users."
    ),
    LateCommand("tokens", "edge.users_command", "Make and take away the tokens of programs."),
    LateCommand("users", "edge.users_command", "Say who may sign in with a password."),
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
