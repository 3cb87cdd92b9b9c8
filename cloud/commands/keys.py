"""`emberlink-cloud keys`: the keys that edges sign with. Ring: rim."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cloud.config import ENV_PREFIX, CloudSettings
from cloud.fleet.keys import ADMIN, add_key, read_keys, remove_keys
from shared.command.terminal import explained
from shared.config import load_settings

_CONFIG = click.option("--config", type=click.Path(path_type=Path), help="TOML file.")
_STATE = click.option("--state", type=click.Path(path_type=Path), help="Folder of the keys.")


@click.group("keys")
def keys_command() -> None:
    """Make and take away the keys that edges sign with."""


@keys_command.command("new")
@click.argument("edge")
@_CONFIG
@_STATE
def keys_new(edge: str, config: Path | None, state: Path | None) -> None:
    """Make a key for EDGE, or for `admin`.

    The key before it stays valid until the next one is made.
    """
    with explained():
        path = _keys_path(config, state)
        key = add_key(path, edge)
    click.echo(key)
    click.echo(f"written to {path}; a running service takes it within a second", err=True)
    if edge != ADMIN:
        click.echo(
            f'on the box: edge_id = "{edge}" and key_file under [cloud], the key in that file',
            err=True,
        )


@keys_command.command("list")
@_CONFIG
@_STATE
def keys_list(config: Path | None, state: Path | None) -> None:
    """Name who has keys, and how many."""
    with explained():
        path = _keys_path(config, state)
        found = read_keys(path)
    for name, held in sorted(found.items()):
        click.echo(f"{name}  {len(held)}")
    if not found:
        click.echo(f"no edge has a key: {path} names none", err=True)


@keys_command.command("remove")
@click.argument("edge")
@_CONFIG
@_STATE
def keys_remove(edge: str, config: Path | None, state: Path | None) -> None:
    """Take all keys of EDGE away; exit 1 when it had none."""
    with explained():
        path = _keys_path(config, state)
        is_removed = remove_keys(path, edge)
    click.echo("removed" if is_removed else f"{edge} has no key in {path}", err=not is_removed)
    sys.exit(0 if is_removed else 1)


def _keys_path(config: Path | None, state: Path | None) -> Path:
    flags = {"state": state}
    return load_settings(CloudSettings, prefix=ENV_PREFIX, toml_path=config, flags=flags).keys_path
