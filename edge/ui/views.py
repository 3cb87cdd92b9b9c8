"""The console's routes, put together. Ring: rim."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Flask
from jinja2 import StrictUndefined

from edge.box.routes import Status
from edge.config.settings import EdgeSettings
from edge.routes import Line
from edge.ui.action_views import add_actions
from edge.ui.budget_views import add_budget
from edge.ui.event_views import add_events
from edge.ui.failure import show_failure
from edge.ui.health_views import add_health
from edge.ui.kit import Kit, secured
from edge.ui.now_views import add_now
from edge.ui.parts import ConsoleParts
from edge.ui.settings_views import add_settings
from edge.ui.statistics_views import add_statistics
from edge.ui.try_views import add_try
from edge.ui.zones_views import add_zones
from shared.errors import FireError
from shared.ui.assets import SHARED, add_assets

_FOLDER = Path(__file__).with_name("static")


def add_console(
    app: Flask, line: Line, status: Status, parts: ConsoleParts, settings: EdgeSettings
) -> None:
    """Add the pages at `/` and `/ui/…`."""
    console = Blueprint("console", "edge.ui", template_folder="templates")
    console.after_request(secured)
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    kit = Kit(line, status, parts, settings)
    console.register_error_handler(FireError, lambda error: show_failure(kit, error))
    add_assets(app, console, [SHARED, _FOLDER])
    add_now(console, kit)
    add_actions(console, kit)
    add_events(console, kit)
    add_try(console, kit)
    add_budget(console, kit)
    add_statistics(console, kit)
    add_settings(console, kit)
    add_zones(console, kit)
    add_health(console, kit)
    app.register_blueprint(console)
