"""The house of a cloud, wired: one process with its model, or front ends and workers around a Redis. Ring: rim."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never
from urllib.parse import urlsplit

import cv2

from cloud.config import CloudSettings, EngineKind
from cloud.engine import House
from cloud.jobs.answer import Answer
from cloud.jobs.callback_receiver import CallbackSettings
from cloud.jobs.callbacks import Callbacks, callback_body
from cloud.jobs.runner import Order, RunnerSettings
from cloud.kept_state import KeptState
from cloud.local_engine.house import HouseSettings, LocalHouse, Reports
from cloud.local_engine.state import SqliteState
from cloud.metrics import CloudMetrics
from cloud.model.slot import SlotSettings
from shared.clock import Clock, SystemClock
from shared.command.checkup import unreachable
from shared.error_code import ErrorCode
from shared.errors import ConfigError, FireError
from shared.logs import get_logger
from shared.model.detector import Detector, Running
from shared.model.inference import refuse_two_runtimes
from shared.model.manifest import shipped_models
from shared.startup import keep_freed_memory
from shared.watch.heartbeat import Watchman
from shared.watch.supervise import Supervisor

REDIS_MISSING = "engine.kind redis needs the package: pip install 'emberlink[redis]'"


def prepare_process() -> None:
    """Set up what is the process's: one runtime, memory that is kept, OpenCV without threads of its own.

    Raises:
        ModelError(RUNTIME_CONFLICT)
    """
    refuse_two_runtimes()
    keep_freed_memory()
    cv2.setNumThreads(1)  # parallelism comes from frames, not from inside one


def build_house(
    settings: CloudSettings,
    clock: Clock,
    metrics: CloudMetrics,
    callbacks: Callbacks,
    supervisor: Supervisor,
) -> House:
    """Build the engine that the settings name.

    Raises:
        ConfigError: the redis package is missing.
    """

    def local_house() -> LocalHouse:
        return LocalHouse(
            house_settings(settings),
            slot_settings(settings, clock),
            clock,
            _reports(metrics, callbacks),
            supervisor,
        )

    match settings.engine.kind:
        case EngineKind.LOCAL:
            return local_house()
        case EngineKind.REDIS:
            try:  # here, since the redis package comes with an extra of its own
                from cloud.redis_engine.wiring import build_front
            except ImportError as err:
                raise ConfigError(ErrorCode.CONFIG_INVALID, REDIS_MISSING) from err
            fallback = local_house() if settings.redis.fallback else None
            return build_front(settings, clock, fallback, supervisor)
        case _:
            assert_never(settings.engine.kind)


def _reports(metrics: CloudMetrics, callbacks: Callbacks) -> Reports:
    def job_finished(order: Order, answer: Answer) -> None:
        state = metrics.job_finished(answer)
        get_logger().info("job_finished", job_id=order.job_id, state=state.value)
        if order.callback_url:
            body = callback_body(order.job_id, state, answer)
            callbacks.send(order.job_id, order.callback_url, body)

    def model_changed(detector: Detector) -> None:
        metrics.set_model(detector.identity)

    return Reports(
        batch=metrics.observe_batch,
        stages=metrics.observe_stages,
        model=model_changed,
        job=job_finished,
    )


def check_redis(settings: CloudSettings) -> str:
    """Ask Redis for an answer; gives the rule by which it would throw jobs away, "" where it keeps them.

    Raises:
        ConfigError: the redis package is missing.
        FireError(ENGINE_UNAVAILABLE)
    """
    try:
        from cloud.redis_engine.wiring import build_link
    except ImportError as err:
        raise ConfigError(ErrorCode.CONFIG_INVALID, REDIS_MISSING) from err
    place = urlsplit(settings.redis.url.get_secret_value())
    if place.hostname and (why := unreachable(place.hostname, place.port or 6379)):
        raise FireError(ErrorCode.ENGINE_UNAVAILABLE, f"Redis at {place.hostname}: {why}")
    link = build_link(settings, SystemClock())
    try:
        link.prepare()
        return link.evicts_by()
    finally:
        link.close()


def house_settings(settings: CloudSettings) -> HouseSettings:
    """Take the bounds of one process from the settings."""
    jobs = settings.jobs
    return HouseSettings(
        places=settings.engine.places,
        max_batch=settings.max_batch,
        runners=RunnerSettings(
            runners=jobs.runners,
            max_waiting=jobs.max_waiting,
            max_waiting_bytes=jobs.max_waiting_bytes,
        ),
        ttl_s=jobs.ttl_s,
        max_kept=jobs.max_kept,
        watch_s=settings.model.watch_s,
        cost=float(settings.cost_per_call),
    )


def slot_settings(settings: CloudSettings, clock: Clock) -> SlotSettings:
    """Take what concerns the model from the settings."""
    return SlotSettings(
        models=settings.models or shipped_models(),
        name=settings.model.name,
        variant=settings.model.variant,
        running=Running(
            device=settings.model.device,
            threads=settings.model.threads,
            decoders=settings.engine.decoders,
            max_batch=settings.max_batch,
            allow_cpu=settings.model.allow_cpu,
        ),
        clock=clock,
    )


def build_state(settings: CloudSettings, clock: Clock) -> KeptState:
    """Build what keeps sessions and reports: in Redis where front ends share one, else on this disk.

    Raises:
        ConfigError: the redis package is missing.
    """
    access = settings.access
    if settings.engine.kind is EngineKind.LOCAL:
        path = settings.state / "console.sqlite3"
        return SqliteState(path, clock, longest_s=access.session_longest_s)
    try:
        from cloud.redis_engine.state import RedisState
        from cloud.redis_engine.wiring import build_link
    except ImportError as err:
        raise ConfigError(ErrorCode.CONFIG_INVALID, REDIS_MISSING) from err
    return RedisState(build_link(settings, clock), idle_s=access.session_idle_s)


def build_callbacks(
    settings: CloudSettings,
    clock: Clock,
    watchman: Watchman,
    count: Callable[[str], None] = lambda outcome: None,
) -> Callbacks:
    """Build what calls the callers' servers; it starts no thread before somebody has to be called."""
    wanted = settings.callbacks
    told = CallbackSettings(
        key=wanted.signing_key(), tries=wanted.tries, timeout_s=wanted.timeout_s
    )
    return Callbacks(clock, told, wanted.allowed, count=count, watchman=watchman)
