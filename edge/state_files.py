"""Opens the files of the state folder; a damaged one is moved away and said so, and the box goes on. Ring: adapter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TypeVar

from edge.budget import Charge
from edge.config_policy import PolicySection
from edge.ledger import Ledger
from edge.troubles import file_set_aside
from shared.clock import Clock
from shared.errors import StoreError
from shared.store import set_damaged_aside
from shared.trouble import Trouble

_T = TypeVar("_T")
_LEDGER = "ledger.sqlite3"


class StateFiles:
    """A box beside a camera must watch, whatever became of its disk."""

    def __init__(self, folder: Path, tell: Callable[[Trouble], object], clock: Clock) -> None:
        """Keep the folder, who is told of damage, and the clock."""
        self._folder = folder
        self._tell = tell
        self._clock = clock

    def open(self, name: str, build: Callable[[Path], _T]) -> _T:
        """Build what keeps a file, with a new one when the old one is damaged.

        Raises:
            StoreError: the file is sound, and only locked, read-only, or on a full disk.
        """
        try:
            return build(self._folder / name)
        except StoreError as err:
            self._set_aside(name, err)
            return build(self._folder / name)

    def ledger(self, policy: PolicySection) -> Ledger:
        """Open the ledger; of a damaged one the most that it can have paid for counts as spent.

        Raises:
            StoreError: as `open`.
        """
        path = self._folder / _LEDGER
        try:
            return Ledger(path)
        except StoreError as err:
            self._set_aside(_LEDGER, err)
        ledger = Ledger(path)
        _book_most(ledger, policy, self._clock.now_at().astimezone(policy.zone).date())
        return ledger

    def _set_aside(self, name: str, error: StoreError) -> None:
        now_at = self._clock.now_at()
        aside = set_damaged_aside(self._folder / name, error, now_at)
        if aside is None:
            raise error
        self._tell(file_set_aside(name, aside, now_at))


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
