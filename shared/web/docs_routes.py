"""`/openapi.json`, and `/docs` to read it in a browser without a network. Ring: rim."""

from __future__ import annotations

import functools
import gzip
from collections.abc import Mapping
from types import MappingProxyType

from flask import Flask, Response, render_template, request

from shared.roles import Rules
from shared.ui.assets import SHARED
from shared.ui.packing import takes_gzip
from shared.version import version
from shared.web import app as web
from shared.web.answers import OpenApiDocument
from shared.web.openapi import EMPTY, Message, Reply, describes, document

_VENDOR = SHARED / "vendor"
_VIEWER = "rapidoc-min.js"
_TAG = "Health"


def add_docs_routes(
    app: Flask,
    title: str,
    rules: Rules,
    *,
    is_signed: bool,
    webhooks: Mapping[str, Message] = MappingProxyType({}),
) -> None:
    """Add the document and its viewer; the document is made once, at its first request, when all routes are there."""

    @functools.cache
    def encoded() -> bytes:
        made = document(
            app,
            title=title,
            version=version(),
            rules=rules,
            is_signed=is_signed,
            webhooks=webhooks,
        )
        return web.encode(made)

    @app.get("/openapi.json")
    @describes(
        "Describe every call.",
        tag=_TAG,
        says={200: Reply(text="The document.", bare=OpenApiDocument), 304: EMPTY},
    )
    def openapi() -> Response:
        response = Response(encoded(), content_type="application/json")
        response.add_etag()
        response.make_conditional(request)
        return response

    @app.get("/docs")
    @describes(
        "Show this document.",
        tag=_TAG,
        says={200: Reply(text="The page.", media_types=("text/html",))},
    )
    def docs() -> Response:
        response = Response(render_template("docs.html", title=title))
        # The viewer writes styles into its page. What runs and what is loaded stays as strict as elsewhere.
        policy = web.CONTENT_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
        response.headers["Content-Security-Policy"] = policy
        return response

    _add_programs(app)


def _add_programs(app: Flask) -> None:
    """Add what the page loads."""

    @app.get(f"/docs/{_VIEWER}")
    @describes(
        "Give the viewer's program.",
        tag=_TAG,
        says={200: Reply(text="The program.", media_types=("text/javascript",)), 304: EMPTY},
    )
    def viewer() -> Response:
        return _program()

    @app.get("/docs/fields.js")
    @describes(
        "Give the names of the viewer's fields.",
        tag=_TAG,
        says={200: Reply(text="The program.", media_types=("text/javascript",))},
    )
    def fields() -> Response:
        text = (SHARED / "docs.js").read_text("utf-8")
        return Response(text, content_type="text/javascript; charset=utf-8")


def _program() -> Response:
    packed = (_VENDOR / f"{_VIEWER}.gz").read_bytes()
    is_packed = takes_gzip()
    body = packed if is_packed else gzip.decompress(packed)
    response = Response(body, content_type="text/javascript; charset=utf-8")
    if is_packed:
        response.headers["Content-Encoding"] = "gzip"
    response.vary.add("Accept-Encoding")
    response.add_etag()
    response.make_conditional(request)
    return response
