"""A worker of the Redis engine, in a thread of the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cloud.house_wiring import build_callbacks, slot_settings
from cloud.metrics import RunMetrics
from cloud.model.slot import detector_slot
from shared.clock import SystemClock
from shared.watch.supervise import Supervisor
from tests.helpers.services import cloud_settings


@contextmanager
def running_worker(state: Path, models: Path, **sections: Any) -> Iterator[Any]:
    """Run a worker for the length of a block, watched as in a process of its own."""
    from cloud.redis_engine.wiring import build_worker  # the redis package may be missing

    settings, clock = cloud_settings(state, models, **sections), SystemClock()
    slot = detector_slot(slot_settings(settings, clock))
    slot.load()
    supervisor = Supervisor(clock)
    metrics = RunMetrics()
    callbacks = build_callbacks(settings, clock, supervisor, metrics.callback)
    worker = build_worker(settings, slot, clock, callbacks, supervisor, metrics)
    thread = threading.Thread(target=worker.run)
    thread.start()
    supervisor.start()
    try:
        yield worker
    finally:
        supervisor.stopping()
        worker.stop()
        thread.join(40)
        callbacks.stop(0.0)
        worker._link.close()
