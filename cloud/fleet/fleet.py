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
class _Known:
    """A report, and when it came by a clock that nobody sets."""

    heard: Heard
    at_mono_s: float


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
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._unsaved: dict[str, Heard] = {}
        self._saved_mono_s = self._asked_mono_s = -math.inf
        self._since = 0.0

    def hear(self, report: EdgeReport, *, address: str, is_signed: bool) -> bool:
        """Take a report; False: an unsigned one under the name of an edge that signs is not taken."""
        self._catch_up()
        with self._lock:
            known = self._known.get(report.name)
            if known is not None and known.heard.is_signed and not is_signed:
                return False
            days = {**(known.heard.forwarded if known else {})}
            days[report.day] = max(report.forwarded, days.get(report.day, 0))
            heard = Heard(
                report=report,
                is_signed=is_signed,
                address=address,
                heard_at=self._clock.now_at(),
                forwarded=dict(sorted(days.items())[-_DAYS_COUNTED:]),
            )
            self._take(heard, age_s=0.0)
            self._unsaved[report.name] = heard
        self._save()
        return True

    def edges(self) -> list[FleetEdge]:
        """Give all edges, those that want a look first: silent, then in trouble, then by name."""
        self._catch_up()
        now_mono_s = self._clock.mono_s()
        with self._lock:
            known = list(self._known.values())
        found = [
            FleetEdge(
                report=k.heard.report,
                is_signed=k.heard.is_signed,
                address=k.heard.address,
                heard_at=k.heard.heard_at,
                age_s=max(0.0, now_mono_s - k.at_mono_s),
                forwarded=k.heard.forwarded,
            )
            for k in known
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
                age_s = max(0.0, (self._clock.now_at() - heard.heard_at).total_seconds())
                known = self._known.get(heard.report.name)
                if known is None or known.at_mono_s < self._clock.mono_s() - age_s:
                    self._take(heard, age_s=age_s)

    def _take(self, heard: Heard, *, age_s: float) -> None:
        known = _Known(heard=heard, at_mono_s=self._clock.mono_s() - age_s)
        self._known[heard.report.name] = known
        self._known.move_to_end(heard.report.name)
        while len(self._known) > MOST_EDGES:
            name, _ = self._known.popitem(last=False)
            self._unsaved.pop(name, None)
