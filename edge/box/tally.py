"""Counts what became of frames, by hour and camera, for the pages and their statistics. Ring: domain.

Counting is in memory; who keeps the counts takes them every minute. A crash loses that minute, nothing else.
"""

from __future__ import annotations

import functools
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from edge.fuse import Verdict
from shared.clock import Clock
from shared.types import Label, Source

POSTED = ""  # the camera of frames that were posted without one, or with one name of too many
# Of the edge's confidence between 0.5 and 1, for the question what a threshold would ask.
CONFIDENCE_STEPS = 50
_QUARTER_S = 900  # since the epoch; no zone's hour turns within one
_MOST_CAMERAS = 128  # twice what a box is rated for; each has some hundred rows a day on disk
_MOST_KEYS = 100_000  # 128 cameras with every count, twice


class Key(NamedTuple):
    """What is counted: the local hour (`2026-11-20T14`), the camera, and the count's name.

    A tuple, which hashes without a line of Python: four of them are looked up a frame.
    """

    hour: str
    camera: str
    name: str


Counts = Mapping[Key, int]


class TallyStore(Protocol):
    """Where counts survive."""

    def add(self, counts: Counts) -> None:
        """Add counts to what is kept; raises StoreError when nothing was."""
        ...

    def between(self, first_hour: str, last_hour: str, names: Sequence[str]) -> dict[Key, int]:
        """Give some counts of some hours, both ends included; raises StoreError."""
        ...

    def days(self, first_day: str, last_day: str, names: Sequence[str]) -> dict[Key, int]:
        """Give some counts of some days, both ends included; raises StoreError."""
        ...


class Tally:
    """Counts frames; safe for use by many threads.

    Names: `frames`, `asked` and `answered` (by the cloud), `agreed` (edge and cloud said the same), `charged` in
    millionths, `reason.<code>`, `confidence.<step>`, `blind_s`.
    """

    def __init__(
        self, store: TallyStore, zone: ZoneInfo, clock: Clock, cameras: Iterable[str] = ()
    ) -> None:
        """Start counting; `cameras` are always counted apart, of names that come with posts the first ones."""
        self._store = store
        self._zone = zone
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[Key] = Counter()
        self._cameras = set(cameras)

    def note(self, verdict: Verdict) -> None:
        """Count a frame whose last word is spoken."""
        decision, edge = verdict.decision, verdict.edge
        step = min(CONFIDENCE_STEPS - 1, int((edge.confidence - 0.5) * 2 * CONFIDENCE_STEPS))
        found = {
            "frames": 1,
            "asked": int(decision.forward),
            "charged": decision.charged_micros,
            f"reason.{decision.reason.value}": 1,
            f"confidence.{step:02d}": 1,
        }
        if verdict.source is Source.CLOUD:
            is_same = (edge.label is Label.NONE) == (verdict.label is Label.NONE)
            found |= {"answered": 1, "agreed": int(is_same)}
        self._add(verdict.camera or POSTED, found)

    def note_blind(self, camera: str, seconds: int) -> None:
        """Count time in which a camera did not watch."""
        self._add(camera, {"blind_s": seconds})

    def save(self) -> None:
        """Hand over what was counted; it is counted on when that fails.

        Raises:
            StoreError
        """
        with self._lock:
            taken, self._counts = self._counts, Counter()
        try:
            self._store.add(taken)
        except Exception:
            with self._lock:
                self._counts.update(taken)
            raise

    def between(self, first_hour: str, last_hour: str, names: Sequence[str]) -> dict[Key, int]:
        """Give some counts of some local hours, kept and not yet kept.

        Raises:
            StoreError
        """
        found = Counter(self._store.between(first_hour, last_hour, names))
        with self._lock:
            for key, count in self._counts.items():
                if key.name in names and first_hour <= key.hour <= last_hour:
                    found[key] += count
        return dict(found)

    def days(self, first_day: str, last_day: str, names: Sequence[str]) -> dict[Key, int]:
        """Sum some counts of each local day, kept and not yet kept; the keys' hours are days, `2026-11-20`.

        Raises:
            StoreError
        """
        found = Counter(self._store.days(first_day, last_day, names))
        with self._lock:
            for key, count in self._counts.items():
                day = key.hour[:10]
                if key.name in names and first_day <= day <= last_day:
                    found[key._replace(hour=day)] += count
        return dict(found)

    def hour_of(self, at: datetime) -> str:
        """Name the local hour of a moment."""
        return _hour(int(at.timestamp()) // _QUARTER_S, self._zone)

    def _add(self, camera: str, found: Mapping[str, int]) -> None:
        hour = self.hour_of(self._clock.now_at())
        with self._lock:
            if len(self._counts) > _MOST_KEYS:
                return
            if len(self._cameras) < _MOST_CAMERAS:
                self._cameras.add(camera)
            camera = camera if camera in self._cameras else POSTED
            for name, count in found.items():
                if count:
                    self._counts[Key(hour=hour, camera=camera, name=name)] += count


@functools.lru_cache(maxsize=8)  # frames come many times a second
def _hour(quarter: int, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(quarter * _QUARTER_S, zone):%Y-%m-%dT%H}"


def total(counts: Counts, name: str, where: Callable[[Key], bool] = lambda key: True) -> int:
    """Sum a count over the keys that are wanted."""
    return sum(count for key, count in counts.items() if key.name == name and where(key))
