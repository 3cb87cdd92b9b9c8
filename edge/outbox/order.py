"""Who is next in the outbox: order, pauses, quarantine, room, pace. Ring: domain.

Class before age, and within one key (an event) always in the order in which things were put. A receiver that is away
pauses its whole lane; what it refuses for good leaves the line after a few tries, so that it holds nobody up.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, auto
from typing import Protocol, assert_never

from edge.outbox.item import Delivered, ItemClass, Outcome, Poison, Retry

_TRIED_AT_LEAST_S = 3600.0
"""Nothing expires before it was tried for this long, so that a clock that jumps forward costs no message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An item as the order sees it; `seq` grows with every put, `since_mono_s` is when this process took it up."""

    seq: int
    key: str
    item_class: ItemClass
    size_bytes: int
    created_at: datetime
    expires_at: datetime
    since_mono_s: float

    def is_expired(self, now_at: datetime, now_mono_s: float) -> bool:
        """Tell whether its time is over, by the wall clock and by how long it was really tried."""
        was_tried = now_mono_s - self.since_mono_s >= _TRIED_AT_LEAST_S
        return was_tried and now_at >= self.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """How patiently a lane asks again.

    `first_pause_s` doubles up to `longest_pause_s`; `lane_pause_s` bounds how long the whole lane rests, so that a
    receiver that is back is noticed soon. An item goes into quarantine after `refusals` permanent refusals, or after
    `tries` failures while the receiver took others.
    """

    first_pause_s: float = 1.0
    longest_pause_s: float = 300.0
    lane_pause_s: float = 60.0
    refusals: int = 3
    tries: int = 20

    def pause_s(self, failures: int, longest_s: float) -> float:
        """Give the pause after so many failures in a row, without jitter."""
        return min(longest_s, self.first_pause_s * 2.0 ** min(failures - 1, 30))


class Settlement(StrEnum):
    """What becomes of an item after a try."""

    DONE = auto()
    LATER = auto()
    QUARANTINE = auto()


class Lane:
    """What waits for one receiver; not safe for use by several threads at once."""

    def __init__(self, rules: RetryRules, jitter: Callable[[], float]) -> None:
        """Start empty; `jitter` gives a factor around 1 for each pause."""
        self._rules = rules
        self._jitter = jitter
        self._entries: dict[int, Entry] = {}
        self._keys: dict[str, deque[int]] = {}
        self._ready: list[tuple[int, int]] = []  # (rank, seq) of heads; stale ones are skipped
        self._later: list[tuple[float, int]] = []
        self._held_until: dict[int, float] = {}
        self._tries: dict[int, int] = {}
        self._refusals: dict[int, int] = {}
        self._delivered_before: dict[int, int] = {}
        self._paused_until = 0.0
        self._is_pause_asked = False
        self.failures = 0
        self.delivered = 0
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, seq: int) -> bool:
        return seq in self._entries

    def entries(self) -> Iterable[Entry]:
        """Give all entries, in the order in which they were put."""
        return list(self._entries.values())

    def add(self, entry: Entry, refusals: int = 0) -> None:
        """Put an entry at the end of its key; a new alarm is tried at once, also when the lane rests by itself."""
        self._entries[entry.seq] = entry
        self.size_bytes += entry.size_bytes
        self._refusals[entry.seq] = refusals
        queue = self._keys.setdefault(entry.key, deque())
        queue.append(entry.seq)
        if len(queue) == 1:
            self._make_ready(entry)
            if entry.item_class is ItemClass.ALARM and not self._is_pause_asked:
                self._paused_until = 0.0

    def remove(self, seq: int) -> None:
        """Take an entry out, wherever it stands; the next of its key moves up."""
        entry = self._entries.pop(seq, None)
        if entry is None:
            return
        self.size_bytes -= entry.size_bytes
        queue = self._keys[entry.key]
        was_head = queue[0] == seq
        queue.remove(seq)
        for kept in (self._held_until, self._tries, self._refusals, self._delivered_before):
            kept.pop(seq, None)
        if not queue:
            del self._keys[entry.key]
        elif was_head:
            self._make_ready(self._entries[queue[0]])

    def next(self, now_mono_s: float) -> Entry | None:
        """Choose what is tried now: of the heads that may be, class before age; None when nothing may."""
        if now_mono_s < self._paused_until:
            return None
        while self._later and self._later[0][0] <= now_mono_s:
            until, seq = heapq.heappop(self._later)
            if self._held_until.get(seq) == until:
                del self._held_until[seq]
                self._make_ready(self._entries[seq])
        self._skip_stale()
        return self._entries[self._ready[0][1]] if self._ready else None

    def wait_s(self, now_mono_s: float) -> float | None:
        """Tell how long nothing will be due; None when nothing waits at all."""
        if not self._entries:
            return None
        self._skip_stale()
        due = now_mono_s if self._ready else min(self._held_until.values(), default=now_mono_s)
        return max(0.0, self._paused_until - now_mono_s, due - now_mono_s)

    def settle(self, seq: int, outcome: Outcome, now_mono_s: float) -> Settlement:
        """Book what came of a try and tell what becomes of the entry; it is taken out unless it is for later."""
        match outcome:
            case Delivered():
                self.failures, self.delivered = 0, self.delivered + 1
                self._paused_until, self._is_pause_asked = 0.0, False
                settlement = Settlement.DONE
            case Poison():
                self.failures = 0  # it answered: the receiver is well, the item is not
                self._refusals[seq] = self._refusals.get(seq, 0) + 1
                is_over = self._refusals[seq] >= self._rules.refusals
                settlement = Settlement.QUARANTINE if is_over else Settlement.LATER
            case Retry():
                self._rest(outcome, now_mono_s)
                settlement = Settlement.QUARANTINE if self._is_hopeless(seq) else Settlement.LATER
            case _:
                assert_never(outcome)
        if settlement is Settlement.LATER:
            self._hold(seq, now_mono_s)
        else:
            self.remove(seq)
        return settlement

    def refusals(self, seq: int) -> int:
        """Tell how often the receiver refused an entry for good."""
        return self._refusals.get(seq, 0)

    def _skip_stale(self) -> None:
        while self._ready:
            seq = self._ready[0][1]
            entry = self._entries.get(seq)
            if entry and seq not in self._held_until and self._keys[entry.key][0] == seq:
                return
            heapq.heappop(self._ready)

    def _make_ready(self, entry: Entry) -> None:
        heapq.heappush(self._ready, (entry.item_class.rank, entry.seq))

    def _rest(self, retry: Retry, now_mono_s: float) -> None:
        self.failures += 1
        pause_s = self._rules.pause_s(self.failures, self._rules.lane_pause_s) * self._jitter()
        self._is_pause_asked = (retry.retry_after_s or 0.0) > pause_s
        self._paused_until = now_mono_s + max(pause_s, retry.retry_after_s or 0.0)

    def _is_hopeless(self, seq: int) -> bool:
        tries = self._tries.get(seq, 0) + 1
        before = self._delivered_before.setdefault(seq, self.delivered)
        return tries >= self._rules.tries and self.delivered > before

    def _hold(self, seq: int, now_mono_s: float) -> None:
        if seq not in self._entries:  # dropped by somebody during the try
            return
        self._tries[seq] = self._tries.get(seq, 0) + 1
        pause_s = self._rules.pause_s(self._tries[seq], self._rules.longest_pause_s)
        until = now_mono_s + pause_s * self._jitter()
        self._held_until[seq] = until
        heapq.heappush(self._later, (until, seq))


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What an outbox may hold; alarms may go beyond it."""

    max_items: int
    max_bytes: int


def make_room(
    waiting: Iterable[Entry], incoming: ItemClass, size_bytes: int, room: Room
) -> list[int] | None:
    """Choose who leaves so that one more fits: the least important class first, in it the oldest.

    Only what matters no more than the newcomer leaves, and never an alarm.

    Returns:
        the `seq` of those who leave; None when there is no room for the newcomer, which is never so for an alarm.
    """
    entries = list(waiting)
    items, size = len(entries) + 1, sum(entry.size_bytes for entry in entries) + size_bytes
    may_leave = [
        entry
        for entry in entries
        if entry.item_class is not ItemClass.ALARM and entry.item_class.rank >= incoming.rank
    ]
    may_leave.sort(key=lambda entry: (-entry.item_class.rank, entry.seq))
    leaving: list[int] = []
    for entry in may_leave:
        if items <= room.max_items and size <= room.max_bytes:
            break
        items, size = items - 1, size - entry.size_bytes
        leaving.append(entry.seq)
    fits = items <= room.max_items and size <= room.max_bytes
    return leaving if fits or incoming is ItemClass.ALARM else None


class Link(Protocol):
    """A thin link's bytes, shared with live frames."""

    def available_bytes(self) -> float:
        """Tell what may be sent now."""
        ...

    def spend(self, sent_bytes: int) -> None:
        """Take what was really sent."""
        ...


_ASK_AGAIN_S = 0.5  # how soon a thin link is looked at again


class Pace:
    """How fast what can wait may leave, so that live frames keep the link and the processor."""

    def __init__(
        self, *, items_per_s: float, link: Link | None = None, live_bytes: int = 0
    ) -> None:
        """Keep the rate and the link; None is one without a limit. `live_bytes` of its bucket stay for live frames."""
        self._gap_s = 1.0 / items_per_s
        self._link = link
        self._live_bytes = live_bytes
        self._next_mono_s = 0.0

    def wait_s(self, size_bytes: int, now_mono_s: float) -> float:
        """Tell how long an item of this size must still wait; 0 when it may go."""
        if now_mono_s < self._next_mono_s:
            return self._next_mono_s - now_mono_s
        if self._link is not None:
            needed = self._live_bytes + min(size_bytes, self._live_bytes)  # never above the bucket
            if self._link.available_bytes() < needed:
                return _ASK_AGAIN_S
        return 0.0

    def note_sent(self, size_bytes: int, now_mono_s: float) -> None:
        """Book an item that leaves now, whatever its class."""
        self._next_mono_s = now_mono_s + self._gap_s
        if self._link is not None:
            self._link.spend(size_bytes)
