"""The keys that edges sign with, in one file that only the service's user can read. Ring: adapter (disk).

Each name has up to two keys, so that a box can be moved to its new key while the old one still works. The name
`admin` is for the routes that change the service.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from cloud.troubles import KEYS_REPAIR, keys_unreadable
from shared.access.auth import MIN_KEY_CHARACTERS, is_edge_id, new_key
from shared.access.secret_file import WatchedFile, alone_with, write_private
from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import CommandError, ConfigError
from shared.watch.trouble import Trouble

ADMIN = "admin"
_MOST_KEYS = 2


# Stands for a file that cannot be read: somebody has a key, and nobody knows which.
_CLOSED: dict[str, list[str]] = {"": []}


class KeyRing:
    """The file's keys; a changed file is read again within a second, a broken one is not taken."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Read the file; a missing one holds no keys, and one that cannot be read lets nobody in."""
        self._file = WatchedFile(path, read_keys, clock, fallback=_CLOSED)

    def troubles(self, now_at: datetime) -> Iterator[Trouble]:
        """Name what is wrong with the file."""
        if detail := self._file.trouble():
            yield keys_unreadable(detail, now_at)

    def keys_of(self, name: str) -> Sequence[bytes]:
        """Give the keys of a name, newest first."""
        return tuple(key.encode() for key in self._file.value().get(name, ()))

    @property
    def has_edges(self) -> bool:
        """Tell whether any edge has a key."""
        return bool(self._file.value().keys() - {ADMIN})

    @property
    def is_empty(self) -> bool:
        """Tell whether nobody has a key, not even the admin."""
        return not self._file.value()

    def close(self) -> None:
        """End the watching."""
        self._file.close()


def read_keys(path: Path) -> dict[str, list[str]]:
    """Read the file of keys; a missing one holds none.

    Raises:
        ConfigError(CONFIG_INVALID)
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as err:
        why = err.strerror if isinstance(err, OSError) else "not UTF-8"
        raise ConfigError(
            ErrorCode.CONFIG_INVALID, f"keys {path}: {why}", remedy=KEYS_REPAIR
        ) from err
    try:
        found = json.loads(text)
    except ValueError as err:
        raise ConfigError(
            ErrorCode.CONFIG_INVALID, f"keys {path}: not JSON", remedy=KEYS_REPAIR
        ) from err
    if not isinstance(found, dict) or not all(_is_entry(k, v) for k, v in found.items()):
        detail = f"keys {path}: expected names, each with 1 or 2 keys of {MIN_KEY_CHARACTERS} characters or more"
        raise ConfigError(ErrorCode.CONFIG_INVALID, detail, remedy=KEYS_REPAIR)
    return found


def add_key(path: Path, name: str) -> str:
    """Create a key for a name and make it the newest; a third pushes the oldest out.

    Raises:
        CommandError: the name cannot sign.
        ConfigError(CONFIG_INVALID): the file cannot be read or written.
    """
    if not is_edge_id(name):
        raise CommandError(f"{name[:70]!r} is no name", "A name is 1…64 of A-Za-z0-9._-")
    key = new_key()
    with alone_with(path):
        keys = read_keys(path)
        keys[name] = [key, *keys.get(name, [])][:_MOST_KEYS]
        _write(path, keys)
    return key


def remove_keys(path: Path, name: str) -> bool:
    """Take all keys of a name away; False: it had none.

    Raises:
        ConfigError(CONFIG_INVALID)
    """
    if name not in read_keys(path):
        return False  # without a lock, which would make the folder of a path that was mistyped
    with alone_with(path):
        keys = read_keys(path)
        keys.pop(name, None)
        _write(path, keys)
    return True


def _write(path: Path, keys: dict[str, list[str]]) -> None:
    write_private(path, json.dumps(keys, indent=1) + "\n")


def _is_entry(name: object, keys: object) -> bool:
    return (
        isinstance(name, str)
        and is_edge_id(name)
        and isinstance(keys, list)
        and 1 <= len(keys) <= _MOST_KEYS
        and all(isinstance(k, str) and len(k) >= MIN_KEY_CHARACTERS and k.isascii() for k in keys)
    )
