"""Keeping a cloud's model busy, so that what comes meanwhile waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.helpers.services import Running


class HeldModel:
    """A gate before the model; `batches` counts the pictures of each run."""

    def __init__(self, run_batch: Any) -> None:
        """Stand before a model, closed."""
        self._run_batch = run_batch
        self.go_on = threading.Event()
        self.is_running = threading.Event()
        self.batches: list[int] = []

    def __call__(self, tensors: Any) -> Any:
        """Wait at the gate, then run."""
        self.is_running.set()
        if not self.go_on.wait(250):
            raise TimeoutError("no test holds a model for so long")
        self.batches.append(len(tensors))
        return self._run_batch(tensors)


@contextmanager
def held_model(cloud: Running) -> Iterator[HeldModel]:
    """Hold a running cloud's model until `go_on` is set or the block ends."""
    detector = cloud.service.house.slot.current
    held = HeldModel(detector.run_batch)
    detector.run_batch = held
    try:
        yield held
    finally:
        held.go_on.set()
        del detector.run_batch
