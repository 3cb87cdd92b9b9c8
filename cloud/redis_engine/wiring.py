"""Wires what needs the redis package, which comes with an extra of its own. Ring: rim."""

from __future__ import annotations

from cloud.config import CloudSettings
from cloud.jobs.callbacks import Callbacks
from cloud.local_engine.house import LocalHouse
from cloud.metrics import RunMetrics
from cloud.model.slot import DetectorSlot, slot_troubles
from cloud.redis_engine.house import FrontSettings, RedisHouse
from cloud.redis_engine.link import Bound, RedisLink
from cloud.redis_engine.worker import Worker, WorkerSettings
from shared.clock import Clock
from shared.watch.supervise import Supervisor


def build_link(settings: CloudSettings, clock: Clock) -> RedisLink:
    """Build the connection that the settings name."""
    wanted = settings.redis
    return RedisLink(
        wanted.url.get_secret_value(), wanted.prefix, clock, timeout_s=wanted.timeout_s
    )


def build_front(
    settings: CloudSettings, clock: Clock, fallback: LocalHouse | None, supervisor: Supervisor
) -> RedisHouse:
    """Build a front end's side; `fallback` answers while Redis is away, `supervisor` knows what somebody has seen."""
    jobs = settings.jobs
    front = FrontSettings(
        places=settings.engine.places,
        jobs=Bound(pictures=jobs.max_waiting, bytes=jobs.max_waiting_bytes),
        ttl_s=jobs.ttl_s,
    )
    return RedisHouse(front, build_link(settings, clock), clock, fallback, supervisor.active)


def build_worker(
    settings: CloudSettings,
    slot: DetectorSlot,
    clock: Clock,
    callbacks: Callbacks,
    supervisor: Supervisor,
    metrics: RunMetrics,
) -> Worker:
    """Build a worker around a loaded model; `supervisor` learns what can be wrong with it."""
    supervisor.add_rule(lambda: slot_troubles(slot, clock.now_at()))
    supervisor.add_rule(lambda: callbacks.troubles(clock.now_at()))
    worker = WorkerSettings(
        max_batch=settings.max_batch,
        later_at_once=settings.jobs.runners,
        decoders=settings.engine.decoders,
        claim_s=settings.redis.claim_s,
        deliveries=settings.redis.deliveries,
        ttl_s=settings.jobs.ttl_s,
        cost=float(settings.cost_per_call),
        limits=settings.limits.image_limits(),
    )
    link = build_link(settings, clock)
    return Worker(worker, link, slot, clock, callbacks, supervisor, metrics)
