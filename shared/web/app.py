"""What both Flask apps are made of: envelope, error answers, ids, limits, health routes. Ring: rim.

The only place that turns errors into HTTP.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from flask import Flask, Request, Response, g, request
from flask.globals import request_ctx
from flask_cors import CORS
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from shared.clock import Clock
from shared.config import ServerSection
from shared.error_code import ErrorCode, by_http_status
from shared.errors import FireError
from shared.ids import Trace, is_req_id, new_id
from shared.logs import get_logger
from shared.metrics import EXPOSITION_TYPE, exposition
from shared.web import arguments
from shared.web.answers import Healthy, Readiness, VersionAnswer
from shared.web.error_pages import add_error_pages
from shared.web.language import is_chinese
from shared.web.openapi import Reply, describes
from shared.web.serve import WAITED_S

_JSON = "application/json"
_PROBLEM_JSON = "application/problem+json"
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = (
    ("Content-Security-Policy", CONTENT_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
"""What every answer says to browsers, unless its route says something else; the one place for it."""

TEMPLATES = Path(__file__).parents[1] / "ui" / "templates"
"""Pages and parts of pages that both services show."""

_TAG = "Health"
# The largest of our own, sixteen zones or a page of events, have some two hundred.
_MAX_FORM_FIELDS = 256
_EXPOSED = ("X-Request-ID", "Retry-After", "Server-Timing", "Location", "Idempotency-Replayed")
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
# Proxies and clients act on these, also on the reference route.
_ALWAYS_REAL = frozenset({401, 404, 405, 413, 429, 503})


class CheckState(StrEnum):
    """How one readiness check stands; `failed` makes the service not ready."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of `/readyz`."""

    state: CheckState
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """What the health routes of a service tell; each callable must return at once."""

    checks: Callable[[], Mapping[str, Check]]
    version: Callable[[], Mapping[str, Any]]
    registry: CollectorRegistry


class _FormParser(FormDataParser):
    """Takes forms of few fields; werkzeug counts those of one kind only, and four bytes cost it a hundred."""

    def parse(
        self,
        stream: IO[bytes],
        mimetype: str,
        content_length: int | None,
        options: dict[str, str] | None = None,
    ) -> Any:
        """Parse a body."""
        if mimetype == "application/x-www-form-urlencoded":
            body = stream.read()
            if body.count(b"&") >= _MAX_FORM_FIELDS:
                raise RequestEntityTooLarge(f"more than {_MAX_FORM_FIELDS} form fields")
            stream = io.BytesIO(body)
        return super().parse(stream, mimetype, content_length, options)


class _Request(Request):
    form_data_parser_class = _FormParser


def create_app(
    name: str,
    *,
    server: ServerSection,
    clock: Clock,
    operations: Operations,
    reference_route: str | None = None,
) -> Flask:
    """Build a Flask app with everything that both services share.

    Args:
        name: import name of the service's package.
        server: limits and CORS origins.
        clock: for request ids.
        operations: what the health routes tell.
        reference_route: the one path that answers request and model errors (1000–2999) with HTTP 200 and `err_no`,
            because its existing callers rely on that.
    """
    app = Flask(name, static_folder=None, template_folder=str(TEMPLATES))
    _set_limits(app, server)
    _add_hooks(app, clock)
    _add_error_handlers(app, reference_route)
    _add_health_routes(app, operations)
    add_error_pages(app)
    return app


def _set_limits(app: Flask, server: ServerSection) -> None:
    app.config["MAX_CONTENT_LENGTH"] = server.max_body_bytes
    app.config["MAX_FORM_MEMORY_SIZE"] = server.max_body_bytes
    app.config["MAX_FORM_PARTS"] = _MAX_FORM_FIELDS
    app.request_class = _Request
    app.url_map.strict_slashes = False
    # Else `//predict` is answered by a redirect with an HTML page.
    app.url_map.merge_slashes = False
    if server.cors_origins:
        CORS(app, origins=list(server.cors_origins), expose_headers=list(_EXPOSED))


def _add_hooks(app: Flask, clock: Clock) -> None:
    @app.before_request
    def begin() -> None:
        now = request_ctx.request
        given = now.environ.get("HTTP_X_REQUEST_ID") or now.args.get("req_id")
        g.req_id = given if given is not None and is_req_id(given) else new_id(clock.now_at())

    @app.after_request
    def protect(response: Response) -> Response:
        if "ETag" in response.headers:
            response.headers.setdefault("Cache-Control", "private, no-cache")
        for name, value in SECURITY_HEADERS:
            response.headers.setdefault(name, value)
        return response


def _add_error_handlers(app: Flask, reference_route: str | None) -> None:
    @app.errorhandler(FireError)
    def on_fire_error(error: FireError) -> Response:
        return error_response(error, reference_route)

    @app.errorhandler(HTTPException)
    def on_http_error(error: HTTPException) -> Response:
        return http_error_response(error)

    @app.errorhandler(Exception)
    def on_any_error(error: Exception) -> Response:
        get_logger().error("request_failed", req_id=g.req_id, path=request.path, exc_info=error)
        return error_response(
            FireError(ErrorCode.INTERNAL, f"see the log under {g.req_id}"), reference_route
        )


def encode(body: Mapping[str, Any]) -> bytes:
    """Write JSON; NaN would be our own mistake and raises."""
    # A lone surrogate in a caller's text cannot be written as UTF-8; it must not turn an answer into a 500.
    return _ENCODER.encode(body).encode("utf-8", "replace")


def json_response(
    body: Mapping[str, Any], status: int = 200, content_type: str = _JSON
) -> Response:
    """Write a JSON answer; NaN would be our own mistake and raises."""
    response = Response(encode(body), status=status, content_type=content_type)
    response.headers["X-Request-ID"] = g.req_id
    return response


def success(result: Any, **flat: Any) -> Response:
    """Answer with the envelope of a success."""
    return json_response(arguments.envelope(g.req_id, result, **flat))


def error_response(
    error: FireError, reference_route: str | None = None, *, status: int | None = None
) -> Response:
    """Answer with the one body for both error worlds; `status` replaces the code's own."""
    row = error.code.row
    body = arguments.problem(g.req_id, error, instance=request.path, is_chinese=is_chinese())
    wants_problem = _PROBLEM_JSON in request.headers.get("Accept", "")
    is_softened = request.path == reference_route and 1000 <= row.number < 3000
    if status is None:
        status = 200 if is_softened and row.http_status not in _ALWAYS_REAL else row.http_status
    response = json_response(
        {**body, "status": status}, status, _PROBLEM_JSON if wants_problem else _JSON
    )
    if status == 401:
        scheme = "Signature" if error.code.row.slug.startswith("signature") else "Bearer"
        response.headers["WWW-Authenticate"] = f'{scheme} realm="emberlink"'
    if row.http_status in (429, 503) or error.retry_after_s is not None:
        response.headers["Retry-After"] = retry_after(error.retry_after_s)
    return response


def retry_after(seconds: float | None) -> str:
    """Give the value of Retry-After: whole seconds, never so few that the caller would come too early."""
    return str(max(1, math.ceil(seconds or 1.0)))


def http_error_response(error: HTTPException) -> Response:
    """Answer an error that the web framework raised, keeping its status and headers such as Allow."""
    status = error.code or 500
    detail = str(error.description or error.name)
    if status in (404, 405):  # werkzeug's text is for somebody who typed an address into a browser
        detail = f"{request.method} {request.path[:200]}"
    body = arguments.problem(
        g.get("req_id", ""),
        FireError(by_http_status(status), detail),
        instance=request.path,
        is_chinese=is_chinese(),
    )
    wants_problem = _PROBLEM_JSON in request.headers.get("Accept", "")
    response = json_response(
        {**body, "status": status}, status, _PROBLEM_JSON if wants_problem else _JSON
    )
    for key, value in error.get_headers():
        if key.lower() in ("allow", "retry-after"):
            response.headers[key] = value
    return response


def server_timing(stages_ms: Mapping[str, float]) -> str:
    """Give the value of Server-Timing (W3C), in milliseconds."""
    return ", ".join(f"{name};dur={ms:.1f}" for name, ms in stages_ms.items())


def waited_s() -> float:
    """Tell how long the current request waited, whole, for a thread: its deadline has run since then."""
    return float(request.environ.get(WAITED_S, 0.0))


def take_req_id(values: Mapping[str, Any]) -> None:
    """Echo the id that came inside a body, also when the rest of that body turns out to be wrong."""
    given = values.get("req_id")
    text = str(given) if isinstance(given, int) else given
    if is_req_id(text):
        g.req_id = text


def trace_of(environ: Mapping[str, Any]) -> Trace | None:
    """Take the caller's trace context from the headers of a WSGI request."""
    parent = environ.get("HTTP_TRACEPARENT")
    return Trace(parent=parent, state=environ.get("HTTP_TRACESTATE")) if parent else None


def _bare(model: type[BaseModel], status: int = 200) -> dict[int, Reply]:
    return {status: Reply(text="What it says.", bare=model)}


def _readiness(checks: Mapping[str, Check]) -> Response:
    states = {check.state for check in checks.values()}
    worst = next(
        (s for s in (CheckState.FAILED, CheckState.DEGRADED) if s in states), CheckState.OK
    )
    body = {
        "status": {"ok": "ready", "degraded": "degraded", "failed": "not_ready"}[worst],
        "checks": {name: {"state": c.state, "text": c.text} for name, c in checks.items()},
    }
    response = json_response(body, 503 if worst is CheckState.FAILED else 200)
    if worst is CheckState.FAILED:
        response.headers["Retry-After"] = "2"
    return response


def _add_health_routes(app: Flask, operations: Operations) -> None:
    @app.get("/health")
    @describes("Say that the service runs.", tag=_TAG, says=_bare(Healthy))
    def health() -> Response:
        return json_response({"status": "healthy"})

    @app.get("/healthz")
    @describes("Say that the process is alive.", tag=_TAG, says=_bare(Healthy))
    def healthz() -> Response:
        return json_response({"status": "alive"})

    @app.get("/readyz")
    @describes(
        "Tell whether the service can do its job.",
        tag=_TAG,
        says={**_bare(Readiness), **_bare(Readiness, 503)},
    )
    def readyz() -> Response:
        return _readiness(operations.checks())

    @app.get("/metrics")
    @describes(
        "Give the metrics for Prometheus.",
        tag=_TAG,
        says={200: Reply(text="Metrics.", media_types=("text/plain",))},
    )
    def metrics() -> Response:
        return Response(exposition(operations.registry), content_type=EXPOSITION_TYPE)

    @app.get("/version")
    @describes("Tell what runs, and what pictures may be.", tag=_TAG, says=_bare(VersionAnswer))
    def version() -> Response:
        return json_response(operations.version())
