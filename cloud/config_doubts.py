"""Which settings are legal, and yet probably not meant. Ring: rim."""

from __future__ import annotations

from collections.abc import Iterator

from cloud.config import AuthMode, CloudSettings, EngineKind
from shared.config import shared_doubts
from shared.roles import is_local_address


def doubts(settings: CloudSettings) -> list[str]:
    """Name them, with what comes of each."""
    own = [text for is_doubtful, text in _found(settings) if is_doubtful]
    return shared_doubts(settings.access, settings.server, settings.limits) + own


def _found(settings: CloudSettings) -> Iterator[tuple[bool, str]]:
    server, jobs, redis, consul = settings.server, settings.jobs, settings.redis, settings.consul
    yield (
        server.threads <= settings.engine.places,
        "server.threads is not above engine.places: refusals will wait behind accepted work",
    )
    yield (
        not settings.is_local and settings.auth.mode is AuthMode.OPEN,
        "the service listens beyond this machine, and pictures are taken without authentication",
    )
    yield (
        jobs.max_waiting_bytes < settings.limits.max_bytes,
        "jobs.max_waiting_bytes is below limits.max_bytes: the largest pictures can never wait as jobs",
    )
    yield (
        settings.engine.kind is EngineKind.REDIS and redis.claim_s <= redis.timeout_s,
        "redis.claim_s is not above redis.timeout_s: a worker that waits for Redis is taken for dead",
    )
    yield (
        settings.engine.kind is EngineKind.LOCAL and (redis.fallback or bool(settings.worker.port)),
        'redis.fallback and worker.port do nothing: engine.kind is not "redis"',
    )
    is_here_only = settings.is_local and not is_local_address(consul.address or "")
    yield (
        consul.url is not None and is_here_only,
        "consul.address is told to edges, and server.host takes only what comes from this machine",
    )
