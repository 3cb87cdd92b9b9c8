"""Takes evidence away: what is old enough, then what is worth least when room is needed. Ring: adapter (the store)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Protocol

from edge.record.archive import Archive
from edge.record.journal import Journal
from edge.record.keep_clock import KeepClock
from edge.record.retention import (
    WARN_DAYS,
    Forecast,
    KeepRules,
    Pruned,
    Room,
    Worth,
    core_and_rest,
    forecast,
    rate_per_day,
    worth,
)
from edge.record.types import EventRecord, FrameRecord
from shared.errors import FireError

_BATCH = 200  # frames a transaction: recording waits a few milliseconds for each, not for all


class Prunable(Protocol):
    """The store, as pruning needs it."""

    @property
    def archive(self) -> Archive:
        """Give its reading side."""
        ...

    @property
    def keep_clock(self) -> KeepClock:
        """Give the clock by which evidence ages."""
        ...

    def writing(self) -> AbstractContextManager[tuple[Journal, list[str]]]:
        """Write to the journal, all of it or nothing."""
        ...

    def bury(self) -> None:
        """Delete the files whose rows are gone."""
        ...

    def sweep(self, before: datetime) -> int:
        """Delete what a journal that was set aside before a time has left."""
        ...


class Pruner:
    """Applies the rules to a store; not for use by several threads at once."""

    def __init__(
        self, store: Prunable, rules: KeepRules, free_bytes: Callable[[], int | None]
    ) -> None:
        """Keep store and rules; `free_bytes` tells the room of its disk."""
        self._store = store
        self._rules = rules
        self._free_bytes = free_bytes

    def prune(self) -> Pruned:
        """Take away what may go.

        Raises:
            StoreError: what was taken away until then stays so.
        """
        now_at = self._store.keep_clock.now_at()
        before = now_at - timedelta(days=self._rules.keep_days)
        events, freed = self._remove_expired(before)
        self._store.sweep(before)
        frames, freed_for_room = self._make_room()
        with self._store.writing() as (journal, _):
            journal.cut(before.date())
        left = self.room().left_bytes
        return Pruned(
            events=events,
            frames=frames,
            bytes=freed + freed_for_room,
            is_short=left is not None and left < 0,
        )

    def room(self) -> Room:
        """Tell how full the disk is."""
        used_bytes = self._store.archive.bytes_kept()
        return Room(rules=self._rules, used_bytes=used_bytes, free_bytes=self._free_bytes())

    def forecast(self) -> Forecast:
        """Tell how long the room lasts at the rate of the last 24 hours."""
        archive, now_at = self._store.archive, self._store.keep_clock.now_at()
        rate = rate_per_day(
            archive.bytes_of_day(now_at.date()),
            archive.bytes_of_day(now_at.date() - timedelta(days=1)),
            now_at,
        )
        soon = now_at - timedelta(days=self._rules.keep_days - WARN_DAYS)
        return forecast(
            self.room(),
            bytes_per_day=rate,
            expiring_bytes=archive.expiring_bytes(soon),
            oldest_at=archive.oldest_kept_at(),
        )

    def _remove_expired(self, before: datetime) -> tuple[int, int]:
        why = f"kept for {self._rules.keep_days} days"
        expired, freed = self._store.archive.expired(before), 0
        for event_id in expired:
            with self._store.writing() as (journal, _):
                if not journal.is_held(event_id):
                    freed += journal.remove_event(event_id, why)
            self._store.bury()
        return len(expired), freed

    def _make_room(self) -> tuple[int, int]:
        left = self.room().left_bytes
        if left is None or left >= 0:
            return 0, 0
        count = freed = 0
        for event_id, frames in self._least_valuable():
            for batch in [frames[at : at + _BATCH] for at in range(0, len(frames), _BATCH)]:
                with self._store.writing() as (journal, _):
                    if not journal.is_held(event_id):
                        seqs = journal.seqs_of_frames(event_id, [f.frame_id for f in batch])
                        freed += journal.remove(event_id, seqs, "the disk needed room")
                        count += len(batch)
                self._store.bury()
                if freed >= -left:
                    return count, freed
        return count, freed

    def _least_valuable(self) -> Iterator[tuple[str, list[FrameRecord]]]:
        """Go through what may go, the least valuable first; of an event, first what its story can do without."""
        records = self._store.archive.removable()
        for step in Worth:
            events = sorted(
                (r for r in records if worth(r) is step), key=lambda r: r.event.opened_at
            )
            for is_story in (False, True):
                if not (is_story and step >= Worth.UNREVIEWED_FIRE):
                    yield from (
                        (r.event.event_id, self._part(r, is_story=is_story)) for r in events
                    )

    def _part(self, record: EventRecord, *, is_story: bool) -> list[FrameRecord]:
        try:
            frames = self._store.archive.frames(record.event.event_id)
        except FireError:  # gone meanwhile, or damaged: nothing of it can be chosen by worth
            return []
        core, rest = core_and_rest(record, frames)
        return core if is_story else rest
