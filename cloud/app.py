"""The cloud's Flask application: who may ask, every route, and a line for what was asked. Ring: rim."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from flask import Flask, Response, g, request

from cloud.config import CloudSettings
from cloud.engine import House
from cloud.fleet.fleet import Fleet
from cloud.fleet.routes import add_fleet_routes
from cloud.gate import CloudGate
from cloud.health import readiness, version_of
from cloud.job_routes import add_job_routes
from cloud.jobs.keyed import Keyed
from cloud.metrics import CloudMetrics
from cloud.model.edge_model import EdgeModelShelf
from cloud.model.routes import add_model_routes
from cloud.reception import Reception
from cloud.routes import REFERENCE_ROUTE, add_routes
from cloud.ui.kit import ConsoleParts
from cloud.ui.views import add_console
from shared.access.login import add_login_routes
from shared.clock import Clock
from shared.logs import get_logger
from shared.model.manifest import shipped_models
from shared.trouble_routes import add_trouble_routes
from shared.watch.supervise import Supervisor
from shared.web import app as web
from shared.web.docs_routes import add_docs_routes

_TRACEPARENT_CHARACTERS = 55


@dataclass(frozen=True, slots=True, kw_only=True)
class AppParts:
    """What the routes work with."""

    settings: CloudSettings
    clock: Clock
    house: House
    metrics: CloudMetrics
    fleet: Fleet
    gate: CloudGate
    supervisor: Supervisor


def build_app(parts: AppParts) -> Flask:
    """Build the application."""
    settings, house, clock = parts.settings, parts.house, parts.clock
    app = web.create_app(
        "cloud",
        server=settings.server,
        clock=clock,
        operations=web.Operations(
            checks=lambda: readiness(parts.supervisor, house),
            version=lambda: version_of(settings, house),
            registry=parts.metrics.registry,
        ),
        reference_route=REFERENCE_ROUTE,
    )
    parts.gate.install(app)
    add_login_routes(app, parts.gate, clock)
    add_docs_routes(app, "Emberlink cloud", parts.gate.rules, is_signed=True)
    add_trouble_routes(app, parts.supervisor, clock)
    add_model_routes(app, house, EdgeModelShelf(settings.models or shipped_models()))
    add_fleet_routes(app, parts.fleet)
    _add_picture_routes(app, parts)
    app.after_request(functools.partial(_count, parts.metrics, log=settings.log.requests))
    return app


def _add_picture_routes(app: Flask, parts: AppParts) -> None:
    settings, house = parts.settings, parts.house
    reception = Reception(settings, house, parts.metrics, parts.clock)
    spare_threads = settings.server.threads - settings.engine.places
    keyed = Keyed(house.answers, seats=max(1, spare_threads // 2))
    add_routes(app, reception, keyed, settings)
    add_job_routes(app, reception, house.jobs, keyed, settings)
    console = ConsoleParts(
        house=house,
        fleet=parts.fleet,
        metrics=parts.metrics,
        supervisor=parts.supervisor,
        settings=settings,
        clock=parts.clock,
    )
    add_console(app, reception, console)


def _count(metrics: CloudMetrics, response: Response, *, log: bool) -> Response:
    route = request.url_rule.rule if request.url_rule else "unknown"
    metrics.requests.labels(route, str(response.status_code)).inc()
    is_refusal = response.status_code in (429, 503)  # counted; a line each would be a flood
    if log and request.method == "POST" and not is_refusal:
        get_logger().info(
            "request",
            req_id=g.get("req_id"),
            job_id=g.get("job_id"),
            route=route,
            status=response.status_code,
            edge=g.get("edge_id"),
            ms={stage: round(ms, 1) for stage, ms in g.get("stage_ms", {}).items()},
            traceparent=request.headers.get("traceparent", "")[:_TRACEPARENT_CHARACTERS],
        )
    return response
