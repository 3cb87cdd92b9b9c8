"""The routes about models: which one runs, taking a newer one, and the edges' newest classifier. Ring: rim."""

from __future__ import annotations

from typing import Any, Protocol

from flask import Flask, Response, g, request

from cloud.answers import ModelsAnswer
from cloud.model.edge_model import Document, EdgeModelShelf
from shared.types import Reloaded
from shared.web import app as web
from shared.web.answers import ReloadAnswer
from shared.web.openapi import EMPTY, Reply, describes

_TAG = "Models"
_HAVE = {"If-None-Match": "The ETag of what you have."}


class Models(Protocol):
    """The service, as these routes see it. Every call may raise FireError."""

    def models(self) -> list[dict[str, Any]]:
        """Tell what runs."""
        ...

    def reload(self) -> Reloaded:
        """Take the newest version."""
        ...

    def go_back(self) -> Reloaded:
        """Take the version before the one that runs."""
        ...


def add_model_routes(app: Flask, service: Models, shelf: EdgeModelShelf) -> None:
    """Add `/models`, `/models/reload` and `/models/edge/…`."""

    @app.get("/models")
    @describes("Tell which models run.", tag=_TAG, result=ModelsAnswer)
    def models() -> Response:
        return web.success({"models": service.models()})

    @app.post("/models/reload")
    @describes("Take the newest version of the detector.", tag=_TAG, result=ReloadAnswer)
    def reload() -> Response:
        return web.success(service.reload().as_dict())

    @app.post("/models/rollback")
    @describes("Take the version before the one that runs.", tag=_TAG, result=ReloadAnswer)
    def rollback() -> Response:
        return web.success(service.go_back().as_dict())

    @app.get("/models/edge/latest")
    @describes(
        "Give the manifest of the newest edge classifier.",
        tag=_TAG,
        says={200: Reply(text="The manifest.", media_types=("application/json",)), 304: EMPTY},
        headers=_HAVE,
    )
    def edge_latest() -> Response:
        return _document(shelf.manifest(), "application/json")

    @app.get("/models/edge/files/<sha256>")
    @describes(
        "Give a file of the newest edge classifier.",
        tag=_TAG,
        says={200: Reply(text="The file.", media_types=("application/octet-stream",)), 304: EMPTY},
        headers=_HAVE,
    )
    def edge_file(sha256: str) -> Response:
        return _document(shelf.file(sha256), "application/octet-stream")


def _document(document: Document, content_type: str) -> Response:
    """Send bytes under their hash as ETag; 304 to who has them."""
    response = Response(document.content, content_type=content_type)
    response.set_etag(document.sha256)
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Request-ID"] = g.req_id
    response.make_conditional(request)
    return response
