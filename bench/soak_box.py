"""One life of the box that `bench.soak` watches: a real edge service on a clock that leaps, and what it has grown to.

The clock stands still but for its leaps, half a second a frame and hours between the events. The upkeep waits in real
time and is called here instead; supervision takes each leap for a process that stood still, and says so.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO, cast

import psutil

from edge.box.state_copy import Places, back_up
from edge.record.types import Mark
from shared.disk.rotated_log import RotatedLog
from shared.logs import configure_logs
from tests.helpers.clock import FakeClock
from tests.helpers.pictures import calm_jpeg, fire_jpeg, unsure_jpeg
from tests.helpers.services import Running, running_edge

_CAMERAS = 8
_SLOTS = 6  # in a day; in each of them one camera burns
_LOOKS = 8  # of the burning camera: enough for an event, its updates, and frames between
_FRAME_S = 0.5


class Site:
    """Lets days pass around a running box; while the file `away` exists the cloud is."""

    def __init__(self, edge: Running, clock: FakeClock, away: Path, seed: str) -> None:
        """Keep what to move."""
        self._edge, self._clock, self._away = edge, clock, away
        self._chance = random.Random(seed)
        self._slowest_s: defaultdict[str, float] = defaultdict(float)

    def day(self, *, is_last_breath: bool) -> None:
        """Let a day pass, or a part of it until a sudden death."""
        records, is_away = self._edge.service._kept.records, self._chance.random() < 0.3
        dies_in = self._chance.randrange(_SLOTS) if is_last_breath else None
        for slot in range(_SLOTS):
            self._away.touch() if is_away and slot in (2, 3) else self._away.unlink(missing_ok=True)
            burning = self._chance.randrange(_CAMERAS)
            for look in range(_LOOKS):
                self._show(burning, fire_jpeg())
                if slot == dies_in and look == _LOOKS // 2:
                    os.kill(os.getpid(), signal.SIGKILL)
            for camera in range(_CAMERAS):
                self._show(camera, self._chance.choice((calm_jpeg(), unsure_jpeg())))
            self._clock.advance(86_400 / _SLOTS - _FRAME_S * (_LOOKS + _CAMERAS))
            self._timed("upkeep", self._edge.service._upkeep.round)
        self._timed("events", lambda: self._edge.get("/events?limit=200"))
        self._timed("page", lambda: self._edge.get("/"))
        for event in self._edge.get("/events?limit=3").json()["result"]["events"]:
            records.acknowledge(event["event_id"], by="soak")
            records.label(event["event_id"], self._chance.choice(list(Mark)), by="soak")

    def sample(self) -> dict[str, Any]:
        """Measure the box."""
        process = psutil.Process()
        return {
            "rss_mb": process.memory_info().rss / 1e6,
            "descriptors": process.num_fds(),
            "threads": process.num_threads(),
            "metrics": len(self._edge.get("/metrics").text.splitlines()),
            "slowest_s": {what: round(s, 3) for what, s in self._slowest_s.items()},
            "grown": grown(),
        }

    def _show(self, camera: int, jpeg: bytes) -> None:
        self._clock.advance(_FRAME_S)
        # Bytes behind the picture's end make each file its own without the work of drawing it.
        picture = jpeg + self._chance.randbytes(8000)
        self._edge.show(f"/joint_predict?camera=camera{camera}", picture)

    def _timed(self, what: str, call: Callable[[], object]) -> None:
        begun_s = time.monotonic()
        call()
        self._slowest_s[what] = max(self._slowest_s[what], time.monotonic() - begun_s)


def grown() -> dict[str, int]:
    """Count the objects of our classes, and what their collections hold."""
    gc.collect()
    found: Counter[str] = Counter()
    for thing in gc.get_objects():
        name = f"{type(thing).__module__}.{type(thing).__qualname__}"
        if name.startswith(("edge.", "shared.")):
            found[name] += 1
            slots = [
                slot for base in type(thing).__mro__ for slot in vars(base).get("__slots__", ())
            ]
            for attribute in {*getattr(thing, "__dict__", ()), *slots}:
                value = getattr(thing, attribute, None)
                if isinstance(value, dict | list | set | deque):
                    found[f"{name}.{attribute}"] += len(value)
    return found


def main() -> None:
    """Live for some days: `FOLDER CLOUD WEBHOOK BEGIN DAYS END`; prints a sample a week and at the end."""
    folder, (cloud, webhook, begin, count, end) = Path(sys.argv[1]), sys.argv[2:]
    state = folder / "state"
    log = RotatedLog(folder / "log" / "edge.log", max_bytes=2_000_000, keep=5)
    configure_logs(stream=cast(TextIO, log))
    clock, begun_s = FakeClock(datetime.fromisoformat(begin)), time.monotonic()
    with running_edge(
        state,
        folder / "models",
        cloud,
        clock=clock,
        cameras={f"camera{number}": {"source": "push:"} for number in range(_CAMERAS)},
        policy={"daily_limit": "0.40", "monthly_limit": "9"},  # spent within day and month
        alerts={"sinks": {"hook": {"kind": "webhook", "url": webhook}}},
    ) as edge:
        start_s = time.monotonic() - begun_s
        site = Site(edge, clock, folder / "away", seed=begin)
        for day in range(1, int(count) + 1):
            is_last = day == int(count)
            site.day(is_last_breath=is_last and end == "killed")
            if is_last or day % 7 == 1:
                print(json.dumps({"day": day, "start_s": start_s, **site.sample()}), flush=True)
        back_up(Places(state=state, evidence=state / "evidence"), folder / "backup", clock.now_at())


if __name__ == "__main__":
    main()
