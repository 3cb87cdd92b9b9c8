"""Waiting for what other threads and processes do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def wait_until(is_so: Callable[[], Any], within_s: float = 15.0) -> None:
    """Ask over and over; fails when it did not come to be in time."""
    ends_s = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < ends_s, "it did not come to be"
        time.sleep(0.02)
