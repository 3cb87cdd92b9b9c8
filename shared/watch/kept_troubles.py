"""What supervision keeps over a restart: the troubles, and a mark that the process runs.

Ring: adapter (disk, a thread). A disk that hangs keeps nobody from watching.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from shared.disk.disk_thread import DiskThread, on_disk
from shared.error_code import ErrorCode
from shared.errors import StoreError
from shared.logs import get_logger
from shared.watch.trouble import Trouble

_TROUBLES = TypeAdapter(list[Trouble])
_PATIENCE_S = 1.0  # whoever watches waits meanwhile
_MOST_BYTES = 4_000_000  # 1024 troubles of some 500 bytes; anything longer was not written by us


class KeptTroubles:
    """The two files `troubles.json` and `running` in a state folder that this process holds."""

    def __init__(self, folder: Path) -> None:
        """Keep where they are; nothing is read or written yet."""
        self._troubles = folder / "troubles.json"
        self._running = folder / "running"
        self._disk = DiskThread("kept-troubles", patience_s=_PATIENCE_S)

    def load(self) -> list[Trouble]:
        """Read the troubles; a file that is missing, damaged or not answered gives none, and the latter are logged."""
        try:
            return self._disk.do(self._load)
        except FileNotFoundError:
            return []
        except (OSError, ValidationError, StoreError) as err:
            get_logger().warning(
                "kept_troubles_unreadable", path=str(self._troubles), detail=str(err)
            )
            return []

    @on_disk
    def save(self, troubles: Sequence[Trouble]) -> None:
        """Replace the file; it is on disk when this returns.

        Raises:
            StoreError(STORE_UNAVAILABLE)
        """
        new = self._troubles.with_suffix(".new")
        try:
            with new.open("wb") as file:
                file.write(_TROUBLES.dump_json(list(troubles), indent=1))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._troubles)
        except OSError as err:
            raise StoreError(
                ErrorCode.STORE_UNAVAILABLE, f"{self._troubles}: {err.strerror or err}"
            ) from err

    def last_alive(self) -> datetime | None:
        """Tell when a process before was last alive that did not end cleanly; None when the last end was clean."""
        try:
            return datetime.fromtimestamp(self._disk.do(self._running.stat).st_mtime, UTC)
        except (OSError, StoreError):
            return None

    @on_disk
    def mark_alive(self) -> None:
        """Leave the mark of a running process, newer each time; it lasts until `mark_stopped`.

        Raises:
            StoreError(STORE_UNAVAILABLE)
        """
        try:
            self._running.touch()
        except OSError as err:
            raise StoreError(
                ErrorCode.STORE_UNAVAILABLE, f"{self._running}: {err.strerror or err}"
            ) from err

    def mark_stopped(self) -> None:
        """Take the mark away: this end was meant; nothing more is written."""
        self._disk.stop(self._unmark)

    def _load(self) -> list[Trouble]:
        with self._troubles.open("rb") as file:
            return _TROUBLES.validate_json(file.read(_MOST_BYTES))

    def _unmark(self) -> None:
        try:
            self._running.unlink(missing_ok=True)
        except OSError as err:
            get_logger().warning("clean_stop_not_marked", path=str(self._running), detail=str(err))
