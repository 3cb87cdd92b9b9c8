"""`emberlink-edge init`: write a first settings file, by asking or from flags. Ring: rim."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click

from edge.config.settings import EdgeSettings
from shared.command.terminal import explained, unwritable
from shared.config import validated
from shared.errors import CommandError, ConfigError

_CAMERA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")

_NAMES = "Give each camera a name of its own."
_FLAGS = "Give that flag a value that fits; `emberlink-edge init --help` tells each."


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the first settings file says; empty strings leave a thing out. Files with secrets lie in `secrets`."""

    cameras: tuple[tuple[str, str], ...]
    cloud_url: str
    edge_id: str
    daily_limit: str
    timezone: str
    state: str
    secrets: Path

    @property
    def key_file(self) -> Path:
        """Tell where the cloud's key belongs."""
        return self.secrets / f"{self.edge_id}.key"

    def password_file(self, camera: str) -> Path:
        """Tell where a camera's password belongs."""
        return self.secrets / f"{camera}.password"


@click.command("init")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default="edge.toml")
@click.option("--camera", "cameras", multiple=True, metavar="NAME=ADDRESS", help="May be repeated.")
@click.option("--cloud", "cloud_url", help="Address of the cloud; empty for none.")
@click.option("--edge-id", default="", help="This box's name at the cloud.")
@click.option(
    "--daily-limit", default="10.00", show_default=True, help="Money a day for the cloud."
)
@click.option("--timezone", default="", help="For instance Europe/Berlin; the system's when empty.")
@click.option("--state", default="", help="Folder for what must survive a restart.")
def init_command(
    file: Path,
    cameras: tuple[str, ...],
    cloud_url: str | None,
    edge_id: str,
    daily_limit: str,
    timezone: str,
    state: str,
) -> None:
    """Write a first settings file, edge.toml.

    Asks for what no flag says when a person is at the keyboard.
    """
    is_asking = sys.stdin.isatty() and not cameras and cloud_url is None
    with explained():
        named = tuple(_named(text) for text in cameras) or (_ask_cameras() if is_asking else ())
        _refuse_twins([name for name, _ in named])
        if cloud_url is None:
            cloud_url = click.prompt("Address of the cloud (empty: none)", "") if is_asking else ""
        wanted = Wanted(
            cameras=named,
            cloud_url=cloud_url,
            edge_id=edge_id,
            daily_limit=daily_limit,
            timezone=timezone,
            state=state,
            secrets=file.absolute().parent,
        )
        _write(file, settings_text(wanted))
    click.echo(f"{file} written.")
    for secret, path in _secrets(wanted):
        if not path.exists():
            click.echo(f"Write {secret} into {path}, readable for the service's user alone.")
    click.echo(f"Next: emberlink-edge doctor --config {file}")


def settings_text(wanted: Wanted) -> str:
    """Write the file's text, and make sure that the service would take it.

    Raises:
        CommandError: a value that the service refuses.
    """
    text = "\n".join([*_head(wanted), *_cloud(wanted), *_policy(wanted), *_cameras(wanted)])
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise CommandError(
            f"a value holds signs that a settings file cannot: {err}", _FLAGS
        ) from err
    try:
        validated(EdgeSettings, given)
    except ConfigError as err:
        raise CommandError(err.detail, _FLAGS) from err
    return text + "\n"


def _head(wanted: Wanted) -> list[str]:
    rows = [
        "# Settings of an Emberlink edge. docs/settings.md lists all; what is not here keeps its default.",
        "# Emberlink supplements listed fire alarms. It does not replace one.",
        "",
    ]
    if wanted.state:
        rows += [
            "# What must survive a restart: budget, evidence, messages.",
            _pair("state", wanted.state),
            "",
        ]
    return rows


def _cloud(wanted: Wanted) -> list[str]:
    if not wanted.cloud_url:
        return [
            "# [cloud]",
            '# url = "https://cloud.example:5001"   # without a cloud the box decides alone',
            "",
        ]
    rows = ["[cloud]", _pair("url", wanted.cloud_url)]
    if wanted.edge_id:
        rows += [
            _pair("edge_id", wanted.edge_id),
            "# The key from `emberlink-cloud keys new`, in a file that only the service's user can read.",
            _pair("key_file", str(wanted.key_file)),
        ]
    return [*rows, ""]


def _policy(wanted: Wanted) -> list[str]:
    rows = [
        "[policy]",
        'name = "price"   # or fixed, sliding_window, always, edge_only',
        "# Never exceeded; a call costs 0.02 unless the cloud says otherwise.",
        _pair("daily_limit", wanted.daily_limit),
    ]
    if wanted.timezone:
        rows.append(
            f"{_pair('timezone', wanted.timezone)}   # the budget's day ends at midnight here"
        )
    return [*rows, ""]


def _cameras(wanted: Wanted) -> list[str]:
    rows: list[str] = []
    for name, address in wanted.cameras:
        rows += [f"[cameras.{_key(name)}]", _pair("source", address)]
        if urlsplit(address).username:
            rows.append("# The password, in a file that only the service's user can read.")
            rows.append(_pair("password_file", str(wanted.password_file(name))))
        rows += ["fps = 2", ""]
    if not rows:
        rows = ["# [cameras.gate]", '# source = "rtsp://viewer@10.0.0.5/stream1"', "# fps = 2"]
    return rows


def _secrets(wanted: Wanted) -> Iterator[tuple[str, Path]]:
    """Name the secrets that the settings speak of, and their files."""
    if wanted.cloud_url and wanted.edge_id:
        yield f"the key from `emberlink-cloud keys new {wanted.edge_id}`", wanted.key_file
    for name, address in wanted.cameras:
        user = urlsplit(address).username
        if user:
            yield f"the password of {user} at camera {name}", wanted.password_file(name)


def _pair(key: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{key} = "{escaped}"'


def _key(name: str) -> str:
    return f'"{name}"' if "." in name else name


def _named(text: str) -> tuple[str, str]:
    name, equals, address = text.partition("=")
    if not (equals and address and _CAMERA_NAME.match(name)):
        detail = (
            f"--camera {text[:60]!r}: expected NAME=ADDRESS, the name of letters, digits and . _ -"
        )
        raise CommandError(detail, _FLAGS)
    if urlsplit(address).password:
        detail = f"--camera {name}: a password stands in the address, where others can read it"
        raise CommandError(
            detail, "Leave it out, as in rtsp://viewer@10.0.0.5/s; it goes into a file."
        )
    return name, address


def _refuse_twins(names: Sequence[str]) -> None:
    twins = {name for name in names if names.count(name) > 1}
    if twins:
        raise CommandError(f"two cameras are called {', '.join(sorted(twins))}", _NAMES)


def _ask_cameras() -> tuple[tuple[str, str], ...]:
    found = []
    while name := click.prompt("Name of a camera (empty: no more)", "", show_default=False):
        found.append(_named(f"{name}={click.prompt('Its address, without password')}"))
    return tuple(found)


def _write(file: Path, text: str) -> None:
    """Write a new file, readable for its owner alone; one that is there is never touched."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as err:
        raise unwritable(file, err, "FILE") from err
