"""What a cloud says of itself: `/readyz` out of its troubles, and `/version`. Ring: rim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from cloud.config import CloudSettings
from shared.version import commit, version
from shared.watch.supervise import Supervisor
from shared.watch.trouble import Trouble, TroubleKind
from shared.web.app import Check, CheckState

# Which kinds each line of /readyz sums up, in the order they are shown.
_CHECKS: Mapping[str, tuple[TroubleKind, ...]] = {
    "model": (TroubleKind.MODEL,),
    "links": (TroubleKind.LINK,),
    "callbacks": (TroubleKind.SINK,),
    "disk": (TroubleKind.DISK,),
    "threads": (TroubleKind.THREAD,),
}


class Runs(Protocol):
    """What runs a model: a house, or a worker."""

    def trouble(self) -> str | None:
        """Tell why nothing can be taken in; None when something can."""
        ...

    def models(self) -> list[dict[str, Any]]:
        """Tell what runs, as `Detector.status` does."""
        ...


def readiness(supervisor: Supervisor, house: Runs) -> dict[str, Check]:
    """Sum up the troubles, after a look at this moment.

    `model` has failed while nothing can be taken in, `threads` while one is silent without which nothing is answered.
    """
    supervisor.look()
    active = supervisor.active()
    checks = {
        name: _check([trouble for trouble in active if trouble.kind in kinds])
        for name, kinds in _CHECKS.items()
    }
    if not supervisor.is_fit():
        checks["threads"] = Check(state=CheckState.FAILED, text=checks["threads"].text)
    closed = house.trouble()
    if closed is not None:
        checks["model"] = Check(state=CheckState.FAILED, text=closed)
    elif checks["model"].state is CheckState.OK:
        checks["model"] = Check(state=CheckState.OK, text=_running(house))
    return checks


def version_of(settings: CloudSettings, house: Runs) -> dict[str, Any]:
    """Tell what runs, and what pictures may be."""
    models = house.models()
    named = {key: models[0][key] for key in ("name", "version", "sha256_12")} if models else None
    return {
        "name": "emberlink-cloud",
        "version": version(),
        "commit": commit(),
        "model": named,
        "limits": {**settings.limits.model_dump(), "formats": ["image/jpeg", "image/png"]},
    }


def _running(house: Runs) -> str:
    return ", ".join(f"{m['name']} {m['version']} on {m['providers'][0]}" for m in house.models())


def _check(troubles: list[Trouble]) -> Check:
    if not troubles:
        return Check(state=CheckState.OK, text="nothing is wrong")
    texts = [f"{t.subject}: {t.cause}" if t.subject else t.cause for t in troubles]
    return Check(state=CheckState.DEGRADED, text="; ".join(texts))
