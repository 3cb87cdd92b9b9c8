"""Commands of a command line that are imported when they are called: `--help` needs no OpenCV. Ring: rim."""

from __future__ import annotations

import importlib

import click

from shared.startup import loading


class LateCommand(click.Command):
    """One line of the help; `load` gives the command itself."""

    def __init__(self, name: str, module: str, summary: str) -> None:
        """Name it; nothing is imported yet.

        Args:
            name: what is typed; the command itself is `<name>_command` in its module.
            module: with its packages, for instance `edge.commands.run`.
            summary: the first sentence of the command's own help.
        """
        super().__init__(name, short_help=summary)
        self._module = module

    def load(self) -> click.Command:
        """Import the command; a library that is missing ends the process with its remedy."""
        with loading():
            module = importlib.import_module(self._module)
        command: click.Command = getattr(module, f"{self.name}_command")
        return command


class LateGroup(click.Group):
    """A group of such commands."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, LateCommand) else command, rest
