"""The commands `users` and `tokens` of both services. Ring: rim."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

from shared.access.users import add_token, add_user, read_users, remove_token, remove_user
from shared.command.terminal import explained
from shared.roles import GIVEN_ROLES, MAX_PASSWORD_CHARACTERS, Role

PathOf = Callable[[Path | None, Path | None], Path]
_ROLE = click.option(
    "--role",
    type=click.Choice([role.value for role in GIVEN_ROLES]),
    required=True,
    help="viewer looks; sender asks about pictures; admin may do everything.",
)
_CONFIG = click.option("--config", type=click.Path(path_type=Path), help="TOML file.")
_STATE = click.option("--state", type=click.Path(path_type=Path), help="Folder of the users.")
_REPLACE = click.option("--replace", is_flag=True, help="Also when there is one of that name.")
_TAKEN = "a running service takes it within a second"


def user_commands(path_of: PathOf) -> tuple[click.Group, click.Group]:
    """Build both groups; `path_of` tells from --config and --state where the file is."""
    return _users(path_of), _tokens(path_of)


def _users(path_of: PathOf) -> click.Group:
    @click.group("users")
    def users() -> None:
        """Say who may sign in with a password."""

    @users.command("add")
    @click.argument("name")
    @_ROLE
    @click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
    @_REPLACE
    @_CONFIG
    @_STATE
    def add(
        name: str,
        role: str,
        password_stdin: bool,
        replace: bool,
        config: Path | None,
        state: Path | None,
    ) -> None:
        """Let NAME sign in with a password.

        With --replace a NAME that is known gets a new password and role.
        """
        with explained():
            path = path_of(config, state)
            password = _password(is_piped=password_stdin)
            add_user(path, name, Role(role), password, may_replace=replace)
        click.echo(f"{name} may sign in as {role}; {_TAKEN}")

    @users.command("list")
    @_CONFIG
    @_STATE
    def list_users(config: Path | None, state: Path | None) -> None:
        """Name who may sign in, and as what."""
        with explained():
            path = path_of(config, state)
            book = read_users(path)
        for name, user in sorted(book.users.items()):
            click.echo(f"{name}  {user.role.value}")
        if not book.users:
            click.echo(f"nobody may sign in with a password: {path} names none", err=True)

    @users.command("remove")
    @click.argument("name")
    @_CONFIG
    @_STATE
    def remove(name: str, config: Path | None, state: Path | None) -> None:
        """Take NAME away, with every session; exit 1 when there is none."""
        with explained():
            path = path_of(config, state)
            is_removed = remove_user(path, name)
        _tell_removed(name, path, is_removed=is_removed)

    return users


def _tokens(path_of: PathOf) -> click.Group:
    @click.group("tokens")
    def tokens() -> None:
        """Make and take away the tokens of programs.

        They send them as `Authorization: Bearer TOKEN`.
        """

    @tokens.command("add")
    @click.argument("name")
    @_ROLE
    @_REPLACE
    @_CONFIG
    @_STATE
    def add(name: str, role: str, replace: bool, config: Path | None, state: Path | None) -> None:
        """Make a token for NAME; it is shown once. With --replace the one that NAME had ends."""
        with explained():
            token = add_token(path_of(config, state), name, Role(role), may_replace=replace)
        click.echo(token)
        click.echo(f"shown this once; {_TAKEN}", err=True)

    @tokens.command("list")
    @_CONFIG
    @_STATE
    def list_tokens(config: Path | None, state: Path | None) -> None:
        """Name who has a token, and as what."""
        with explained():
            path = path_of(config, state)
            book = read_users(path)
        for name, token in sorted(book.tokens.items()):
            click.echo(f"{name}  {token.role.value}")
        if not book.tokens:
            click.echo(f"no program has a token: {path} names none", err=True)

    @tokens.command("remove")
    @click.argument("name")
    @_CONFIG
    @_STATE
    def remove(name: str, config: Path | None, state: Path | None) -> None:
        """End the token of NAME; exit 1 when there is none."""
        with explained():
            path = path_of(config, state)
            is_removed = remove_token(path, name)
        _tell_removed(name, path, is_removed=is_removed)

    return tokens


def _password(*, is_piped: bool) -> str:
    if is_piped:
        return sys.stdin.readline(MAX_PASSWORD_CHARACTERS + 2).rstrip("\n")
    typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return typed


def _tell_removed(name: str, path: Path, *, is_removed: bool) -> None:
    click.echo("removed" if is_removed else f"there is no {name} in {path}", err=not is_removed)
    sys.exit(0 if is_removed else 1)
