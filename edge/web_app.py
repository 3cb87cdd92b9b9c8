"""The web application of a box: every group of routes, put behind its gate. Ring: rim."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask
from prometheus_client import CollectorRegistry

from edge.alert.schema import ALERTS
from edge.box.routes import add_status_routes
from edge.capture.routes import add_camera_routes
from edge.config.settings import EdgeSettings
from edge.event_routes import add_event_routes
from edge.lines import CallerLine
from edge.routes import add_routes
from edge.selftest.routes import add_selftest_routes
from edge.status import BoxStatus
from edge.ui.parts import ConsoleParts
from edge.ui.views import add_console
from shared.access.gate import Gate
from shared.access.login import add_login_routes
from shared.trouble_routes import add_trouble_routes
from shared.types import Frame
from shared.web import app as web
from shared.web.docs_routes import add_docs_routes


def build_app(
    settings: EdgeSettings,
    gate: Gate,
    *,
    line: CallerLine,
    status: BoxStatus,
    parts: ConsoleParts,
    newest: Callable[[str], Frame | None],
    registry: CollectorRegistry,
) -> Flask:
    """Build it.

    Args:
        settings: of the service.
        gate: stands before every route.
        line: takes posted frames.
        status: tells about the box.
        parts: what the pages and the routes about single parts see.
        newest: gives a camera's newest frame.
        registry: of the metrics.
    """
    operations = web.Operations(checks=status.checks, version=status.version, registry=registry)
    app = web.create_app("edge", server=settings.server, clock=parts.clock, operations=operations)
    gate.install(app)
    add_login_routes(app, gate, parts.clock)
    add_docs_routes(app, "Emberlink edge", gate.rules, is_signed=False, webhooks=ALERTS)
    add_routes(app, line, settings)
    add_status_routes(app, status)
    add_camera_routes(app, newest)
    add_trouble_routes(app, parts.supervisor, parts.clock)
    add_selftest_routes(app, parts.selftest)
    add_event_routes(app, parts.records, parts.acknowledge)
    add_console(app, line, status, parts, settings)
    return app
