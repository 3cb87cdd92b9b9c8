"""Wait for what has no event of its own to wait for, and tell what something costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

PAUSE_S = 0.02
Found = TypeVar("Found")


def wait_until(ask: Callable[[], Found], within_s: float = 100.0) -> Found:
    """Ask until the answer is true, and give it; the test fails when that takes too long.

    Args:
        ask: raises what it likes; that ends the test.
        within_s: what the condition may need on a machine that does ten other things. A limit that a quiet machine
            keeps easily is a test that fails by chance; how fast something is, is measured by the tests for that.
    """
    ends_mono_s = time.monotonic() + within_s
    while not (found := ask()):
        if time.monotonic() > ends_mono_s:
            raise AssertionError(f"not true within {within_s:g} s")
        time.sleep(PAUSE_S)
    return found


class OwnTime:
    """Seconds as this process had them: each look of a waiting counts as the pause before it, however long that took.

    Whatever is slow by itself is slow in them, too. A process that stood still looked once meanwhile, and one that got
    no processor as seldom as it could do anything else; so a machine that does ten other things changes little.
    """

    def __init__(self) -> None:
        """Start without a look."""
        self._looked_at: list[datetime] = []

    def wait_until(self, ask: Callable[[], object]) -> None:
        """Wait as `wait_until` does, and look at the clock between."""

        def look() -> object:
            self._looked_at.append(datetime.now(UTC))
            return ask()

        wait_until(look)

    def between_s(self, begun_at: datetime, ended_at: datetime) -> float:
        """Tell what the time between two moments was worth, of the time that was waited."""
        return PAUSE_S * sum(begun_at <= at <= ended_at for at in self._looked_at)


def least_cpu_s(act: Callable[[], object], tries: int = 3) -> float:
    """Do something several times and give the least time that this thread worked on it, in seconds.

    Time of the processor, not of the clock: what else the machine does changes little in it.
    """
    took_s = []
    for _ in range(tries):
        started_s = time.thread_time()
        act()
        took_s.append(time.thread_time() - started_s)
    return min(took_s)
