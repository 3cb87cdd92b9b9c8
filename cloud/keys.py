"""The keys that edges sign with, in one file that only the service's user can read. Ring: adapter (disk).

Each name has up to two keys, so that a box can be moved to its new key while the old one still works. The name
`admin` is for the routes that change the service.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from shared.auth import MIN_KEY_CHARACTERS, is_edge_id, new_key
from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import CommandError, ConfigError
from shared.secret_file import WatchedFile, alone_with, write_private

ADMIN = "admin"
_MOST_KEYS = 2
_REPAIR = (
    "Let the service's user read it. If it is damaged, move it away and make each key anew with `keys new EDGE`, "
    "or put a copy back."
)


class KeyRing:
    """The file's keys; a changed file is read again within a second, a broken one is not taken."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Read the file; a missing one holds no keys.

        Raises:
            ConfigError(CONFIG_INVALID): it is not ours to read, or not what `add_key` writes.
        """
        self._file = WatchedFile(path, read_keys, clock)

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
        raise ConfigError(ErrorCode.CONFIG_INVALID, f"keys {path}: {why}", remedy=_REPAIR) from err
    try:
        found = json.loads(text)
    except ValueError as err:
        raise ConfigError(
            ErrorCode.CONFIG_INVALID, f"keys {path}: not JSON", remedy=_REPAIR
        ) from err
    if not isinstance(found, dict) or not all(_is_entry(k, v) for k, v in found.items()):
        detail = f"keys {path}: expected names, each with 1 or 2 keys of {MIN_KEY_CHARACTERS} characters or more"
        raise ConfigError(ErrorCode.CONFIG_INVALID, detail, remedy=_REPAIR)
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
    with alone_with(path):
        keys = read_keys(path)
        if keys.pop(name, None) is None:
            return False
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
