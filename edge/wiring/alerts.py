"""Outbox, sinks and alert desk of a box, built from the settings. Ring: rim."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from edge.alert.deliveries import Deliveries
from edge.alert.desk import ALERT_THREAD, AlertDesk, DeskRules
from edge.alert.notice import Notice
from edge.box.state_files import StateFiles
from edge.box.troubles import outbox_troubles
from edge.config.alerts import OutboxSection
from edge.config.settings import EdgeSettings
from edge.decide.uplink import Uplink
from edge.metrics import AlertMetrics, EdgeMetrics
from edge.outbox.item import ItemClass
from edge.outbox.order import Room
from edge.outbox.outbox import Outbox, OutboxRules
from edge.outbox.store import OUTBOX_FILE
from edge.wiring.sinks import build_receivers
from shared.clock import Clock
from shared.watch.supervise import Supervisor
from shared.watch.trouble import Trouble

_SILENT_S = 150.0  # a try of the slowest sink may take 60 s


class Alerting:
    """What stands behind an event: the outbox, the sinks, the desk."""

    def __init__(
        self,
        settings: EdgeSettings,
        *,
        uplink: Uplink,
        metrics: EdgeMetrics,
        supervisor: Supervisor,
        files: StateFiles,
        keep: Callable[[str, Notice], None],
        clock: Clock,
    ) -> None:
        """Build it all; nothing is sent before `start`.

        Args:
            settings: of the service.
            uplink: the token bucket of the link, shared with live frames.
            metrics: of the service; takes those of alerts, too.
            supervisor: watches the threads, and is told what is wrong.
            files: opens those of the outbox and the desk.
            keep: given what came of each message of an event; returns at once.
            clock: wall and monotonic time.

        Raises:
            ConfigError: a sink's settings, with every problem.
            StoreError: the outbox's files.
        """
        receivers = build_receivers(settings.alerts, sorted(settings.cameras), clock)
        self._clock = clock
        self._supervisor = supervisor
        self.outbox = files.open(
            OUTBOX_FILE,
            lambda path: Outbox(
                path,
                _outbox_rules(settings.outbox),
                clock=clock,
                link=uplink,
                link_bytes=settings.cloud.uplink_burst_bytes,
                beat=supervisor.beat,
            ),
        )
        count = AlertMetrics(metrics.registry, receivers, self.outbox.status).count
        self.deliveries = Deliveries(
            self.outbox, receivers, clock=clock, count=count, took=metrics.took, keep=keep
        )
        self.desk = files.open(
            "alerts.sqlite3",
            lambda path: AlertDesk(
                path,
                self.outbox,
                receivers,
                _desk_rules(settings),
                deliveries=self.deliveries,
                clock=clock,
                beat=supervisor.beat,
            ),
        )
        supervisor.add_rule(self.troubles)

    def start(self) -> None:
        """Begin to deliver."""
        self.outbox.start()
        self.desk.start()
        for thread in (*self.outbox.threads(), ALERT_THREAD):
            self._supervisor.watch(thread, allowed_s=_SILENT_S)

    def stop(self, timeout_s: float) -> None:
        """End delivery; what was not delivered stays on disk."""
        self.outbox.stop(timeout_s)
        self.desk.stop(timeout_s)

    def troubles(self) -> Iterator[Trouble]:
        """Name what is wrong with sinks and outbox now."""
        yield from self.deliveries.troubles()
        yield from outbox_troubles(self.outbox.status(), self._clock.now_at())


def _outbox_rules(outbox: OutboxSection) -> OutboxRules:
    return OutboxRules(
        room=Room(max_items=outbox.max_items, max_bytes=outbox.max_bytes),
        keep={
            ItemClass.ALARM: timedelta(days=outbox.keep_alarms_days),
            ItemClass.EVIDENCE: timedelta(days=outbox.keep_evidence_days),
            ItemClass.TELEMETRY: timedelta(days=outbox.keep_telemetry_days),
        },
        items_per_s=outbox.items_per_s,
    )


def _desk_rules(settings: EdgeSettings) -> DeskRules:
    alerts, cameras = settings.alerts, settings.cameras
    base_url = alerts.base_url.rstrip("/")
    return DeskRules(
        cooldown_s=alerts.cooldown_s,
        box_name=alerts.box_name,
        event_url=lambda event_id: f"{base_url}/ui/events/{event_id}" if base_url else "",
        title_of=lambda camera: cameras[camera].title if camera in cameras else "",
        zone=settings.policy.zone,
    )
