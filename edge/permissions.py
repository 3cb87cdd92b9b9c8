"""What each route of the edge needs, on one screen. Ring: rim.

A route that is not named here can be read by everybody who may look, and written by admins.
"""

from __future__ import annotations

from pathlib import Path

from edge.config.settings import EdgeSettings
from shared.access.audit_log import AuditLog
from shared.access.gate import Gate, refuse_without_users
from shared.access.users import Users
from shared.clock import Clock
from shared.command.control import new_control_token
from shared.roles import Rules

RULES = Rules(
    nothing=frozenset({"/ui/static/<path:name>"}),
    # They cost money, and a picture that names a camera can begin an event.
    asks=frozenset({"/joint_predict", "/adaptive_predict", "/batch_predict", "/ui/try/picture"}),
    # It asks the edge alone, for nothing, and leaves no trace.
    looks=frozenset({"/predict"}),
    evidence=frozenset(
        {
            "/events/<event_id>",
            "/events/<event_id>/alerts",
            "/events/<event_id>/frames",
            "/events/<event_id>/frames/<frame_id>",
            "/events/<event_id>/export",
            "/ui/events/<event_id>",
            "/ui/events/<event_id>/stage",
            "/ui/events/<event_id>/frames/<frame_id>.jpg",
        }
    ),
)


def build_gate(settings: EdgeSettings, folder: Path, clock: Clock) -> Gate:
    """Build what stands before every route; `folder` takes the audit and the command line's token.

    Raises:
        ConfigError(CONFIG_INVALID): others could reach the service and nobody can sign in.
    """
    users = Users(settings.users_path, clock)
    refuse_without_users(settings.access, settings.server, users)
    return Gate(
        "edge",
        RULES,
        users=users,
        audit=AuditLog(folder / "audit.sqlite3", clock),
        access=settings.access,
        server=settings.server,
        clock=clock,
        control_token=new_control_token(folder),
    )
