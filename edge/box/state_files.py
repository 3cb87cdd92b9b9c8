"""Opens the files of the state folder; one that is damaged or cannot be written costs what it held, never the box.

Ring: adapter (disk, threads). A damaged file is moved away and a new one begun. A folder that cannot be written, or
whose disk hangs, is stood for by one in memory (`edge.box.spare_state`): the box watches and alerts, and what it would
keep goes back to the disk when that takes it again.
"""

from __future__ import annotations

import functools
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import IO, TypeVar

from edge.box.spare_state import SpareState, can_be_written
from edge.box.troubles import file_set_aside, state_in_memory
from edge.config.policy import PolicySection
from edge.decide.budget import Charge
from edge.decide.ledger import Ledger
from shared.clock import Clock
from shared.disk.disk_thread import DiskThread
from shared.disk.store import set_damaged_aside
from shared.error_code import ErrorCode
from shared.errors import FolderTaken, StoreError
from shared.logs import get_logger
from shared.startup import hold_folder
from shared.watch.trouble import Trouble

_T = TypeVar("_T")
_LEDGER = "ledger.sqlite3"
_LOOK_EVERY_S = 5.0
# Shorter: a disk that spins up counts as one that hangs. Longer: a box whose disk hangs at the start watches later.
_WITHIN_S = 6.0
_READ_WITHIN_S = 2.0  # a copy of some MB from a disk that takes no write


class StateFiles:
    """A box beside a camera must watch, whatever became of its disk."""

    def __init__(self, folder: Path, tell: Callable[[Trouble], object], clock: Clock) -> None:
        """Make the folder ours.

        Args:
            folder: the state folder.
            tell: is told of damage.
            clock: for troubles and names.

        Raises:
            FolderTaken: another process has it: two would spend one budget twice.
        """
        self._folder = folder
        self._tell = tell
        self._clock = clock
        self._disk = DiskThread("state", patience_s=_WITHIN_S)
        self._reading = DiskThread("state-read", patience_s=_READ_WITHIN_S)
        self._held: IO[bytes] | None = None
        self._spare: SpareState | None = None
        self._borrowed: list[Path] = []
        self._why = ""
        self._lost: set[str] = set()
        self._unread: list[str] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        try:
            self._held = self._disk.do(
                functools.partial(hold_folder, folder), late=lambda held: held.close()
            )
        except FolderTaken:
            raise
        except StoreError as err:
            self._why = err.detail

    @property
    def is_in_memory(self) -> bool:
        """Tell whether a file, or all of them, could not be written."""
        return bool(self._why)

    @property
    def folder(self) -> Path:
        """Give where state can be kept without waiting for a disk that hangs."""
        return self._in_memory().folder if self._disk.trouble else self._folder

    def free_bytes(self) -> int | None:
        """Tell how much room the disk has; None when that cannot be told at once."""
        try:
            return self._reading.do(functools.partial(free_bytes, self._folder))
        except StoreError:
            return None

    def open(self, name: str, build: Callable[[Path], _T]) -> _T:
        """Build what keeps a file: a new one when the old one is damaged, one in memory when none can be written.

        Raises:
            StoreError(STORE_SCHEMA): a newer version wrote it.
            StoreError: nothing can be written on this machine, not even in memory.
        """
        built = self._on_disk(name, build) or self._on_copy(name, build)
        return built or build(self._in_memory().folder / name)

    def ledger(self, policy: PolicySection) -> Ledger:
        """Open the ledger; of one that is damaged or cannot be written the most it can hold counts as spent.

        Raises:
            StoreError: as `open`.
        """
        ledger = self._on_disk(_LEDGER, Ledger) or Ledger(self._in_memory().folder / _LEDGER)
        if _LEDGER in self._lost:
            _book_most(ledger, policy, self._clock.now_at().astimezone(policy.zone).date())
        return ledger

    def troubles(self) -> Iterator[Trouble]:
        """Name what is wrong with the folder."""
        if self._why:
            unread = f"; not even read: {', '.join(self._unread)}" if self._unread else ""
            yield state_in_memory(f"{self._why}{unread}", self._clock.now_at())

    def start(self, on_return: Callable[[], None]) -> None:
        """Look from now on whether files in memory can go back; `on_return` is called every few seconds while so."""
        if self._why:
            self._thread = threading.Thread(
                target=self._look, args=(on_return,), name="state-return", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Put back what was in memory, as far as the disk takes it, and let go of the folder; call it last."""
        self._stopping.set()
        if self._thread and self._disk.trouble is None:
            self._thread.join(_LOOK_EVERY_S)
        if self._spare:
            try:
                self._disk.do(functools.partial(self._put_back, self._spare))
            except (StoreError, OSError, sqlite3.Error) as err:
                get_logger().error("state_in_memory_lost", detail=str(err))
            self._spare.close()
        self._reading.stop()
        self._disk.stop()
        if self._held:
            self._held.close()

    def _on_disk(self, name: str, build: Callable[[Path], _T]) -> _T | None:
        """Build it in the state folder; None when that cannot be written."""
        if self._held is None:
            self._lost.add(name)
            return None
        make = functools.partial(build, self._folder / name)
        try:
            return self._disk.do(make)
        except StoreError as err:
            if err.code is ErrorCode.STORE_SCHEMA:
                raise
            self._lost.add(name)
            try:
                if self._disk.do(functools.partial(self._set_aside, name, err)):
                    return self._disk.do(make)
            except (StoreError, OSError):
                pass  # not even a new one can be written
            self._why = self._why or err.detail
        return None

    def _on_copy(self, name: str, build: Callable[[Path], _T]) -> _T | None:
        """Build it of what can be read of the file; None when that is nothing, or damaged."""
        borrow = functools.partial(self._in_memory().borrow, self._folder / name)
        try:
            copy = self._reading.do(borrow)
        except StoreError:
            self._unread.append(name)
            return None
        try:
            built = build(copy)
        except StoreError as err:
            if err.code is ErrorCode.STORE_SCHEMA:
                raise
            return None
        self._borrowed.append(copy)
        return built

    def _in_memory(self) -> SpareState:
        if self._spare is None:
            try:
                self._spare = SpareState()
            except OSError as err:
                detail = f"{self._why}; and nothing can be kept in memory: {err}"
                raise StoreError(ErrorCode.STORE_UNAVAILABLE, detail) from err
        return self._spare

    def _put_back(self, spare: SpareState) -> None:
        self._held = self._held or hold_folder(self._folder)
        for copy in self._borrowed:
            spare.put_back(copy, self._folder)

    def _set_aside(self, name: str, error: StoreError) -> bool:
        now_at = self._clock.now_at()
        aside = set_damaged_aside(self._folder / name, error, now_at)
        if aside is not None:
            self._tell(file_set_aside(name, aside, now_at))
        return aside is not None

    def _look(self, on_return: Callable[[], None]) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            if can_be_written(self._folder):
                on_return()


def free_bytes(folder: Path) -> int | None:
    """Tell how much room the disk of a folder has; None when that cannot be told."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _book_most(ledger: Ledger, policy: PolicySection, today: date) -> None:
    """Book the limit of today, and where there is a monthly one that of each day of the month before it."""
    first = today.day if policy.monthly_limit_micros is None else 1
    for number in range(first, today.day + 1):
        day = today.replace(day=number).isoformat()
        ledger.insert(
            Charge(
                call_id=f"lost-{day}",
                day=day,
                cost_micros=policy.daily_limit_micros,
                camera=None,
                tier="lost",
            )
        )
