"""A small file of secrets: ours alone, replaced as a whole, read again when it changed.

Ring: adapter (disk, a thread).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar, cast

from shared.clock import Clock
from shared.disk.disk_thread import DiskThread
from shared.error_code import ErrorCode
from shared.errors import ConfigError, StoreError
from shared.logs import get_logger

_LOOK_AGAIN_S = 1.0
_PATIENCE_S = 1.0  # a request waits meanwhile; a few kB
_UNREAD = (-1, -1)  # no file's stamp

T = TypeVar("T")


class WatchedFile(Generic[T]):
    """What a file says; a changed file is read again within a second, one that is broken or gone is not taken.

    A file that tells who may come in must not let everybody in because a disk was unmounted, or somebody moved it away.
    """

    def __init__(
        self, path: Path, read: Callable[[Path], T], clock: Clock, *, fallback: T | None = None
    ) -> None:
        """Read the file.

        Args:
            path: the file.
            read: gives what it says.
            clock: tells when to look again.
            fallback: what counts while a file is broken from the start, or its disk hangs; None: that is an error.

        Raises:
            ConfigError(CONFIG_INVALID): from `read`, where there is no `fallback`.
        """
        self._path = path
        self._read = read
        self._clock = clock
        self._disk = DiskThread(f"read-{path.name}", patience_s=_PATIENCE_S)
        self._stamp: tuple[int, int] | None = _UNREAD
        self._error: ConfigError | None = None
        self._value = fallback
        self._looked_mono_s = clock.mono_s()
        try:
            self._disk.do(self._look)
        except StoreError as err:
            self._error = ConfigError(ErrorCode.CONFIG_INVALID, f"{path}: {err.detail}")
        if self._error is not None and fallback is None:
            self.close()
            raise self._error

    def value(self) -> T:
        """Give what the file says now, at most a second old; what it said last while its disk hangs."""
        now_mono_s = self._clock.mono_s()
        if now_mono_s - self._looked_mono_s >= _LOOK_AGAIN_S:
            with contextlib.suppress(StoreError):  # `trouble` tells
                self._disk.do(self._look)
            # Not before: whoever asks while another one's look is under way must not get what it said last.
            self._looked_mono_s = now_mono_s
        return cast(T, self._value)

    def trouble(self) -> str | None:
        """Tell why what the file says now does not count; None when it does."""
        self.value()
        if self._disk.trouble:
            return self._disk.trouble
        return self._error.detail if self._error else None

    def close(self) -> None:
        """End its thread."""
        self._disk.stop()

    def _look(self) -> None:
        """Read the file again where it has changed."""
        stamp, is_first = _stamp(self._path), self._stamp == _UNREAD
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            if stamp is None and not is_first:
                raise ConfigError(ErrorCode.CONFIG_INVALID, f"{self._path}: it is gone")
            self._value, self._error = self._read(self._path), None
        except ConfigError as err:
            self._error = err
            if not is_first:
                get_logger().error("secrets_not_taken", detail=err.detail)
        else:
            if not is_first:
                get_logger().info("secrets_read_again", file=self._path.name)


@contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """Keep every other command from changing the file meanwhile: what both read and write, one of them would lose.

    Raises:
        ConfigError(CONFIG_INVALID): its folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = path.with_name(f".{path.name}.lock").open("ab")
    except OSError as err:
        raise _not_writable(path, err) from err
    with held:
        fcntl.flock(held, fcntl.LOCK_EX)  # the other one takes milliseconds
        yield


def _not_writable(path: Path, err: OSError) -> ConfigError:
    remedy = "Run the command as the service's user, and name a folder that it may write, with room on its disk."
    return ConfigError(ErrorCode.CONFIG_INVALID, f"{path}: {err.strerror}", remedy=remedy)


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
        raise _not_writable(path, err) from err


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    # The change time also moves when a file becomes ours to read while its content stays.
    return found.st_ctime_ns, found.st_ino
