"""How the command line reaches the running service: who can read the state folder may do all. Ring: adapter (disk).

A new token with every start, in a file of mode 0600; whoever reads it could write the file of users, too.
"""

from __future__ import annotations

from pathlib import Path

from shared.access.secret_file import write_private
from shared.errors import ConfigError
from shared.logs import get_logger
from shared.roles import new_secret

_NAME = "control.token"


def new_control_token(state: Path) -> str:
    """Write the token of a service that starts, and give it; the one before counts where none can be written."""
    token = new_secret()
    try:
        write_private(state / _NAME, token)
    except ConfigError as err:
        get_logger().warning("control_token_not_written", detail=err.detail)
        return _kept(state) or token
    return token


def control_headers(state: Path) -> dict[str, str]:
    """Give the headers for a call to the service whose state lies there; none where it wrote no token for us."""
    token = _kept(state)
    return {"Authorization": f"Bearer {token}"} if token else {}


def _kept(state: Path) -> str:
    try:
        return (state / _NAME).read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
