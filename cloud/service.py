"""Wires the cloud service together; the only place that builds adapters. Ring: rim."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
from flask import Flask, Response, request

from cloud.admission import Admission
from cloud.config import CloudSettings
from cloud.detect import Finding
from cloud.detector import Detector
from cloud.local_engine import LocalEngine
from cloud.metrics import CloudMetrics
from cloud.routes import REFERENCE_ROUTE, add_routes
from shared import web
from shared.clock import Clock, SystemClock
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import FireError, ModelError
from shared.inference import refuse_two_runtimes
from shared.logs import get_logger
from shared.manifest import load_artifact, shipped_models
from shared.metrics import set_build_info, set_model_info
from shared.serve import WebServer
from shared.startup import keep_freed_memory
from shared.types import ModelIdentity, Picture
from shared.version import commit, version


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """One finished picture."""

    finding: Finding
    model: ModelIdentity
    stage_ms: dict[str, float]


class CloudService:
    """The running service: `start` answers at once and is ready when the model is; `stop` finishes accepted work."""

    def __init__(self, settings: CloudSettings, clock: Clock | None = None) -> None:
        """Bind the ports; the model is loaded by `start`.

        Raises:
            ConfigError: a port is taken.
            ModelError(RUNTIME_CONFLICT)
        """
        refuse_two_runtimes()
        keep_freed_memory()
        cv2.setNumThreads(1)  # parallelism comes from frames, not from inside one
        self._settings = settings
        self._clock = clock or SystemClock()
        self._admission = Admission(settings.engine.places, self._clock)
        self._detector: Detector | None = None
        self._engine: LocalEngine | None = None
        self._trouble = "the model is loading"
        self._metrics = CloudMetrics(lambda: self._engine.queued() if self._engine else 0)
        set_build_info(self._metrics.registry, "fire_cloud", version(), commit())
        self.app = self._build_app()
        self._servers = [WebServer(self.app, settings.server)]
        if settings.server.reference_port:
            second = settings.server.model_copy(update={"port": settings.server.reference_port})
            self._servers.append(WebServer(self.app, second))

    @property
    def port(self) -> int:
        """Tell the port that was bound."""
        return self._servers[0].port

    def start(self) -> None:
        """Answer health at once, then load the model.

        Raises:
            ModelError: the model is missing or was refused.
        """
        for server in self._servers:
            server.start()
        settings = self._settings
        artifact = load_artifact(
            settings.models or shipped_models(),
            settings.model.name,
            kind="detector",
            variant=settings.model.variant,
        )
        detector = Detector(
            artifact,
            device=settings.model.device,
            threads=settings.model.threads,
            decoders=settings.engine.decoders,
        )
        self._engine = LocalEngine(
            detector.run_batch,
            capacity=settings.engine.places,
            max_batch=settings.engine.max_batch,
            report=self._metrics.observe_batch,
        )
        set_model_info(self._metrics.registry, "fire_cloud", detector.identity)
        self._detector = detector
        get_logger().info(
            "cloud_ready",
            port=self.port,
            model=detector.identity.as_dict(),
            providers=detector.providers,
        )

    def stop(self) -> None:
        """Refuse new pictures, finish accepted ones, close the ports."""
        self._trouble = "the service is stopping"
        self._detector, engine = None, self._engine
        if engine:
            engine.stop(self._settings.server.stop_timeout_s)
        for server in self._servers:
            server.stop(self._settings.server.stop_timeout_s)
        get_logger().info("cloud_stopped")

    def deadline_in(self, milliseconds: int | None) -> Deadline:
        """Set a deadline, the configured one for None."""
        chosen_ms = self._settings.engine.deadline_ms if milliseconds is None else milliseconds
        return Deadline.after(chosen_ms / 1000, self._clock)

    def inspect(self, picture: Picture, deadline: Deadline) -> Inspected:
        """Run one picture through the house: place, decode, queue, model, boxes.

        Raises:
            ModelError(MODEL_NOT_READY), FireError(CLOUD_OVERLOADED), ImageError
            FireError(DEADLINE_MISSED): too late, and it was not run.
            FireError(CLOUD_TIMEOUT): too late, while the model was at work.
        """
        detector, engine = self._detector, self._engine
        if detector is None or engine is None:
            raise ModelError(ErrorCode.MODEL_NOT_READY, self._trouble, retry_after_s=2.0)
        with self._admission.place():
            entered_s = time.perf_counter()
            prepared = detector.prepare(picture)
            decoded_s = time.perf_counter()
            future = engine.submit(prepared.tensor, deadline)
            try:
                raw = future.result(timeout=deadline.remaining_s())
            except concurrent.futures.TimeoutError as err:
                # Two codes, for whoever pays: what was taken back certainly did not run, the rest may have.
                if future.cancel():
                    detail = "the picture waited past its deadline and was not run"
                    raise FireError(ErrorCode.DEADLINE_MISSED, detail) from err
                detail = "the model was still at work at the deadline"
                raise FireError(ErrorCode.CLOUD_TIMEOUT, detail) from err
            ran_s = time.perf_counter()
            finding = detector.finding(raw, prepared.letterbox)
            stages_s = {
                "decode": decoded_s - entered_s,
                "infer": ran_s - decoded_s,
                "post": time.perf_counter() - ran_s,
            }
        return Inspected(
            finding=finding,
            model=detector.identity,
            stage_ms={name: 1000 * s for name, s in stages_s.items()},
        )

    def _build_app(self) -> Flask:
        operations = web.Operations(
            checks=self._checks, version=self._version, registry=self._metrics.registry
        )
        app = web.create_app(
            "cloud",
            server=self._settings.server,
            clock=self._clock,
            operations=operations,
            reference_route=REFERENCE_ROUTE,
        )
        add_routes(app, self, self._settings)
        app.after_request(self._count)
        return app

    def _count(self, response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "unknown"
        self._metrics.requests.labels(route, str(response.status_code)).inc()
        return response

    def _checks(self) -> Mapping[str, web.Check]:
        if self._detector is None:
            return {"model": web.Check(state=web.CheckState.FAILED, text=self._trouble)}
        name = f"{self._detector.identity.name} on {self._detector.providers[0]}"
        return {"model": web.Check(state=web.CheckState.OK, text=name)}

    def _version(self) -> Mapping[str, Any]:
        limits = self._settings.limits
        detector = self._detector
        return {
            "name": "emberlink-cloud",
            "version": version(),
            "commit": commit(),
            "model": detector.identity.as_dict() if detector else None,
            "limits": {**limits.model_dump(), "formats": ["image/jpeg", "image/png"]},
        }
