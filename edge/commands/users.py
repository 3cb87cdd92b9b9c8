"""`emberlink-edge users` and `tokens`: who may sign in. Ring: rim."""

from __future__ import annotations

from pathlib import Path

from edge.config.settings import ENV_PREFIX, EdgeSettings
from shared.command.user_commands import user_commands
from shared.config import load_settings


def _users_path(config: Path | None, state: Path | None) -> Path:
    flags = {"state": state}
    settings = load_settings(EdgeSettings, prefix=ENV_PREFIX, toml_path=config, flags=flags)
    return settings.users_path


users_command, tokens_command = user_commands(_users_path)
