"""A worker's own port, `worker.port`: `/healthz` and `/readyz` for whoever starts it anew, `/metrics`. Ring: rim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cloud.config import CloudSettings
from cloud.health import readiness, version_of
from cloud.metrics import RunMetrics
from cloud.model.gpu import GpuMemoryCollector
from cloud.model.slot import DetectorSlot, why_closed
from shared.clock import Clock
from shared.metrics import set_build_info
from shared.version import commit, version
from shared.watch.supervise import Supervisor
from shared.web import app as web
from shared.web.serve import WebServer

_LOOP = "web-loop"
_LOOP_SILENT_S = 15.0  # it turns at least once a second


@dataclass(frozen=True, slots=True)
class _Runs:
    """What one worker runs, see `cloud.health.Runs`."""

    slot: DetectorSlot

    def trouble(self) -> str | None:
        return why_closed(self.slot) if self.slot.current else "the model is loading"

    def models(self) -> list[dict[str, Any]]:
        return [self.slot.current.status()] if self.slot.current else []


def worker_metrics(settings: CloudSettings, supervisor: Supervisor, clock: Clock) -> RunMetrics:
    """Build what a worker counts."""
    metrics = RunMetrics()
    metrics.add_troubles(supervisor.active)
    set_build_info(metrics.registry, "fire_cloud", version(), commit())
    if settings.model.device == "cuda":
        metrics.registry.register(GpuMemoryCollector(clock))
    return metrics


def open_worker_port(
    settings: CloudSettings,
    slot: DetectorSlot,
    metrics: RunMetrics,
    supervisor: Supervisor,
    clock: Clock,
) -> WebServer | None:
    """Bind the port and begin to answer, while the supervisor watches the loop; None where none is wanted.

    Raises:
        ConfigError(CONFIG_INVALID): the address cannot be bound.
    """
    if not settings.worker.port:
        return None
    section = settings.server.model_copy(
        update={"host": settings.worker.host, "port": settings.worker.port, "trusted_proxy": None}
    )
    runs = _Runs(slot)
    operations = web.Operations(
        checks=lambda: readiness(supervisor, runs),
        version=lambda: version_of(settings, runs),
        registry=metrics.registry,
    )
    app = web.create_app("cloud", server=section, clock=clock, operations=operations)
    server = WebServer(app, section, lambda: supervisor.beat(_LOOP))
    supervisor.watch(_LOOP, allowed_s=_LOOP_SILENT_S, is_vital=True)
    server.start()
    return server
