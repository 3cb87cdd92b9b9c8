"""The console's routes, put together. Ring: rim."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, request
from jinja2 import StrictUndefined

from edge.config import EdgeSettings
from edge.routes import Edge
from edge.ui.action_views import add_actions
from edge.ui.assets import load_assets
from edge.ui.event_views import add_events
from edge.ui.failure import show_failure
from edge.ui.health_views import add_health
from edge.ui.kit import Kit, secured
from edge.ui.now_views import add_now
from edge.ui.parts import ConsoleParts
from edge.ui.try_views import add_try
from shared.error_code import ErrorCode
from shared.errors import FireError


def add_console(app: Flask, edge: Edge, parts: ConsoleParts, settings: EdgeSettings) -> None:
    """Add the pages at `/` and `/ui/…`."""
    console = Blueprint("console", "edge.ui", template_folder="templates")
    console.after_request(secured)
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    kit = Kit(edge, parts, settings)
    console.register_error_handler(FireError, lambda error: show_failure(kit, error))
    _add_assets(app, console)
    add_now(console, kit)
    add_actions(console, kit)
    add_events(console, kit)
    add_try(console, kit)
    add_health(console, kit)
    app.register_blueprint(console)


def _add_assets(app: Flask, console: Blueprint) -> None:
    assets = load_assets()
    app.jinja_env.globals["asset"] = lambda name: f"/ui/static/{name}?v={assets[name].tag}"

    @console.get("/ui/static/<path:name>")
    def asset(name: str) -> Response:
        found = assets.get(name)
        if found is None:
            raise FireError(ErrorCode.HTTP_NOT_FOUND, "no such file")
        is_packed = "gzip" in request.headers.get("Accept-Encoding", "")
        response = Response(
            found.packed if is_packed else found.plain, content_type=found.content_type
        )
        if is_packed:
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        response.set_etag(found.tag)
        return response
