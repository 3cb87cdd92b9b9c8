"""A log file that does not grow without bound: when it is full it becomes `.1`, that one `.2`, the last goes.

Ring: adapter (disk, a thread). A disk that cannot be written, or hangs, costs lines, never the service, all of whose
threads write here; they go to stderr meanwhile.
"""

from __future__ import annotations

import contextlib
import functools
import io
import sys
from pathlib import Path
from typing import IO

from shared.disk.disk_thread import DiskThread
from shared.errors import StoreError

_PATIENCE_S = 1.0  # for the first line that a disk that hangs does not take; whoever logs waits


class RotatedLog(io.TextIOBase):
    """A text stream over such files; not for use by several threads or processes at once, as a logger serves it."""

    def __init__(self, path: Path, *, max_bytes: int, keep: int) -> None:
        """Open the newest file; lines go to stderr until that can be done, and `trouble` tells why.

        Args:
            path: the newest file; its folder is created.
            max_bytes: of each file; a longer line gets a file of its own.
            keep: how many full files stay beside it.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self.trouble = ""
        self._file: IO[bytes] = io.BytesIO()
        self._file.close()
        self._disk = DiskThread("log", patience_s=_PATIENCE_S)
        try:
            self._disk.do(self._open)
        except StoreError as err:
            self.trouble = f"{path}: {err.detail}"

    def write(self, text: str) -> int:
        """Write a line, into a fresh file where this one is full."""
        try:
            self._disk.do(functools.partial(self._write, text))
        except StoreError:
            sys.stderr.write(text)
        return len(text)

    def close(self) -> None:
        """Close the file."""
        self._disk.stop(lambda: self._file.close())
        super().close()

    def _open(self) -> None:
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        self._reopen()

    def _write(self, text: str) -> None:
        line = text.encode("utf-8", "backslashreplace")
        try:
            if self._file.tell() and self._file.tell() + len(line) > self._max_bytes:
                self._rotate()
            self._file.write(line)
            self._file.flush()
        except (OSError, ValueError):  # full, read-only, or closed by a rotation that failed
            sys.stderr.write(text)
            self._reopen()

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._keep, 0, -1):
            older = self._numbered(number)
            newer = self._numbered(number - 1)
            if newer.exists():
                newer.replace(older)
        if self._keep == 0:
            self._path.unlink(missing_ok=True)
        self._file = self._path.open("ab")

    def _reopen(self) -> None:
        with contextlib.suppress(OSError):  # what was buffered is lost; it went to stderr
            self._file.close()
        try:
            self._file = self._path.open("ab")
            if _is_torn(self._path):
                self._file.write(b"\n")
            self.trouble = ""
        except OSError as err:  # the next line tries again
            self.trouble = f"{self._path}: {err.strerror}"

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path


def _is_torn(path: Path) -> bool:
    """Tell whether a file ends within a line, as a full disk or a power cut leaves it; the next must not join it."""
    with path.open("rb") as file:
        size_bytes = file.seek(0, io.SEEK_END)
        file.seek(max(0, size_bytes - 1))
        return file.read(1) not in (b"", b"\n")
