"""Wires the edge service together; with `edge.wiring` the only place that builds adapters. Ring: rim."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType

import cv2

from edge.box.fleet_report import Sources, box_report
from edge.box.heartbeat import FleetHeartbeat
from edge.box.live import LiveView
from edge.box.state_files import StateFiles
from edge.capture.metrics import CameraCollector
from edge.classify.classifier import LoadedClassifier
from edge.config.settings import EdgeSettings
from edge.decide.latency import Latency
from edge.decide.policies import PolicyName
from edge.event_metrics import EventMetrics
from edge.fast_lane import FastLane
from edge.lines import CallerLine, CameraLine
from edge.metrics import EdgeMetrics
from edge.origin.untraced import untraced
from edge.permissions import build_gate
from edge.pipeline import Decides, Pipeline
from edge.publish import Publisher
from edge.record.upkeep import Upkeep
from edge.status import BoxStatus
from edge.ui.parts import ConsoleParts
from edge.ui.vitals_model import LinkNow
from edge.web_app import build_app
from edge.wiring.alerts import Alerting
from edge.wiring.cameras import Cameras
from edge.wiring.decisions import DecisionPlane, budgets_left, value_model
from edge.wiring.events import EventPlane, EventPorts, origin_question
from edge.wiring.evidence import left_open
from edge.wiring.kept import Kept
from edge.wiring.link import Link, build_signer
from edge.wiring.models import build_models
from edge.wiring.selftest import build_selftest
from edge.wiring.supervision import box_rule
from edge.wiring.what_if import build_what_if
from shared.access.admission import Admission
from shared.clock import Clock, SystemClock
from shared.error_code import ErrorCode
from shared.logs import get_logger, redact
from shared.metrics import add_model_info, set_build_info
from shared.model.inference import refuse_two_runtimes
from shared.startup import keep_freed_memory
from shared.types import ModelIdentity
from shared.version import commit, version
from shared.watch.supervise import Supervisor
from shared.web.serve import WebServer

_WEB_LOOP = "web-loop"
_WEB_LOOP_SILENT_S = 15.0  # it turns each second; a machine under full load delays it by less


class EdgeService:
    """The running service: `start` begins to answer and to watch, `stop` ends both cleanly."""

    def __init__(
        self,
        settings: EdgeSettings,
        clock: Clock | None = None,
        on_camera_end: Callable[[str], None] = lambda name: None,
        origins: Mapping[tuple[str, ...], str] = MappingProxyType({}),
        on_state_return: Callable[[], None] = lambda: None,
    ) -> None:
        """Build everything: state, model, link, cameras, port.

        Args:
            settings: what is wanted.
            clock: None is the system's.
            on_camera_end: told the name of a camera whose recording is over.
            origins: where each setting came from.
            on_state_return: called while a state folder that could not be written takes files again and nothing
                burns; a service that is built anew then uses it.

        Raises:
            ConfigError, ModelError, StoreError, CameraError: with cause and remedy.
        """
        refuse_two_runtimes()
        keep_freed_memory()
        cv2.setNumThreads(1)  # parallelism comes from frames, not from inside one
        self._settings = settings
        self._clock = clock or SystemClock()
        self._on_state_return = on_state_return
        with contextlib.ExitStack() as undo:
            self._open_state(undo)
            self._build_decisions()
            self._build_events()
            self._build_line()
            self._build_publisher()
            self._build_watching(on_camera_end)
            self._build_answering(origins)
            undo.pop_all()  # a service that was built keeps them until `stop`

    @property
    def port(self) -> int:
        """Tell the port that was bound."""
        return self._server.port

    @property
    def model(self) -> ModelIdentity:
        """Name the classifier."""
        return self._models.classifier.identity

    def start(self) -> None:
        """Begin to answer and to watch."""
        self._events.start(left_open(self._kept.records), untraced(self._kept.records))
        self._server.start()
        self._supervisor.watch(_WEB_LOOP, allowed_s=_WEB_LOOP_SILENT_S, is_vital=True)
        self._models.classifier.be_watched(self._supervisor)
        self.alerting.start()
        self._upkeep.start()
        self._selftest.start()
        self._link.start()
        if self._heartbeat:
            self._heartbeat.start()
        self._cameras.start()
        self._supervisor.start()
        settings = self._settings
        self._files.start(self._state_returned)
        self._models.watch(
            folder_every_s=settings.model.watch_s, cloud_every_s=settings.model.pull_every_s
        )
        get_logger().info(
            "edge_ready",
            port=self.port,
            cameras=sorted(settings.cameras),
            policy=settings.policy.name.value,
            cloud=[redact(address) for address in settings.cloud.addresses],
            model=self.model.as_dict(),
        )

    def stop(self, *, for_good: bool = True) -> None:
        """Stop in reverse order: cameras, port, forwarder, events, state; systemd is told of an end `for_good`."""
        timeout_s = self._settings.server.stop_timeout_s
        self._supervisor.stopping(for_good=for_good)
        self._cameras.stop(timeout_s=2.0)
        self._server.stop(timeout_s)
        if self._heartbeat:
            self._heartbeat.stop()
        self._link.stop(timeout_s)
        self._what_if.stop()
        self._selftest.stop(2.0)
        self._events.stop(timeout_s)
        self._models.stop()
        self.alerting.stop(timeout_s)
        self._upkeep.stop()
        self._kept.close()
        self._gate.close()
        self._supervisor.stopped()
        self._files.close()
        get_logger().info("edge_stopped")

    def _open_state(self, undo: contextlib.ExitStack) -> None:
        """Open what outlives the process, and what looks after it."""
        settings = self._settings
        self._supervisor = Supervisor(self._clock, settings.state)
        self._files = StateFiles(settings.state, self._supervisor.raise_trouble, self._clock)
        undo.callback(self._files.close)
        self._supervisor.add_rule(self._files.troubles)
        self._kept = Kept(settings, self._files, self._supervisor, self._clock)
        undo.callback(self._kept.close)
        self._upkeep = Upkeep(
            self._kept.records,
            self._kept.ledger,
            self._supervisor,
            keep_days=settings.evidence.keep_days,
            also=self._care,
            forget=self._forget,
        )

    def _build_decisions(self) -> None:
        """Build the classifier, what decides about its frames, and the way to the cloud."""
        settings = self._settings
        self._models = build_models(
            settings,
            build_signer(settings.cloud),
            self._model_changed,
            folder=self._files.folder,
            tell=self._supervisor.raise_trouble,
            clock=self._clock,
        )
        latency = Latency(self._clock)
        self._plane = DecisionPlane(
            settings,
            ledger=self._kept.ledger,
            model=value_model(self._models.value),
            latency_p90_s=lambda: latency.percentile_s(0.9),
            clock=self._clock,
        )
        self._link = Link(
            settings,
            books=self._plane.budget,
            latency=latency,
            supervisor=self._supervisor,
            clock=self._clock,
        )

    def _build_events(self) -> None:
        """Build what follows a verdict: metrics, alerts, and events with their record."""
        settings = self._settings
        self._metrics = EdgeMetrics(
            settings.cameras,
            budgets=budgets_left(self._plane.budget, self._link.uplink),
            breaker_state=self._link.breaker_state,
            troubles=self._supervisor.active,
        )
        self.alerting = Alerting(
            settings,
            uplink=self._link.uplink,
            metrics=self._metrics,
            supervisor=self._supervisor,
            files=self._files,
            keep=lambda event_id, notice: self._events.incidents.note_alert(event_id, notice),
            clock=self._clock,
        )
        ports = EventPorts(
            keeps=self._kept.records,
            announces=self.alerting.desk,
            outbox=self.alerting.outbox,
            took=self._metrics.took,
        )
        self._events = EventPlane(
            settings,
            ports,
            masks=self._kept.zones.masks,
            ask=origin_question(settings, self._link.forwarder, self._plane.budget, self._clock),
            watchman=self._supervisor,
            clock=self._clock,
        )

    def _build_line(self) -> None:
        """Put the steps of the line together, and the test alarm that takes it."""
        settings = self._settings
        self._pipeline = Pipeline(
            classifier=self._models.classifier,
            masks=self._events.masks,
            decider=self._plane.decider(settings.policy.name, self._link.forwarder),
            forwarder=self._link.forwarder,
            evidence=self._plane.evidence,
            incidents=self._events.incidents,
            clock=self._clock,
        )
        self._selftest = build_selftest(
            settings,
            line=self._pipeline,
            plane=self._plane,
            link=self._link.forwarder,
            masks=self._events.masks,
            alerts=self.alerting.deliveries,
            files=self._files,
            supervisor=self._supervisor,
            clock=self._clock,
        )

    def _build_publisher(self) -> None:
        """Build what shows and counts verdicts, and the rest of the metrics."""
        settings, registry = self._settings, self._metrics.registry
        self._live = LiveView(self._clock)
        self._publisher = Publisher(
            live=self._live,
            scores=self._kept.scores,
            note_audit=self._plane.note_audit,
            tally=self._kept.tally,
            metrics=self._metrics,
            has_line_for_each=settings.log.decisions,
            clock=self._clock,
        )
        self._upkeep.add_metrics(registry)
        registry.register(EventMetrics(self._events, settings.cameras))
        set_build_info(registry, "fire_edge", version(), commit())
        self._set_model_info = add_model_info(registry, "fire_edge")
        self._set_model_info(self.model)

    def _build_watching(self, on_camera_end: Callable[[str], None]) -> None:
        """Build the cameras, and what tells how they and the box are."""
        settings = self._settings
        line = CameraLine(
            pipeline=self._pipeline,
            black_out=self._events.seen,
            publisher=self._publisher,
            rehearse=self._selftest.take,
            deadline_s=settings.policy.deadline_ms / 1000,
            clock=self._clock,
        )
        self._cameras = Cameras(
            settings.cameras,
            limits=settings.limits.image_limits(),
            work=line.watch,
            clock=self._clock,
            supervisor=self._supervisor,
            on_end=on_camera_end,
        )
        self._metrics.registry.register(
            CameraCollector(self._cameras.states, self._plane.ask_at, self._metrics.frames)
        )
        self._heartbeat = self._build_heartbeat()
        self._status = BoxStatus(
            settings=settings,
            models=self._models,
            plane=self._plane,
            link=self._link,
            heartbeat=self._heartbeat,
            events=self._events,
            cameras=self._cameras,
            ledger=self._kept.ledger,
            files=self._files,
            supervisor=self._supervisor,
        )
        self._supervisor.add_rule(box_rule(self._status.state, self._clock))

    def _build_heartbeat(self) -> FleetHeartbeat | None:
        if self._link.client is None:
            return None
        ask = Sources(
            model=lambda: self.model,
            cameras=self._cameras.states,
            policy=self._plane.status,
            calls=self._kept.ledger.calls,
            open_events=self._events.incidents.open_count,
            troubles=self._supervisor.active,
        )
        report = functools.partial(box_report, self._settings, ask)
        return FleetHeartbeat(report, self._link.client.report, self._supervisor, self._clock)

    def _build_answering(self, origins: Mapping[tuple[str, ...], str]) -> None:
        """Build what answers callers, and bind the port."""
        settings = self._settings
        self._line = CallerLine(
            pipeline=self._pipeline,
            adaptive=self._adaptive(),
            admission=Admission(
                settings.server.places, self._clock, full=ErrorCode.EDGE_OVERLOADED
            ),
            pushed=self._cameras.pushed,
            black_out=self._events.seen,
            take_pushed=self._cameras.take_pushed,
            publisher=self._publisher,
            rehearse=self._selftest.take,
            deadline_s=settings.policy.deadline_ms / 1000,
            at_once=settings.policy.max_in_flight,
            clock=self._clock,
        )
        self._what_if = build_what_if(
            settings,
            plane=self._plane,
            models=self._models,
            scores=self._kept.scores,
            clock=self._clock,
        )
        self._gate = build_gate(settings, self._files.folder, self._clock)
        users = self._gate.users
        self._supervisor.add_rule(lambda: users.troubles(self._clock.now_at()))
        self.app = build_app(
            settings,
            self._gate,
            line=self._line,
            status=self._status,
            parts=self._console_parts(origins),
            newest=self._events.preroll.newest,
            registry=self._metrics.registry,
        )
        lane = FastLane(
            self.app, self._line, settings.limits.image_limits(), self._clock, self._gate.is_open
        )
        self._server = WebServer(
            lane, settings.server, functools.partial(self._supervisor.beat, _WEB_LOOP)
        )

    def _adaptive(self) -> Decides:
        """Give the decider of the sliding-window rule, the configured one where that is this rule."""
        if self._settings.policy.name is PolicyName.SLIDING_WINDOW:
            return self._pipeline.decider
        return self._plane.decider(PolicyName.SLIDING_WINDOW, self._link.forwarder)

    def _console_parts(self, origins: Mapping[tuple[str, ...], str]) -> ConsoleParts:
        return ConsoleParts(
            clock=self._clock,
            live=self._live,
            supervisor=self._supervisor,
            tally=self._kept.tally,
            records=self._kept.records,
            acknowledge=self._acknowledge,
            heat=self._models.classifier.heat,
            link=self._link_now,
            latencies=self._link.histories,
            model_tried=lambda: self._models.tried,
            forecast=self._kept.records.forecast,
            outbox=self.alerting.outbox.status,
            sinks=self.alerting.desk.status,
            checks=self._status.checks,
            selftest=self._selftest,
            origins=origins,
            what_if=self._what_if.answer,
            zones=self._kept.zones,
        )

    def _link_now(self) -> LinkNow:
        latency = self._link.latency
        return LinkNow(
            state=self._link.breaker_state(),
            median_s=latency.known_percentile_s(0.5),
            p90_s=latency.known_percentile_s(0.9),
        )

    def _state_returned(self) -> None:
        """Let the service be built anew, but not while something burns: its place and origin would be forgotten."""
        if self._events.incidents.open_count() == 0:
            self._on_state_return()

    def _model_changed(self, model: LoadedClassifier) -> None:
        """Let what was calibrated on the old model's scores go on with the new one's."""
        self._plane.use(value_model(model.value))
        self._set_model_info(model.identity)

    def _acknowledge(self, event_id: str, *, by: str) -> None:
        """Keep that somebody has seen an event, then let nobody be called about it any more."""
        self._kept.records.acknowledge(event_id, by=by)
        self.alerting.desk.acknowledge(event_id, by=by)

    def _forget(self, now_at: datetime) -> None:
        """Let go of what was counted long ago, and of a day of the budget that never was."""
        self._kept.prune(now_at)
        if day := self._plane.budget.take_back(now_at):
            get_logger().warning("budget_day_given_up", day=day)

    def _care(self, every_s: float) -> None:
        """Take up evidence that came late, and keep what was counted and scored."""
        if self._kept.records.came_late:
            self._state_returned()
        self._kept.save(every_s)
