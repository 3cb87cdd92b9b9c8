"""Alarms that no disk took, kept in memory until they are delivered. Ring: domain."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime

from edge.outbox.item import OutboxItem, StoredItem

# With their pictures some 40 MB; what does not fit is refused, and whoever put it is told.
_MOST_ITEMS = 200
_FIRST = 1 << 62  # from here on an item's number is not one of the database


class OutboxMemory:
    """The items by number; safe for use by many threads."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._items: dict[int, OutboxItem] = {}

    def keep(
        self, items: Sequence[OutboxItem], now_at: datetime, expires_at: datetime
    ) -> list[StoredItem]:
        """Keep as many items as there is room for, the first ones; gives them as rows."""
        with self._lock:
            first = max(self._items, default=_FIRST) + 1
            fitting = items[: max(0, _MOST_ITEMS - len(self._items))]
            numbered = dict(enumerate(fitting, start=first))
            self._items |= numbered
        return [
            StoredItem(
                seq=seq,
                item_id=item.item_id,
                kind=item.kind,
                key=item.key,
                item_class=item.item_class,
                size_bytes=item.size_bytes,
                created_at=now_at,
                expires_at=expires_at,
                refusals=0,
                error="",
                quarantined_at=None,
            )
            for seq, item in numbered.items()
        ]

    def get(self, seq: int) -> OutboxItem | None:
        """Give an item; None for one that is not kept here."""
        with self._lock:
            return self._items.get(seq)

    def drop(self, seq: int) -> None:
        """Let go of an item, if it is kept here."""
        with self._lock:
            self._items.pop(seq, None)

    def numbers(self) -> set[int]:
        """Give the numbers of all items."""
        with self._lock:
            return set(self._items)
