"""Who may ask: checks the signature of every request that is not about health. Ring: rim."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, g, request

from cloud.keys import ADMIN
from shared import web
from shared.auth import Signed, Verifier
from shared.error_code import ErrorCode
from shared.errors import RequestError

_OPEN = frozenset({"/", "/health", "/healthz", "/readyz", "/metrics", "/version", "/errors"})
_OPEN_BELOW = "/errors/"


def add_gate(app: Flask, verifier: Verifier, *, is_required: Callable[[], bool]) -> None:
    """Check signatures before any route runs; `g.edge_id` names who signed, and is missing when nobody did.

    A signature that is sent is checked, also where none is needed.
    """

    @app.before_request
    def check() -> None:
        path = request.path
        if path in _OPEN or path.startswith(_OPEN_BELOW) or request.method == "OPTIONS":
            return
        if not is_required() and "Signature" not in request.headers:
            return
        # As the caller sent it: Flask's path is decoded already.
        raw_path, _, raw_query = request.environ.get("REQUEST_URI", path).partition("?")
        g.edge_id = verifier.verify(
            Signed(
                method=request.method,
                path=raw_path,
                query=raw_query,
                signature_input=request.headers.get("Signature-Input"),
                signature=request.headers.get("Signature"),
                content_digest=request.headers.get("Content-Digest"),
                body=web.keep_body,
            )
        )


def allow_admin_only() -> None:
    """Let only the admin pass.

    Raises:
        RequestError(NOT_ALLOWED): the request is not signed with the admin's key.
    """
    if g.get("edge_id") != ADMIN:
        raise RequestError(ErrorCode.NOT_ALLOWED, f"only a request signed by `{ADMIN}` may do this")
