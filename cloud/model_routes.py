"""The routes about the model itself: which one runs, and taking a newer one. Ring: rim."""

from __future__ import annotations

from typing import Any, Protocol

from flask import Flask, Response

from cloud.gate import allow_admin_only
from shared import web
from shared.types import Reloaded


class Models(Protocol):
    """The service, as these routes see it. Every call may raise FireError."""

    def models(self) -> list[dict[str, Any]]:
        """Tell what runs."""
        ...

    def reload(self) -> Reloaded:
        """Take the newest version."""
        ...


def add_model_routes(app: Flask, service: Models) -> None:
    """Add `/models` and `/models/reload`."""

    @app.get("/models")
    def models() -> Response:
        return web.success({"models": service.models()})

    @app.post("/models/reload")
    def reload() -> Response:
        allow_admin_only()
        return web.success(service.reload().as_dict())
