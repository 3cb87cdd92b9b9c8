"""Which edges report, how they are, and which fell silent. Ring: domain."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from shared.clock import Clock
from shared.errors import FireError
from shared.fleet import EVERY_S, EdgeReport

SILENT_AFTER_S = 3 * EVERY_S + 5.0
"""Three reports in a row may be lost on a bad link before an edge is said to be silent."""

MOST_EDGES = 10_000
KEPT_DAYS = 90
"""How long an edge that fell silent is listed after a restart; a box that was taken down has to go some day."""

_DAYS_COUNTED = 14
_SAVE_EVERY_S = 5.0  # thousands of edges make one write of some hundred reports
_ASK_EVERY_S = 2.0  # how far two front ends may differ


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetEdge:
    """One edge as it was last heard; `forwarded` counts frames by its local days, the newest last."""

    report: EdgeReport
    is_signed: bool
    address: str
    heard_at: datetime
    age_s: float
    forwarded: Mapping[str, int]

    @property
    def is_silent(self) -> bool:
        """Tell whether it should have reported since."""
        return self.age_s > SILENT_AFTER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What an edge reported last, as it is kept."""

    report: EdgeReport
    is_signed: bool
    address: str
    heard_at: datetime
    forwarded: dict[str, int]

    def to_json(self) -> bytes:
        """Write it down."""
        return _HEARD.dump_json(self)

    @classmethod
    def from_json(cls, text: bytes) -> Heard | None:
        """Read what `to_json` wrote; None of what another version wrote otherwise."""
        try:
            return _HEARD.validate_json(text)
        except ValidationError:
            return None


_HEARD = TypeAdapter(Heard)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a store heard since it was asked last; `until` is what to ask with the next time."""

    heard: tuple[Heard, ...]
    until: float


class FleetStore(Protocol):
    """Where reports are kept; every call may raise FireError."""

    def put(self, heard: Sequence[Heard]) -> None:
        """Keep what edges reported; at most `MOST_EDGES`, for `KEPT_DAYS` at most."""
        ...

    def news(self, since: float) -> News:
        """Give what was reported since then, at other front ends too; 0 gives everything."""
        ...


class Fleet:
    """The edges by name; bounded, the one that was silent longest goes first. Safe for use by many threads.

    What a store knows is taken up every few seconds, when somebody asks; while it is away what was heard here counts.
    """

    def __init__(self, clock: Clock, store: FleetStore | None = None) -> None:
        """Start with whom the store knows; None knows nobody."""
        self._clock = clock
        self._store = store
        self._lock = threading.Lock()
        self._heard: OrderedDict[str, Heard] = OrderedDict()
        self._unsaved: dict[str, Heard] = {}
        self._saved_mono_s = self._asked_mono_s = -math.inf
        self._since = 0.0

    def hear(self, report: EdgeReport, *, address: str, is_signed: bool) -> bool:
        """Take a report; False: an unsigned one under the name of an edge that signs is not taken."""
        self._catch_up()
        with self._lock:
            before = self._heard.get(report.name)
            if before is not None and before.is_signed and not is_signed:
                return False
            days = {**(before.forwarded if before else {})}
            days[report.day] = max(report.forwarded, days.get(report.day, 0))
            heard = Heard(
                report=report,
                is_signed=is_signed,
                address=address,
                heard_at=self._clock.now_at(),
                forwarded=dict(sorted(days.items())[-_DAYS_COUNTED:]),
            )
            self._take(heard)
            self._unsaved[report.name] = heard
        self._save()
        return True

    def edges(self) -> list[FleetEdge]:
        """Give all edges, those that want a look first: silent, then in trouble, then by name."""
        self._catch_up()
        now_at = self._clock.now_at()
        with self._lock:
            heard = list(self._heard.values())
        found = [
            FleetEdge(
                report=h.report,
                is_signed=h.is_signed,
                address=h.address,
                heard_at=h.heard_at,
                age_s=max(0.0, (now_at - h.heard_at).total_seconds()),
                forwarded=h.forwarded,
            )
            for h in heard
        ]
        return sorted(found, key=lambda e: (not e.is_silent, not e.report.troubles, e.report.name))

    def count(self, *, is_silent: bool) -> int:
        """Count the edges that are silent, or those that are not."""
        return sum(edge.is_silent is is_silent for edge in self.edges())

    def save(self) -> None:
        """Keep what is not kept yet, now; a store that is away is told the next time."""
        with self._lock:
            unsaved, self._unsaved = self._unsaved, {}
        if self._store is None or not unsaved:
            return
        try:
            self._store.put(list(unsaved.values()))
        except FireError:
            with self._lock:
                self._unsaved = {**unsaved, **self._unsaved}

    def _save(self) -> None:
        with self._lock:
            now_mono_s = self._clock.mono_s()
            if now_mono_s - self._saved_mono_s < _SAVE_EVERY_S:
                return
            self._saved_mono_s = now_mono_s
        self.save()

    def _catch_up(self) -> None:
        with self._lock:
            now_mono_s = self._clock.mono_s()
            if self._store is None or now_mono_s - self._asked_mono_s < _ASK_EVERY_S:
                return
            self._asked_mono_s = now_mono_s
        try:
            news = self._store.news(self._since)
        except FireError:
            return
        with self._lock:
            self._since = news.until
            for heard in sorted(news.heard, key=lambda h: h.heard_at):
                known = self._heard.get(heard.report.name)
                if known is None or known.heard_at < heard.heard_at:
                    self._take(heard)

    def _take(self, heard: Heard) -> None:
        self._heard[heard.report.name] = heard
        self._heard.move_to_end(heard.report.name)
        while len(self._heard) > MOST_EDGES:
            name, _ = self._heard.popitem(last=False)
            self._unsaved.pop(name, None)
