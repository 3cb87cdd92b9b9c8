"""Answers the commonest call, a raw JPEG posted to `/joint_predict`, without Flask in between. Ring: rim.

After each frame the model has driven Flask's code out of the CPU's caches: the way through it costs 0.2 ms there, a
fifth of all that the service adds to the model. The answers are the same, byte for byte but for ids and times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, g

from edge import wire
from edge.caller import Caller
from edge.routes import Line
from shared.clock import Clock
from shared.ids import is_req_id, new_id
from shared.picture.imaging import read_picture
from shared.roles import could_be_rebound
from shared.types import ImageLimits
from shared.web import app as web
from shared.web import arguments
from shared.web.serve import WAITED_S

Environ = dict[str, Any]
_KNOWN_HOOKS = {"shared.web.app", "shared.access.gate"}
_StartResponse = Callable[[str, list[tuple[str, str]]], object]


class FastLane:
    """A WSGI application before Flask's: what is not plain, and every error, takes the way through Flask."""

    def __init__(
        self,
        app: Flask,
        line: Line,
        limits: ImageLimits,
        clock: Clock,
        is_open: Callable[[], bool],
    ) -> None:
        """Keep both ways.

        The short one is closed while somebody has to say who they are (`is_open` is asked each time), and for good
        where the app has hooks that this module does not know, such as those of CORS.
        """
        self._app = app
        self._line = line
        self._limits = limits
        self._clock = clock
        self._is_open = is_open
        hooks = [*app.before_request_funcs.get(None, ()), *app.after_request_funcs.get(None, ())]
        self._is_closed = not {hook.__module__ for hook in hooks} <= _KNOWN_HOOKS

    def __call__(self, environ: Environ, start_response: _StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if self._is_closed or not _is_plain(environ) or not self._is_open():
            return self._app(environ, start_response)  # type: ignore[arg-type] # no write callable is used
        given: str = environ.get("HTTP_X_REQUEST_ID", "")
        req_id = given if is_req_id(given) else new_id(self._clock.now_at())
        try:
            body, timing = self._answer(environ, req_id)
        except Exception as err:  # request top: Flask's handlers know every error
            with self._app.request_context(environ):
                g.req_id = req_id
                error = self._app.make_response(self._app.handle_user_exception(err))
                response = self._app.process_response(error)
                return response(environ, start_response)  # type: ignore[arg-type] # as above
        headers = [
            ("Content-Type", "application/json"),
            ("X-Request-ID", req_id),
            ("Content-Length", str(len(body))),
            ("Server-Timing", timing),
            *web.SECURITY_HEADERS,
        ]
        start_response("200 OK", headers)
        return (body,)

    def _answer(self, environ: Environ, req_id: str) -> tuple[bytes, str]:
        line = self._line
        until = line.deadline_in(
            arguments.parse_deadline_ms(environ.get("HTTP_X_REQUEST_DEADLINE_MS"))
        ).earlier(environ.get(WAITED_S, 0.0))
        frame = line.frame(read_picture(environ["wsgi.input"].read(), self._limits), None)
        caller = Caller(
            req_id=req_id,
            lane=environ.get("REMOTE_ADDR", ""),
            trace=web.trace_of(environ),
        )
        verdict = line.joint(frame, until, caller, is_adaptive=False)
        beside = wire.joint_fields(verdict, is_chinese=False)
        answer = arguments.envelope(req_id, wire.joint_result(verdict), **beside)
        return web.encode(answer), web.server_timing(wire.stages_ms(verdict))


def _is_plain(environ: Environ) -> bool:
    """Tell whether a request is a raw JPEG and nothing else that would have to be read or negotiated."""
    return (
        environ["PATH_INFO"] == "/joint_predict"
        and environ["REQUEST_METHOD"] == "POST"
        and environ.get("CONTENT_TYPE") == "image/jpeg"
        and environ.get("CONTENT_LENGTH", "0") != "0"
        and not environ["QUERY_STRING"]
        and "HTTP_ORIGIN" not in environ
        and "HTTP_CONTENT_ENCODING" not in environ
        and not could_be_rebound(environ.get("HTTP_HOST", ""))
        and not environ.get("HTTP_ACCEPT_LANGUAGE", "").lower().startswith("zh")
        and "wsgi.input_terminated" in environ
    )
