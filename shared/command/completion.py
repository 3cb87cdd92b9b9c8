"""Shell completion of our command lines. Ring: rim."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    For bash, in ~/.bashrc: `source <(emberlink-edge completion bash)`; for zsh the same in ~/.zshrc, after compinit;
    for fish: `emberlink-edge completion fish > ~/.config/fish/completions/emberlink-edge.fish`.
    """
    command = context.find_root().command
    program = str(command.name)
    build = get_completion_class(shell)
    if build is None:
        raise click.UsageError(f"no completion for {shell}")
    variable = f"_{program}_COMPLETE".replace("-", "_").upper()
    click.echo(build(command, {}, program, variable).source())
