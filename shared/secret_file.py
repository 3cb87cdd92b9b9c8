"""A small file of secrets: ours alone, replaced as a whole, read again when it changed. Ring: adapter (disk)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import ConfigError
from shared.logs import get_logger

_LOOK_AGAIN_S = 1.0

T = TypeVar("T")


class WatchedFile(Generic[T]):
    """What a file says; a changed file is read again within a second, a broken one is not taken."""

    def __init__(self, path: Path, read: Callable[[Path], T], clock: Clock) -> None:
        """Read the file.

        Raises:
            ConfigError(CONFIG_INVALID): from `read`.
        """
        self._path = path
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._stamp = _stamp(path)
        self._value = read(path)
        self._looked_mono_s = clock.mono_s()

    def value(self) -> T:
        """Give what the file says now, at most a second old."""
        now_mono_s = self._clock.mono_s()
        with self._lock:
            if now_mono_s - self._looked_mono_s < _LOOK_AGAIN_S:
                return self._value
            self._looked_mono_s = now_mono_s
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return self._value
            self._stamp = stamp
        try:
            self._value = self._read(self._path)
            get_logger().info("secrets_read_again", file=self._path.name)
        except ConfigError as err:
            get_logger().error("secrets_not_taken", detail=err.detail)
        return self._value


def write_private(path: Path, text: str) -> None:
    """Write the whole file beside and move it over, so that a reader sees the old or the new one; mode 0600.

    Raises:
        ConfigError(CONFIG_INVALID): it cannot be written.
    """
    beside = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as err:
        raise ConfigError(ErrorCode.CONFIG_INVALID, f"{path}: {err}") from err


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    # The change time also moves when a file becomes ours to read while its content stays.
    return found.st_ctime_ns, found.st_ino
