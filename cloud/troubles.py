"""What can be wrong with a cloud, as troubles. Ring: domain.

A rule gives the trouble as it is at this moment; since when it has been so is known to `shared.watch.supervise`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from shared.watch.trouble import Trouble, TroubleKind

CLOUD_KINDS = (
    TroubleKind.MODEL,
    TroubleKind.LINK,
    TroubleKind.SINK,
    TroubleKind.DISK,
    TroubleKind.THREAD,
)
"""The kinds that a cloud can have."""

EVICTION_REPAIR = (
    "Set `maxmemory-policy noeviction` in Redis' configuration, and at once with "
    "`redis-cli config set maxmemory-policy noeviction`."
)
KEYS_REPAIR = (
    "Let the service's user read it. If it is damaged, move it away and make each key anew with `keys new EDGE`, "
    "or put a copy back."
)


def model_failed(detail: str, now_at: datetime) -> Trouble:
    """The model gives no answers any more."""
    return Trouble(
        kind=TroubleKind.MODEL,
        subject="",
        code="failed",
        cause=f"The model gives no answers: {detail}",
        remedy="Look at the log, and at the card with `nvidia-smi`; then restart the service.",
        since=now_at,
        figures={"detail": detail},
    )


def model_untrue(detail: str, now_at: datetime) -> Trouble:
    """The model gives wrong answers to the pictures that came with it."""
    return Trouble(
        kind=TroubleKind.MODEL,
        subject="",
        code="untrue",
        cause=f"The model fails on its own pictures, so that nobody else's are taken in: {detail}",
        remedy="Put a sound version into the models folder and reload; if a shipped model fails, run "
        "`emberlink-cloud doctor`.",
        since=now_at,
        figures={"detail": detail},
    )


def models_doubtful(models: Iterable[Mapping[str, Any]], now_at: datetime) -> list[Trouble]:
    """Models that run, though not as they were wanted; `models` as `House.models` gives them."""
    return [
        Trouble(
            kind=TroubleKind.MODEL,
            subject=str(model["name"]),
            code="not_as_wanted",
            cause=f"The model answers, but not as it was wanted: {model['doubt']}.",
            remedy="Check driver, CUDA and cuDNN with `nvidia-smi` and `emberlink-cloud doctor`, then restart.",
            since=now_at,
            figures={"doubt": str(model["doubt"])},
        )
        for model in models
        if model["doubt"]
    ]


def newer_refused(detail: str, now_at: datetime) -> Trouble:
    """A newer model stands in the folder, and was not taken."""
    return Trouble(
        kind=TroubleKind.MODEL,
        subject="",
        code="newer_refused",
        cause=f"The newest model was not taken, the one before goes on: {detail}",
        remedy="Put a sound version into the models folder, or take this one out.",
        since=now_at,
        figures={"detail": detail},
    )


def redis_away(detail: str, now_at: datetime) -> Trouble:
    """The queue between front ends and workers cannot be reached."""
    return Trouble(
        kind=TroubleKind.LINK,
        subject="redis",
        code="redis_away",
        cause=f"The queue cannot be used. {detail}",
        remedy="Check that Redis runs, that `redis.url` leads to the one that may be written to, and that neither its "
        "memory nor its disk is full.",
        since=now_at,
        figures={"detail": detail},
    )


def redis_lost(now_at: datetime) -> Trouble:
    """What waited in the queue is gone, and results with it."""
    return Trouble(
        kind=TroubleKind.LINK,
        subject="redis",
        code="redis_lost",
        cause="Redis lost what it held: jobs that waited and results that were kept are unknown now.",
        remedy="Submit those jobs again, and acknowledge this. Let Redis keep its data on disk (`appendonly yes`), and "
        "find out who emptied it.",
        since=now_at,
    )


def redis_evicts(policy: str, now_at: datetime) -> Trouble:
    """The queue is kept by a Redis that may throw it away."""
    return Trouble(
        kind=TroubleKind.LINK,
        subject="redis",
        code="redis_evicts",
        cause=evicts(policy),
        remedy=EVICTION_REPAIR,
        since=now_at,
        figures={"policy": policy},
    )


def evicts(policy: str) -> str:
    """Say what a Redis does that keeps its memory free by itself."""
    return f"Redis throws jobs and results away when its memory is full: its maxmemory-policy is {policy}."


def no_worker(now_at: datetime) -> Trouble:
    """Nobody takes pictures out of the queue."""
    return Trouble(
        kind=TroubleKind.MODEL,
        subject="",
        code="no_worker",
        cause="No worker is there to take pictures out of the queue.",
        remedy="Start `emberlink-cloud worker` on a machine with a card, with the same `redis` settings.",
        since=now_at,
    )


def consul_away(now_at: datetime) -> Trouble:
    """Edges that look for clouds in Consul may not find this one."""
    return Trouble(
        kind=TroubleKind.LINK,
        subject="consul",
        code="consul_away",
        cause="Consul's agent did not take this cloud on its list.",
        remedy="Check `consul.url` and its token; the log names the answer.",
        since=now_at,
    )


def callbacks_failing(detail: str, now_at: datetime) -> Trouble:
    """The newest callback was given up."""
    return Trouble(
        kind=TroubleKind.SINK,
        subject="callbacks",
        code="given_up",
        cause=f"A callback was given up after its tries; {detail}. Its result can still be fetched.",
        remedy="Check the receiver; the next callback that is delivered ends this trouble.",
        since=now_at,
        figures={"detail": detail},
    )


def keys_unreadable(detail: str, now_at: datetime) -> Trouble:
    """The file of keys changed, or was found at the start, as nobody can read it."""
    return Trouble(
        kind=TroubleKind.DISK,
        subject="",
        code="keys_unreadable",
        cause=f"The file of keys does not count; keys known before still do, all others are refused: {detail}",
        remedy=KEYS_REPAIR,
        since=now_at,
        figures={"detail": detail},
    )


def store_failing(detail: str, now_at: datetime) -> Trouble:
    """Something that must survive a restart could not be written."""
    return Trouble(
        kind=TroubleKind.DISK,
        subject="",
        code="not_kept",
        cause=f"What must survive a restart cannot be written: {detail}",
        remedy="Free space on the disk of the state folder, or make it writable.",
        since=now_at,
        figures={"detail": detail},
    )
