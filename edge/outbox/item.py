"""What goes through the outbox, what may come of a try, and how the outbox is. Ring: domain, values only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class ItemClass(StrEnum):
    """How much an item matters; the values are the words of pages, columns and metrics."""

    ALARM = "alarm"
    EVIDENCE = "evidence"
    TELEMETRY = "telemetry"

    @property
    def rank(self) -> int:
        """Give the place in line: 0 goes first."""
        return tuple(ItemClass).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The receiver has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The receiver could not take it now; `retry_after_s` is what it asked for, in seconds."""

    reason: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Poison:
    """The receiver refuses this very item, and would again."""

    reason: str


Outcome = Delivered | Retry | Poison


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxItem:
    """Something that must reach somebody.

    `item_id` stays the same over all tries, so that a receiver can tell a repeated item from a new one; a second item
    of the same id is not taken. `kind` says who delivers it. Items of one `key` (an event) arrive in the order in which
    they were put. `payload` is JSON; `picture` are encoded bytes.
    """

    item_id: str
    kind: str
    key: str
    item_class: ItemClass
    payload: Mapping[str, Any]
    picture: bytes | None = None

    @property
    def size_bytes(self) -> int:
        """Tell what it weighs: payload and picture."""
        return len(json.dumps(self.payload)) + len(self.picture or b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredItem:
    """An item as it is kept, without its payload; `seq` is its number, which grows with every put."""

    seq: int
    item_id: str
    kind: str
    key: str
    item_class: ItemClass
    size_bytes: int
    created_at: datetime
    expires_at: datetime
    refusals: int
    error: str
    quarantined_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneStatus:
    """One kind of item: how many wait, how the receiver is. `failures` counts tries in a row that did not succeed."""

    kind: str
    waiting: int
    failures: int
    last_error: str
    last_delivered_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStatus:
    """What waits, and what became of the rest.

    `ended` counts by class what left: delivered, expired, dropped. `lost` counts what expired or was dropped within the
    last day. `disk_trouble` says why nothing can be written, None when it can. Sizes are in bytes.
    """

    items: dict[ItemClass, int]
    size_bytes: int
    oldest_s: float
    quarantined: int
    ended: dict[ItemClass, dict[str, int]]
    lanes: tuple[LaneStatus, ...]
    lost: dict[str, int]
    disk_trouble: str | None
