"""State in memory while the disk does not take it; it goes back once the disk does. Ring: adapter (disk).

A folder on a disk in memory: new files that never go back, and beside them copies of the files as they were when the
box started. It ends with the process, and what a crash left of it is taken away at the next need.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import IO

from shared.errors import StoreError
from shared.startup import hold_folder

_IN_MEMORY = Path("/dev/shm")  # noqa: S108 – the folder that is made in it is ours alone
_PREFIX = "emberlink-state-"
_PARTS = ("", "-wal")  # a journal that a crash left belongs to its database
_PROBE_BYTES = 1 << 20


class SpareState:
    """Stands for a state folder; use it from one thread at a time."""

    def __init__(self) -> None:
        """Make the folder.

        Raises:
            OSError: no disk of this machine takes anything.
        """
        base = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
        _sweep(base)
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        self._held = hold_folder(self.folder)
        self._borrowed = self.folder / "borrowed"
        self._borrowed.mkdir()

    def borrow(self, original: Path) -> Path:
        """Copy a file of the state folder, as far as it can be read, and give where it can be written."""
        copy = self._borrowed / original.name
        with contextlib.suppress(OSError):
            for part in _PARTS:
                shutil.copyfile(f"{original}{part}", f"{copy}{part}")
        return copy

    def put_back(self, copy: Path, folder: Path) -> None:
        """Write a borrowed file back, as a whole; nobody may have it open.

        Raises:
            OSError, sqlite3.Error: the disk takes nothing; the file there is as it was.
        """
        with (
            contextlib.closing(sqlite3.connect(copy)) as source,
            contextlib.closing(sqlite3.connect(folder / copy.name)) as target,
        ):
            source.backup(target)

    def close(self) -> None:
        """Take the folder away."""
        self._held.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def can_be_written(folder: Path) -> bool:
    """Tell whether a folder takes files again, and has room for more than their names."""
    probe = folder / ".can-be-written"
    try:
        with probe.open("wb") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    return True


def _sweep(base: Path) -> None:
    """Take away what processes left that were killed."""
    for folder in base.glob(f"{_PREFIX}*"):
        left: IO[bytes] | None = None
        with contextlib.suppress(StoreError):  # it is held, or somebody else's
            left = hold_folder(folder)
        if left is not None:
            shutil.rmtree(folder, ignore_errors=True)
            left.close()
