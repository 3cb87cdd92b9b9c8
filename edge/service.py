"""Wires the edge service together; the only place that builds adapters. Ring: rim."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import cv2
from flask import Flask, g

from edge.alerting import Alerting
from edge.audit import AuditReport
from edge.camera_metrics import CameraCollector
from edge.camera_routes import add_camera_routes
from edge.camera_wiring import Cameras, camera_row
from edge.classify import LoadedClassifier
from edge.config import EdgeSettings
from edge.event_metrics import EventMetrics
from edge.event_plane import EventPlane
from edge.event_routes import add_event_routes
from edge.fast_lane import FastLane
from edge.fleet_report import Sources, box_report
from edge.fuse import Verdict
from edge.heartbeat import FleetHeartbeat
from edge.keeping import build_records, left_open
from edge.latency import Latency
from edge.ledger import Ledger
from edge.link import Link, build_signer
from edge.live import LiveView
from edge.metrics import EdgeMetrics
from edge.model_wiring import build_models
from edge.permissions import build_gate
from edge.pipeline import Pending, Pipeline
from edge.plane import DecisionPlane, value_model
from edge.policies import PolicyName, Wish
from edge.routes import add_routes
from edge.score_log import ScoreLog
from edge.selftest_routes import add_selftest_routes
from edge.selftest_wiring import build_selftest
from edge.supervision import box_rule, free_bytes, is_clock_synchronised, readiness
from edge.tally import Tally
from edge.tally_store import SqliteTallyStore
from edge.troubles import BoxState, blind_cameras
from edge.ui.parts import ConsoleParts
from edge.ui.views import add_console
from edge.ui.vitals_model import LinkNow
from edge.upkeep import Upkeep
from shared import web
from shared.clock import Clock, SystemClock
from shared.deadline import Deadline
from shared.docs_routes import add_docs_routes
from shared.errors import FireError, StoreError
from shared.ids import new_id
from shared.inference import refuse_two_runtimes
from shared.login import add_login_routes
from shared.logs import get_logger, redact
from shared.manifest import shipped_models
from shared.metrics import add_model_info, set_build_info
from shared.serve import WebServer
from shared.startup import hold_folder, keep_freed_memory
from shared.supervise import Supervisor
from shared.trouble_routes import add_trouble_routes
from shared.types import (
    MICROS,
    Classification,
    Frame,
    ModelIdentity,
    Picture,
    Reloaded,
    Source,
)
from shared.version import commit, version

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
    ) -> None:
        """Build everything: state, model, link, cameras, port.

        Raises:
            ConfigError, ModelError, StoreError, CameraError: with cause and remedy.
        """
        refuse_two_runtimes()
        keep_freed_memory()
        cv2.setNumThreads(1)  # parallelism comes from frames, not from inside one
        self._settings = settings
        self._origins = origins
        self._clock = clock or SystemClock()
        with contextlib.ExitStack() as undo:
            self._state_lock = undo.enter_context(hold_folder(settings.state))
            self._ledger = Ledger(settings.state / "ledger.sqlite3")
            undo.callback(self._ledger.close)
            self._supervisor = Supervisor(self._clock, settings.state)
            self._records = build_records(settings, self._clock, self._supervisor)
            undo.callback(self._records.close)
            keep_days = settings.evidence.keep_days
            self._counts = SqliteTallyStore(settings.state / "tally.sqlite3")
            undo.callback(self._counts.close)
            self._tally = Tally(self._counts, settings.policy.zone, self._clock)
            self._upkeep = Upkeep(
                self._records,
                self._ledger,
                self._supervisor,
                keep_days=keep_days,
                also=self._keep_counts,
            )
            self._build(settings, on_camera_end)
            undo.pop_all()  # a service that was built keeps them until `stop`

    def _build(self, settings: EdgeSettings, on_camera_end: Callable[[str], None]) -> None:
        self._latency = Latency(self._clock)
        self._live = LiveView(self._clock)
        keep_days = settings.log.scores_keep_days
        self._scores = (
            ScoreLog(settings.state / "scores", keep_days=keep_days) if keep_days else None
        )
        self._models = build_models(settings, build_signer(settings.cloud), self._model_changed)
        self._classifier = self._models.classifier
        self._plane = DecisionPlane(
            settings,
            ledger=self._ledger,
            model=value_model(self._models.value),
            latency_p90_s=lambda: self._latency.percentile_s(0.9),
            clock=self._clock,
        )
        self._budget = self._plane.budget
        self._link = Link(
            settings,
            books=self._budget,
            latency=self._latency,
            supervisor=self._supervisor,
            clock=self._clock,
        )
        self._metrics = EdgeMetrics(
            settings.cameras,
            budget_micros=self._budget.remaining_micros,
            breaker_state=self._link.breaker_state,
            troubles=self._supervisor.active,
        )
        self.alerting = Alerting(
            settings,
            uplink=self._link.uplink,
            registry=self._metrics.registry,
            supervisor=self._supervisor,
            clock=self._clock,
        )
        self._events = EventPlane(
            settings,
            models=settings.models or shipped_models(),
            keeps=self._records,
            announces=self.alerting.desk,
            outbox=self.alerting.outbox,
            link=self._link.forwarder,
            budget=self._budget,
            watchman=self._supervisor,
            clock=self._clock,
        )
        self._pipeline = Pipeline(
            classifier=self._classifier,
            masks=self._events.masks,
            decider=self._plane.decider(settings.policy.name, self._link.forwarder),
            forwarder=self._link.forwarder,
            evidence=self._plane.evidence,
            incidents=self._events.incidents,
            clock=self._clock,
        )
        self._adaptive = (
            self._pipeline.decider
            if settings.policy.name is PolicyName.SLIDING_WINDOW
            else self._plane.decider(PolicyName.SLIDING_WINDOW, self._link.forwarder)
        )
        self._upkeep.add_metrics(self._metrics.registry)
        self._metrics.registry.register(EventMetrics(self._events, settings.cameras))
        set_build_info(self._metrics.registry, "fire_edge", version(), commit())
        self._set_model_info = add_model_info(self._metrics.registry, "fire_edge")
        self._set_model_info(self.model)
        self._selftest = build_selftest(
            settings,
            line=self._pipeline,
            plane=self._plane,
            link=self._link.forwarder,
            masks=self._events.masks,
            alerts=self.alerting.deliveries,
            supervisor=self._supervisor,
            clock=self._clock,
        )
        self._cameras = Cameras(
            settings.cameras,
            limits=settings.limits.image_limits(),
            work=self._watch,
            clock=self._clock,
            supervisor=self._supervisor,
            on_end=on_camera_end,
        )
        self._metrics.registry.register(
            CameraCollector(self._cameras.states, self._plane.ask_at, self._metrics.frames)
        )
        self._heartbeat = self._build_heartbeat()
        self._gate = build_gate(settings, self._clock)
        self.app = self._build_app()
        lane = FastLane(
            self.app, self, settings.limits.image_limits(), self._clock, self._gate.is_open
        )
        self._server = WebServer(
            lane, settings.server, functools.partial(self._supervisor.beat, _WEB_LOOP)
        )
        self._supervisor.add_rule(box_rule(self._box_state, self._clock))

    @property
    def port(self) -> int:
        """Tell the port that was bound."""
        return self._server.port

    @property
    def model(self) -> ModelIdentity:
        """Name the classifier."""
        return self._classifier.identity

    def start(self) -> None:
        """Begin to answer and to watch."""
        self._events.start(left_open(self._records))
        self._server.start()
        self._supervisor.watch(_WEB_LOOP, allowed_s=_WEB_LOOP_SILENT_S, is_vital=True)
        self._classifier.be_watched(self._supervisor)
        self.alerting.start()
        self._upkeep.start()
        self._selftest.start()
        self._link.start()
        if self._heartbeat:
            self._heartbeat.start()
        self._cameras.start()
        self._supervisor.start()
        settings = self._settings
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

    def stop(self) -> None:
        """Stop in reverse order: cameras, port, forwarder, events, state."""
        self._supervisor.stopping()
        self._cameras.stop(timeout_s=2.0)
        self._server.stop(self._settings.server.stop_timeout_s)
        if self._heartbeat:
            self._heartbeat.stop()
        self._link.stop()
        self._selftest.stop(2.0)
        self._events.stop(self._settings.server.stop_timeout_s)
        self._models.stop()
        self.alerting.stop(self._settings.server.stop_timeout_s)
        if self._scores:
            self._scores.close()
        self._upkeep.stop()
        with contextlib.suppress(StoreError):  # a minute of counts, told as a trouble already
            self._tally.save()
        self._counts.close()
        self._records.close()
        self._gate.audit.close()
        self._ledger.close()
        self._supervisor.stopped()
        self._state_lock.close()
        get_logger().info("edge_stopped")

    def frame(self, picture: Picture, camera: str | None) -> Frame:
        """Make a posted picture a frame; its id is ours, so that no caller can make two calls share a charge."""
        if pushed := self._cameras.take_pushed(picture, camera):
            return self._events.seen(pushed)
        now_at = self._clock.now_at()
        frame = Frame(frame_id=new_id(now_at), camera=camera, picture=picture, captured_at=now_at)
        return self._events.seen(frame)

    def deadline_in(self, milliseconds: int | None) -> Deadline:
        """Set a deadline, the configured one for None."""
        chosen_ms = self._settings.policy.deadline_ms if milliseconds is None else milliseconds
        return Deadline.after(chosen_ms / 1000, self._clock)

    def classify(self, frame: Frame) -> Classification:
        """Ask the edge alone."""
        try:
            return self._classifier.classify(frame)
        except FireError:
            self._metrics.count_failed(frame.camera)
            raise

    def joint(
        self,
        frame: Frame,
        deadline: Deadline,
        traceparent: str | None,
        *,
        req_id: str,
        is_adaptive: bool,
    ) -> Verdict:
        """Ask the pair."""
        decider = self._adaptive if is_adaptive else self._pipeline.decider
        try:
            verdict = self._pipeline.joint(
                frame, deadline, decider=decider, traceparent=traceparent
            )
        except FireError:
            self._metrics.count_failed(frame.camera)
            raise
        self._publish(frame, verdict, req_id, is_request=True)
        self._selftest.take(frame)
        return verdict

    def joint_many(self, frames: Sequence[Frame], deadline: Deadline) -> list[Verdict | FireError]:
        """Ask the pair about several frames, as many at once as the link has places."""
        answers: list[Verdict | FireError] = []
        at_once = self._settings.policy.max_in_flight
        for first in range(0, len(frames), at_once):
            begun = [self._begun_or_error(f, deadline) for f in frames[first : first + at_once]]
            answers += [self._finished(pending, deadline) for pending in begun]
        return answers

    def reload(self) -> Reloaded:
        """Take the newest classifier, see `ClassifierSlot.reload`."""
        return self._models.reload()

    def policy_status(self) -> dict[str, Any]:
        """Tell what the decision plane knows of the day and the cameras."""
        state = self._link.breaker_state()
        return {**self._plane.status(), "breaker": state.value if state else None}

    def audit_report(self) -> AuditReport:
        """Tell what random checks of quiet frames found today."""
        return self._plane.audit_report()

    def explain(self, camera: str | None, classification: Classification) -> Wish:
        """Tell what would be decided now, without charging."""
        return self._plane.explain(camera, classification)

    def camera_states(self) -> list[dict[str, Any]]:
        """Tell how the cameras are."""
        return [
            {
                **camera_row(state),
                "ask_at": self._plane.ask_at(state.name),
                **self._events.camera_status(state.name),
            }
            for state in self._cameras.states()
        ]

    def _model_changed(self, model: LoadedClassifier) -> None:
        """Let what was calibrated on the old model's scores go on with the new one's."""
        self._plane.use(value_model(model.value))
        self._set_model_info(model.identity)

    def _finished(self, pending: Pending | FireError, deadline: Deadline) -> Verdict | FireError:
        if isinstance(pending, FireError):
            return pending
        verdict = self._pipeline.finish(pending, deadline)
        self._publish(pending.frame, verdict, g.req_id, is_request=True)
        return verdict

    def _begun_or_error(self, frame: Frame, deadline: Deadline) -> Pending | FireError:
        try:
            return self._pipeline.begin(frame, deadline)
        except FireError as err:
            self._metrics.count_failed(frame.camera)
            return err

    def _watch(self, frame: Frame) -> None:
        """Take a camera's frame down the line."""
        try:
            frame = self._events.seen(frame)
        except FireError:  # what cannot be blacked out is shown to nobody
            self._metrics.count_failed(frame.camera)
            raise
        try:
            self._pipeline.stream(
                frame,
                self.deadline_in(None),
                lambda verdict: self._publish(frame, verdict, frame.frame_id, is_request=False),
            )
        except FireError:
            self._live.see(frame)
            self._metrics.count_failed(frame.camera)
            raise
        self._selftest.take(frame)

    def _publish(self, frame: Frame, verdict: Verdict, req_id: str, *, is_request: bool) -> None:
        """Show and count a verdict, and write its line when the last word is spoken."""
        self._live.note(frame, verdict)
        if not verdict.is_amendment and self._scores is not None:
            self._scores.note(verdict.camera, verdict.captured_at, verdict.edge)
        if verdict.is_pending:
            return
        self._plane.note_audit(verdict)
        self._tally.note(verdict)
        self._metrics.observe(verdict)
        is_worth_a_line = (
            is_request or verdict.source is not Source.EDGE or self._settings.log.decisions
        )
        if not is_worth_a_line:
            return
        came_at = frame.received_at or frame.captured_at
        get_logger().info(
            "verdict",
            req_id=req_id,
            camera=verdict.camera,
            label=verdict.label.value,
            confidence=round(verdict.confidence, 3),
            source=verdict.source.value,
            reason=verdict.decision.reason.value,
            boxes=len(verdict.detections),
            cost=verdict.decision.charged_micros / MICROS,
            age_ms=round(1000 * (self._clock.now_at() - came_at).total_seconds(), 1),
            ms={stage: round(1000 * seconds, 1) for stage, seconds in verdict.stages_s.items()},
            **({"detail": verdict.detail} if verdict.detail else {}),
        )

    def _build_heartbeat(self) -> FleetHeartbeat | None:
        if self._link.client is None:
            return None
        ask = Sources(
            model=lambda: self.model,
            cameras=self._cameras.states,
            policy=self._plane.status,
            calls=self._ledger.calls,
            open_events=self._events.incidents.open_count,
            troubles=self._supervisor.active,
        )
        report = functools.partial(box_report, self._settings, ask)
        return FleetHeartbeat(report, self._link.client.report, self._supervisor, self._clock)

    def _build_app(self) -> Flask:
        operations = web.Operations(
            checks=self._checks, version=self._version, registry=self._metrics.registry
        )
        app = web.create_app(
            "edge", server=self._settings.server, clock=self._clock, operations=operations
        )
        self._gate.install(app)
        add_login_routes(app, self._gate, self._clock)
        add_docs_routes(app, "Emberlink edge", self._gate.rules, is_signed=False)
        add_routes(app, self, self._settings)
        add_camera_routes(app, self._events.preroll.newest)
        add_trouble_routes(app, self._supervisor, self._clock)
        add_selftest_routes(app, self._selftest)
        add_event_routes(app, self._records, self._acknowledge)
        parts = ConsoleParts(
            clock=self._clock,
            live=self._live,
            supervisor=self._supervisor,
            tally=self._tally,
            records=self._records,
            acknowledge=self._acknowledge,
            heat=self._classifier.heat,
            link=self._link_now,
            forecast=self._records.forecast,
            outbox=self.alerting.outbox.status,
            sinks=self.alerting.desk.status,
            checks=self._checks,
            selftest=self._selftest,
            origins=self._origins,
        )
        add_console(app, self, parts, self._settings)
        return app

    def _keep_counts(self, every_s: float, before_day: str) -> None:
        """Count the time that cameras were blind, and keep what was counted."""
        for camera in blind_cameras(self._supervisor.active()):
            self._tally.note_blind(camera, round(every_s))
        self._tally.save()
        self._counts.prune(before_day)

    def _link_now(self) -> LinkNow:
        return LinkNow(
            state=self._link.breaker_state(),
            median_s=self._latency.known_percentile_s(0.5),
            p90_s=self._latency.known_percentile_s(0.9),
        )

    def _acknowledge(self, event_id: str, *, by: str) -> None:
        """Keep that somebody has seen an event, then let nobody be called about it any more."""
        self._records.acknowledge(event_id, by=by)
        self.alerting.desk.acknowledge(event_id, by=by)

    def _checks(self) -> Mapping[str, web.Check]:
        well = {
            "model": f"{self.model.name} {self.model.version}",
            "cameras": f"{len(self._settings.cameras)} watching",
            "cloud_link": self._link.describe(),
            "disk": "state is written",
            "clock": "in step with the books",
            "budget": f"{self._budget.remaining_micros() / MICROS:.2f} left today",
        }
        return readiness(self._supervisor, well)

    def _box_state(self) -> BoxState:
        return BoxState(
            breaker=self._link.breaker_state(),
            budget_left_micros=self._budget.remaining_micros(),
            cost_micros=self._settings.policy.cost_micros,
            frozen_day=self._budget.frozen_until(),
            overdue_call_s=self._link.overdue_s(),
            clock_skew_s=self._link.skew.seconds(),
            is_clock_synchronised=is_clock_synchronised(),
            ledger_trouble=self._ledger.trouble,
            free_bytes=free_bytes(self._settings.state),
            classifier_trouble=self._classifier.trouble,
        )

    def _version(self) -> Mapping[str, Any]:
        return {
            "name": "emberlink-edge",
            "version": version(),
            "commit": commit(),
            "model": self.model.as_dict(),
            "policy": self._settings.policy.name.value,
            "limits": {
                **self._settings.limits.model_dump(),
                "formats": ["image/jpeg", "image/png"],
            },
        }
