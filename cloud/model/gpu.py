"""The cards' memory, as the driver's own program tells it. Ring: adapter (nvidia-smi).

One number does not deserve a package of its own: `nvidia-smi` comes with every driver. It takes some 50 ms, so that a
reading is kept for a while.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from shared.clock import Clock

_COMMAND = (
    "nvidia-smi",
    "--query-gpu=index,memory.used,memory.total",
    "--format=csv,noheader,nounits",
)
_TIMEOUT_S = 5.0  # a driver in trouble hangs; the scrape must not
_KEEP_S = 10.0  # below the usual scrape interval of 15 s
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CardMemory:
    """Memory of one card, by its index in nvidia-smi."""

    card: str
    used_bytes: int
    total_bytes: int


def read_card_memory() -> list[CardMemory]:
    """Ask the driver; none without a card, a driver or a sensible answer."""
    if shutil.which(_COMMAND[0]) is None:
        return []
    try:
        done = subprocess.run(  # noqa: S603 # a fixed command
            _COMMAND, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return list(_parse(done.stdout.splitlines()))


def _parse(lines: Iterable[str]) -> Iterator[CardMemory]:
    for line in lines:
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 3 and all(cell.isascii() and cell.isdigit() for cell in cells):
            card, used, total = cells
            yield CardMemory(card=card, used_bytes=int(used) * _MIB, total_bytes=int(total) * _MIB)


class GpuMemoryCollector(Collector):
    """Publishes `fire_cloud_gpu_memory_bytes{card,state}`; absent where there is no card."""

    def __init__(self, clock: Clock) -> None:
        """Read nothing yet."""
        self._clock = clock
        self._lock = threading.Lock()
        self._found: list[CardMemory] = []
        self._read_mono_s = float("-inf")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give the metric at a scrape."""
        found = self._recent()
        if not found:
            return
        family = GaugeMetricFamily(
            "fire_cloud_gpu_memory_bytes", "Memory of a card.", labels=["card", "state"]
        )
        for memory in found:
            family.add_metric([memory.card, "used"], memory.used_bytes)
            family.add_metric([memory.card, "total"], memory.total_bytes)
        yield family

    def _recent(self) -> list[CardMemory]:
        with self._lock:
            now_mono_s = self._clock.mono_s()
            is_due = now_mono_s - self._read_mono_s >= _KEEP_S
            if is_due:
                self._read_mono_s = now_mono_s  # others get what was read before meanwhile
        if is_due:
            self._found = read_card_memory()
        return self._found
