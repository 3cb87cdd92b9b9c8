"""Opens the files of the state folder; one that is damaged or cannot be written costs what it held, never the box.

Ring: adapter (disk, a thread). A damaged file is moved away and a new one begun. A folder that cannot be written is
stood for by one in memory (`edge.spare_state`): the box watches and alerts, and what it would keep goes back to the
disk when that takes it again.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import IO, TypeVar

from edge.budget import Charge
from edge.config_policy import PolicySection
from edge.ledger import Ledger
from edge.spare_state import SpareState, can_be_written
from edge.troubles import file_set_aside, state_in_memory
from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import FolderTaken, StoreError
from shared.logs import get_logger
from shared.startup import hold_folder
from shared.store import set_damaged_aside
from shared.trouble import Trouble

_T = TypeVar("_T")
_LEDGER = "ledger.sqlite3"
_LOOK_EVERY_S = 5.0


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
        self._held: IO[bytes] | None = None
        self._spare: SpareState | None = None
        self._why = ""
        self._lost: set[str] = set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        try:
            self._held = hold_folder(folder)
        except FolderTaken:
            raise
        except StoreError as err:
            self._why = err.detail

    @property
    def is_in_memory(self) -> bool:
        """Tell whether a file, or all of them, could not be written."""
        return bool(self._why)

    def open(self, name: str, build: Callable[[Path], _T]) -> _T:
        """Build what keeps a file: a new one when the old one is damaged, one in memory when none can be written.

        Raises:
            StoreError(STORE_SCHEMA): a newer version wrote it.
            StoreError: nothing can be written on this machine, not even in memory.
        """
        built = self._on_disk(name, build)
        if built is not None:
            return built
        spare = self._in_memory()
        try:
            return build(spare.borrow(self._folder / name))
        except StoreError as err:
            if err.code is ErrorCode.STORE_SCHEMA:
                raise
            return build(spare.fresh(name))  # what could be read of it is damaged

    def ledger(self, policy: PolicySection) -> Ledger:
        """Open the ledger; of one that is damaged or cannot be written the most it can hold counts as spent.

        Raises:
            StoreError: as `open`.
        """
        ledger = self._on_disk(_LEDGER, Ledger) or Ledger(self._in_memory().fresh(_LEDGER))
        if _LEDGER in self._lost:
            _book_most(ledger, policy, self._clock.now_at().astimezone(policy.zone).date())
        return ledger

    def troubles(self) -> Iterator[Trouble]:
        """Name what is wrong with the folder."""
        if self._why:
            yield state_in_memory(self._why, self._clock.now_at())

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
        if self._thread:
            self._thread.join(_LOOK_EVERY_S)
        if self._spare:
            try:
                self._held = self._held or hold_folder(self._folder)
                self._spare.put_back(self._folder)
            except (StoreError, OSError, sqlite3.Error) as err:
                get_logger().error("state_in_memory_lost", detail=str(err))
            self._spare.close()
        if self._held:
            self._held.close()

    def _on_disk(self, name: str, build: Callable[[Path], _T]) -> _T | None:
        """Build it in the state folder; None when that cannot be written."""
        if self._held is None:
            self._lost.add(name)
            return None
        try:
            return build(self._folder / name)
        except StoreError as err:
            if err.code is ErrorCode.STORE_SCHEMA:
                raise
            self._lost.add(name)
            try:
                if self._set_aside(name, err):
                    return build(self._folder / name)
            except (StoreError, OSError):
                pass  # not even a new one can be written
            self._why = self._why or err.detail
        return None

    def _in_memory(self) -> SpareState:
        if self._spare is None:
            try:
                self._spare = SpareState()
            except OSError as err:
                detail = f"{self._why}; and nothing can be kept in memory: {err}"
                raise StoreError(ErrorCode.STORE_UNAVAILABLE, detail) from err
        return self._spare

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
