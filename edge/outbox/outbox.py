"""The outbox: what must reach somebody is on disk first and leaves it when it was delivered. Ring: adapter (threads).

One thread a kind of item, so that a receiver that hangs holds up nobody else, and one for expiry and for what an
operator changes from outside. Who is next is `edge.outbox.order`. A disk that takes nothing more stops no alarm: it is
kept in memory then and tried all the same.
"""

from __future__ import annotations

import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from edge.outbox.item import (
    Delivered,
    ItemClass,
    LaneStatus,
    OutboxItem,
    OutboxStatus,
    Outcome,
    Poison,
    Retry,
    StoredItem,
)
from edge.outbox.memory import OutboxMemory
from edge.outbox.order import Entry, Lane, Link, Pace, RetryRules, Room, Settlement, make_room
from edge.outbox.store import OutboxStore
from shared.clock import Clock
from shared.errors import FireError, StoreError
from shared.logs import get_logger

# Longest sleep of a thread: how soon an operator's change and a moved clock are noticed.
_LOOK_AGAIN_S = 1.0
_EXPIRE_EVERY_S = 30.0
_MAX_ERROR_CHARACTERS = 300
_RECENT = timedelta(days=1)  # how long a loss is shown as a trouble
_MAX_LOSSES = 10_000

Deliver = Callable[[OutboxItem], Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRules:
    """Bounds of the outbox; `keep` says how long each class is tried before it expires."""

    room: Room
    keep: dict[ItemClass, timedelta]
    retry: RetryRules = field(default_factory=RetryRules)
    items_per_s: float = 20.0


class _Post:
    """A lane with its thread: one receiver."""

    def __init__(self, kind: str, lane: Lane) -> None:
        self.kind = kind
        self.lane = lane
        self.deliver: Deliver | None = None
        self.note: Callable[[Outcome], None] = lambda outcome: None
        self.wake = threading.Event()
        self.last_error = ""
        self.last_delivered_at: datetime | None = None


class Outbox:
    """Keeps and delivers items; safe for use by many threads."""

    def __init__(
        self,
        path: Path,
        rules: OutboxRules,
        *,
        clock: Clock,
        link: Link | None = None,
        link_bytes: int = 0,
        jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2),
        beat: Callable[[str], None] = lambda thread: None,
    ) -> None:
        """Open the file and take up what it holds; nothing is sent before `start`.

        Args:
            path: the database.
            rules: bounds.
            clock: wall time for age, monotonic for pauses.
            link: a thin link's token bucket, shared with live frames.
            link_bytes: what that bucket holds; half of it is left to live frames.
            jitter: a factor around 1 for each pause.
            beat: told a thread's name each time it turns, see `threads`.

        Raises:
            StoreError
        """
        self._beat = beat
        self._rules = rules
        self._clock = clock
        self._jitter = jitter
        self._store = OutboxStore(path)
        self._pace = Pace(items_per_s=rules.items_per_s, link=link, live_bytes=link_bytes // 2)
        self._lock = threading.Lock()
        self._posts: dict[str, _Post] = {}
        self._unwritten = OutboxMemory()
        self._quarantined: dict[int, StoredItem] = {}
        self._ended = self._store.tallies()
        self._losses: deque[tuple[datetime, str]] = deque(maxlen=_MAX_LOSSES)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._seen_version = self._store.version()
        self._take_up(self._store.rows())

    def handle(
        self, kind: str, deliver: Deliver, note: Callable[[Outcome], None] = lambda outcome: None
    ) -> None:
        """Say who delivers items of a kind; call it before `start`.

        Args:
            kind: of the items.
            deliver: called on a thread of its own, one item at a time; must limit its own waits.
            note: told what came of each try.
        """
        with self._lock:
            post = self._post(kind)
            post.deliver, post.note = deliver, note

    def start(self) -> None:
        """Begin to deliver."""
        for post in [post for post in self._posts.values() if post.deliver]:
            self._threads.append(
                threading.Thread(
                    target=self._run, args=(post,), name=f"outbox-{post.kind}", daemon=True
                )
            )
        self._threads.append(threading.Thread(target=self._care, name="outbox", daemon=True))
        for thread in self._threads:
            thread.start()

    def threads(self) -> list[str]:
        """Name the threads that run; each beats every second, or once a try of its receiver."""
        return [thread.name for thread in self._threads]

    def stop(self, timeout_s: float) -> None:
        """End the threads; what was not delivered stays on disk. One that hangs is left to its own limit."""
        self._stopping.set()
        for post in self._posts.values():
            post.wake.set()
        for thread in self._threads:
            thread.join(timeout_s)
        self._store.close()

    def put(self, items: Sequence[OutboxItem]) -> None:
        """Keep items; they are on disk when this returns, and tried at once.

        Above the bounds telemetry leaves first, then evidence, the oldest first and counted. Alarms always fit. When
        the disk takes nothing, alarms are kept in memory.

        Raises:
            StoreError: the disk takes nothing, and not everything could be kept in memory.
        """
        now_at = self._clock.now_at()
        expires_at = {c: now_at + self._rules.keep[c] for c in ItemClass}
        try:
            fitting = [item for item in items if self._has_room(item)]
            stored = self._store.insert(fitting, now_at, expires_at)
        except StoreError as err:
            alarms = [item for item in items if item.item_class is ItemClass.ALARM]
            kept = self._unwritten.keep(alarms, now_at, expires_at[ItemClass.ALARM])
            get_logger().error("outbox_not_written", detail=err.detail, alarms_in_memory=len(kept))
            self._take_up(kept)
            if len(kept) < len(items):
                raise
        else:
            self._take_up(stored)

    def step(self, kind: str) -> float | None:
        """Try the next item of a kind, if one is due; what the kind's thread does over and over.

        Returns:
            seconds until there is something to do, 0 after a try; None when nothing waits.
        """
        post = self._posts[kind]
        now_mono_s = self._clock.mono_s()
        with self._lock:
            entry = post.lane.next(now_mono_s)
            if entry is None:
                return post.lane.wait_s(now_mono_s)
            is_alarm = entry.item_class is ItemClass.ALARM
            pause_s = 0.0 if is_alarm else self._pace.wait_s(entry.size_bytes, now_mono_s)
            if pause_s > 0:
                return pause_s
            self._pace.note_sent(entry.size_bytes, now_mono_s)
        try:
            item = self._unwritten.get(entry.seq) or self._store.read(entry.seq)
        except ValueError as err:  # one damaged row must not hold up the others
            self._settle(post, entry, Poison(reason=f"cannot be read any more: {err}"))
            return 0.0
        if item is None:  # dropped by an operator a moment ago
            with self._lock:
                post.lane.remove(entry.seq)
        else:
            self._settle(post, entry, _try(post, item))
        return 0.0

    def status(self) -> OutboxStatus:
        """Tell what waits and what became of the rest; from memory, at once."""
        now_at = self._clock.now_at()
        with self._lock:
            entries = [entry for post in self._posts.values() for entry in post.lane.entries()]
            oldest_at = min((entry.created_at for entry in entries), default=now_at)
            return OutboxStatus(
                items={c: sum(e.item_class is c for e in entries) for c in ItemClass},
                size_bytes=sum(entry.size_bytes for entry in entries),
                oldest_s=max(0.0, (now_at - oldest_at).total_seconds()),
                quarantined=len(self._quarantined),
                ended={c: dict(results) for c, results in self._ended.items()},
                lanes=tuple(
                    LaneStatus(
                        kind=post.kind,
                        waiting=len(post.lane),
                        failures=post.lane.failures,
                        last_error=post.last_error,
                        last_delivered_at=post.last_delivered_at,
                    )
                    for post in self._posts.values()
                ),
                lost=dict(Counter(result for at, result in self._losses if now_at - at < _RECENT)),
                disk_trouble=self._store.trouble,
            )

    def expire(self) -> int:
        """Give up what was tried for as long as its class is kept; counted and logged."""
        now_at, now_mono_s = self._clock.now_at(), self._clock.mono_s()
        with self._lock:
            over = [
                entry
                for post in self._posts.values()
                for entry in post.lane.entries()
                if entry.is_expired(now_at, now_mono_s)
            ]
        self._leave(over, "expired")
        return len(over)

    def reread(self) -> None:
        """Take in what another process changed: dropped items leave, released ones come back."""
        version = self._store.version()
        if version == self._seen_version:
            return
        self._seen_version = version
        with self._lock:  # before the rows are read: what is put meanwhile is not among them
            known = [(post, e.seq) for post in self._posts.values() for e in post.lane.entries()]
        rows = self._store.rows()
        there = {row.seq for row in rows if row.quarantined_at is None}
        with self._lock:
            there |= self._unwritten.numbers()
            for post, seq in known:
                if seq not in there:
                    post.lane.remove(seq)
            self._quarantined.clear()
        self._take_up(rows)

    def _post(self, kind: str) -> _Post:
        if kind not in self._posts:
            self._posts[kind] = _Post(kind, Lane(self._rules.retry, self._jitter))
        return self._posts[kind]

    def _take_up(self, rows: Iterable[StoredItem]) -> None:
        now_mono_s = self._clock.mono_s()
        with self._lock:
            for row in rows:
                post = self._post(row.kind)
                if row.quarantined_at is not None:
                    self._quarantined[row.seq] = row
                elif row.seq not in post.lane:
                    post.lane.add(_entry(row, now_mono_s), row.refusals)
                    post.wake.set()

    def _has_room(self, item: OutboxItem) -> bool:
        """Make room by letting what matters less leave; False when the item itself must stay out."""
        with self._lock:
            lanes = [post.lane for post in self._posts.values()]
            room, size = self._rules.room, item.size_bytes + sum(lane.size_bytes for lane in lanes)
            if sum(map(len, lanes)) < room.max_items and size <= room.max_bytes:
                return True
            waiting = {entry.seq: entry for lane in lanes for entry in lane.entries()}
        leaving = make_room(waiting.values(), item.item_class, item.size_bytes, room)
        if leaving is not None:
            self._leave([waiting[seq] for seq in leaving], "dropped")
            return True
        self._store.count(item.item_class, "dropped")
        with self._lock:
            self._count(item.item_class, "dropped")
        get_logger().warning("outbox_dropped", item_class=item.item_class.value, kind=item.kind)
        return False

    def _leave(self, entries: Sequence[Entry], result: str) -> None:
        if not entries:
            return
        self._store.remove([(entry.seq, entry.item_class) for entry in entries], result)
        with self._lock:
            for entry in entries:
                self._count(entry.item_class, result)
                self._unwritten.drop(entry.seq)
                for post in self._posts.values():
                    post.lane.remove(entry.seq)
        get_logger().warning(f"outbox_{result}", items=len(entries))

    def _count(self, item_class: ItemClass, result: str) -> None:
        if result != "delivered":
            self._losses.append((self._clock.now_at(), result))
        counts = self._ended.setdefault(item_class, {})
        counts[result] = counts.get(result, 0) + 1

    def _settle(self, post: _Post, entry: Entry, outcome: Outcome) -> None:
        reason = "" if isinstance(outcome, Delivered) else outcome.reason[:_MAX_ERROR_CHARACTERS]
        now_at = self._clock.now_at()
        with self._lock:
            settlement = post.lane.settle(entry.seq, outcome, self._clock.mono_s())
            refusals = post.lane.refusals(entry.seq)
            post.last_error = reason
            if settlement is Settlement.DONE:
                post.last_delivered_at = now_at
                self._count(entry.item_class, "delivered")
                self._unwritten.drop(entry.seq)
        try:
            if settlement is Settlement.DONE:
                self._store.remove([(entry.seq, entry.item_class)], "delivered")
            elif settlement is Settlement.QUARANTINE:
                self._quarantine(post, entry, reason, now_at)
            elif isinstance(outcome, Poison):
                self._store.note_refusal(entry.seq, refusals, reason, None)
        except StoreError as err:
            # It is still on disk and goes out once more after a restart: at least once, never lost.
            get_logger().error("outbox_not_written", detail=err.detail)
        post.note(outcome)

    def _quarantine(self, post: _Post, entry: Entry, reason: str, now_at: datetime) -> None:
        if self._unwritten.get(entry.seq):  # there is no row that could be set aside
            self._unwritten.drop(entry.seq)
            with self._lock:
                self._count(entry.item_class, "dropped")
            get_logger().error("outbox_dropped", kind=post.kind, detail=reason)
            return
        row = self._store.note_refusal(entry.seq, self._rules.retry.refusals, reason, now_at)
        self._take_up([row] if row else [])
        item_id = row.item_id if row else ""
        get_logger().error("outbox_quarantined", kind=post.kind, item_id=item_id, detail=reason)

    def _run(self, post: _Post) -> None:
        while not self._stopping.is_set():
            self._beat(threading.current_thread().name)
            try:
                wait_s = self.step(post.kind)
            except StoreError:  # a trouble as long as it lasts, no line a second
                wait_s = None
            except Exception as err:  # thread top: nothing else would deliver to this receiver
                get_logger().error("outbox_step_failed", kind=post.kind, exc_info=err)
                wait_s = None
            if wait_s != 0:
                post.wake.wait(_LOOK_AGAIN_S if wait_s is None else min(wait_s, _LOOK_AGAIN_S))
                post.wake.clear()

    def _care(self) -> None:
        next_expiry_mono_s = 0.0
        while not self._stopping.wait(_LOOK_AGAIN_S):
            self._beat("outbox")
            try:
                self.reread()
                if self._clock.mono_s() >= next_expiry_mono_s:
                    next_expiry_mono_s = self._clock.mono_s() + _EXPIRE_EVERY_S
                    self.expire()
            except StoreError:  # as above
                continue


def _try(post: _Post, item: OutboxItem) -> Outcome:
    if post.deliver is None:
        return Retry(reason="nobody delivers this kind of item")
    try:
        return post.deliver(item)
    except FireError as err:
        return Retry(reason=err.detail)
    except Exception as err:  # sink call: a receiver that goes mad must not end its thread
        get_logger().error("delivery_failed", kind=post.kind, exc_info=err)
        return Retry(reason=f"{type(err).__name__}: {err}")


def _entry(row: StoredItem, now_mono_s: float) -> Entry:
    return Entry(
        seq=row.seq,
        key=row.key,
        item_class=row.item_class,
        size_bytes=row.size_bytes,
        created_at=row.created_at,
        expires_at=row.expires_at,
        since_mono_s=now_mono_s,
    )
