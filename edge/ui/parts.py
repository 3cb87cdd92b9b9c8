"""What the pages see of the service beside its API. Ring: rim; a value of interfaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge.alert.deliveries import SinkStatus
from edge.box.live import LiveView
from edge.box.site_zones import SiteZones
from edge.box.tally import Tally
from edge.classify.locate import HeatMap
from edge.decide.latency import LatencyBin
from edge.event_routes import Acknowledges, Events
from edge.outbox.item import OutboxStatus
from edge.record.retention import Forecast
from edge.replay.what_if import WhatIfAnswer
from edge.selftest.selftest import SelfTest
from edge.ui.vitals_model import LinkNow
from edge.wiring.supervision import BoxCheck
from shared.clock import Clock
from shared.model.reload import Tried
from shared.types import Picture
from shared.watch.supervise import Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleParts:
    """Parts of a running service; the callables return at once and may raise FireError."""

    clock: Clock
    live: LiveView
    supervisor: Supervisor
    tally: Tally
    records: Events
    acknowledge: Acknowledges
    heat: Callable[[Picture], HeatMap | None]
    link: Callable[[], LinkNow]
    latencies: Callable[[], Mapping[str, tuple[LatencyBin, ...]]]
    model_tried: Callable[[], Tried | None]
    forecast: Callable[[], Forecast]
    outbox: Callable[[], OutboxStatus]
    sinks: Callable[[], tuple[SinkStatus, ...]]
    checks: Callable[[], Mapping[str, BoxCheck]]
    selftest: SelfTest
    origins: Mapping[tuple[str, ...], str]
    what_if: Callable[[], WhatIfAnswer]
    zones: SiteZones
