"""The keys that edges sign with, in one file that only the service's user can read. Ring: adapter (disk).

Each name has up to two keys, so that a box can be moved to its new key while the old one still works. The name
`admin` is for the routes that change the service.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from shared.auth import MIN_KEY_CHARACTERS, is_edge_id, new_key
from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import ConfigError
from shared.logs import get_logger

ADMIN = "admin"
_MOST_KEYS = 2
_LOOK_AGAIN_S = 1.0


class KeyRing:
    """The file's keys; a changed file is read again within a second, a broken one is not taken."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Read the file; a missing one holds no keys.

        Raises:
            ConfigError(CONFIG_INVALID): it is not ours to read, or not what `write_keys` writes.
        """
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._stamp = _stamp(path)
        self._keys = read_keys(path)
        self._looked_mono_s = clock.mono_s()

    def keys_of(self, name: str) -> Sequence[bytes]:
        """Give the keys of a name, newest first."""
        self._look_again()
        return tuple(key.encode() for key in self._keys.get(name, ()))

    @property
    def has_edges(self) -> bool:
        """Tell whether any edge has a key."""
        self._look_again()
        return bool(self._keys.keys() - {ADMIN})

    def _look_again(self) -> None:
        now_mono_s = self._clock.mono_s()
        with self._lock:
            if now_mono_s - self._looked_mono_s < _LOOK_AGAIN_S:
                return
            self._looked_mono_s = now_mono_s
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return
            self._stamp = stamp
        try:
            self._keys = read_keys(self._path)
            get_logger().info("keys_read_again", names=len(self._keys))
        except ConfigError as err:
            get_logger().error("keys_not_taken", detail=err.detail)


def read_keys(path: Path) -> dict[str, list[str]]:
    """Read the file of keys; a missing one holds none.

    Raises:
        ConfigError(CONFIG_INVALID)
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as err:
        raise ConfigError(ErrorCode.CONFIG_INVALID, f"keys {path}: {err}") from err
    try:
        found = json.loads(text)
    except ValueError as err:
        raise ConfigError(ErrorCode.CONFIG_INVALID, f"keys {path}: not JSON") from err
    if not isinstance(found, dict) or not all(_is_entry(k, v) for k, v in found.items()):
        detail = f"keys {path}: expected names, each with 1 or 2 keys of {MIN_KEY_CHARACTERS} characters or more"
        raise ConfigError(ErrorCode.CONFIG_INVALID, detail)
    return found


def add_key(path: Path, name: str) -> str:
    """Create a key for a name and make it the newest; a third pushes the oldest out.

    Raises:
        ConfigError(CONFIG_INVALID): the name cannot sign, or the file cannot be read or written.
    """
    if not is_edge_id(name):
        raise ConfigError(ErrorCode.CONFIG_INVALID, f"{name[:70]!r} is not 1…64 of A-Za-z0-9._-")
    keys = read_keys(path)
    key = new_key()
    keys[name] = [key, *keys.get(name, [])][:_MOST_KEYS]
    _write(path, keys)
    return key


def remove_keys(path: Path, name: str) -> bool:
    """Take all keys of a name away; False: it had none.

    Raises:
        ConfigError(CONFIG_INVALID)
    """
    keys = read_keys(path)
    if keys.pop(name, None) is None:
        return False
    _write(path, keys)
    return True


def _write(path: Path, keys: dict[str, list[str]]) -> None:
    """Write the whole file beside and move it over, so that a reader sees the old or the new one."""
    beside = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(keys, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as err:
        raise ConfigError(ErrorCode.CONFIG_INVALID, f"keys {path}: {err}") from err


def _is_entry(name: object, keys: object) -> bool:
    return (
        isinstance(name, str)
        and is_edge_id(name)
        and isinstance(keys, list)
        and 1 <= len(keys) <= _MOST_KEYS
        and all(isinstance(k, str) and len(k) >= MIN_KEY_CHARACTERS and k.isascii() for k in keys)
    )


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
