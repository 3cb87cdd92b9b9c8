"""A worker of the Redis engine, as a process. Ring: rim."""

from __future__ import annotations

import threading

from cloud.config import CloudSettings
from cloud.house_wiring import REDIS_MISSING, build_callbacks, prepare_process, slot_settings
from cloud.model.slot import detector_slot
from cloud.redis_engine.port import open_worker_port, worker_metrics
from shared.clock import SystemClock
from shared.command.terminal import wait_for_stop
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import ConfigError, ModelError
from shared.logs import get_logger
from shared.watch.supervise import Supervisor

_LAST_ANSWERS_S = 0.2  # of the port that says how the worker is


def run_worker(settings: CloudSettings) -> None:
    """Run a worker of the Redis engine until a signal; the batch that runs then is finished.

    Raises:
        ConfigError: the redis package is missing.
        ModelError: the model is missing or was refused.
    """
    try:
        from cloud.redis_engine.wiring import build_worker
    except ImportError as err:
        raise ConfigError(ErrorCode.CONFIG_INVALID, REDIS_MISSING) from err
    prepare_process()
    clock = SystemClock()
    supervisor = Supervisor(clock)
    metrics = worker_metrics(settings, supervisor, clock)
    callbacks = build_callbacks(settings, clock, supervisor, metrics.callback)
    slot = detector_slot(
        slot_settings(settings, clock), lambda new: metrics.set_model(new.identity)
    )
    metrics.set_model(slot.load().identity)
    server = open_worker_port(settings, slot, metrics, supervisor, clock)
    if settings.model.watch_s:
        slot.watch(settings.model.watch_s, watchman=supervisor)
    worker = build_worker(settings, slot, clock, callbacks, supervisor, metrics)
    thread = threading.Thread(target=worker.run, name="worker")
    thread.start()
    supervisor.start()
    wait_for_stop(worker.is_stopping)
    timeout = Deadline.after(settings.server.stop_timeout_s, clock)
    supervisor.stopping()
    worker.stop()
    thread.join(timeout.remaining_s())
    slot.stop()
    callbacks.stop(timeout.remaining_s())
    if server:
        server.stop(_LAST_ANSWERS_S)
    get_logger().info("worker_stopped")
    trouble = slot.current.trouble if slot.current else None
    if trouble:
        raise ModelError(ErrorCode.MODEL_FAILED, trouble)  # an exit status that systemd restarts
