"""Which edges report, how they are, and which fell silent. Ring: domain.

In memory: after a restart every edge reports again within half a minute.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.clock import Clock
from shared.fleet import EVERY_S, EdgeReport

SILENT_AFTER_S = 3 * EVERY_S + 5.0
"""Three reports in a row may be lost on a bad link before an edge is said to be silent."""

_MOST_EDGES = 10_000
_DAYS_KEPT = 14


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
class _Heard:
    report: EdgeReport
    is_signed: bool
    address: str
    heard_at: datetime
    heard_mono_s: float
    forwarded: dict[str, int]


class Fleet:
    """The edges by name; bounded, the one that was silent longest goes first. Safe for use by many threads."""

    def __init__(self, clock: Clock) -> None:
        """Start with nobody."""
        self._clock = clock
        self._lock = threading.Lock()
        self._heard: OrderedDict[str, _Heard] = OrderedDict()

    def hear(self, report: EdgeReport, *, address: str, is_signed: bool) -> bool:
        """Take a report; False: an unsigned one under the name of an edge that signs is not taken."""
        with self._lock:
            before = self._heard.get(report.name)
            if before is not None and before.is_signed and not is_signed:
                return False
            days = {**(before.forwarded if before else {})}
            days[report.day] = max(report.forwarded, days.get(report.day, 0))
            self._heard[report.name] = _Heard(
                report=report,
                is_signed=is_signed,
                address=address,
                heard_at=self._clock.now_at(),
                heard_mono_s=self._clock.mono_s(),
                forwarded=dict(sorted(days.items())[-_DAYS_KEPT:]),
            )
            self._heard.move_to_end(report.name)
            while len(self._heard) > _MOST_EDGES:
                self._heard.popitem(last=False)
        return True

    def edges(self) -> list[FleetEdge]:
        """Give all edges, those that want a look first: silent, then in trouble, then by name."""
        now_mono_s = self._clock.mono_s()
        with self._lock:
            heard = list(self._heard.values())
        found = [
            FleetEdge(
                report=h.report,
                is_signed=h.is_signed,
                address=h.address,
                heard_at=h.heard_at,
                age_s=now_mono_s - h.heard_mono_s,
                forwarded=h.forwarded,
            )
            for h in heard
        ]
        return sorted(found, key=lambda e: (not e.is_silent, not e.report.troubles, e.report.name))

    def count(self, *, is_silent: bool) -> int:
        """Count the edges that are silent, or those that are not."""
        return sum(edge.is_silent is is_silent for edge in self.edges())
