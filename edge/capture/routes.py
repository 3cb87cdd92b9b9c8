"""The newest picture of a camera. Ring: rim."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, Response, request

from shared.error_code import ErrorCode
from shared.errors import RequestError
from shared.types import Frame
from shared.web.openapi import EMPTY, Reply, describes


def add_camera_routes(app: Flask, newest: Callable[[str], Frame | None]) -> None:
    """Add `GET /cameras/<name>/frame`; `newest` gives a camera's newest frame, None when there is none."""

    @app.get("/cameras/<name>/frame")
    @describes(
        "Give the newest picture of a camera, with its ETag.",
        tag="The box",
        says={200: Reply(text="The picture.", media_types=("image/jpeg", "image/png")), 304: EMPTY},
        headers={"If-None-Match": "The ETag of a picture that you have."},
    )
    def camera_frame(name: str) -> Response:
        frame = newest(name)
        if frame is None:
            raise RequestError(
                ErrorCode.HTTP_NOT_FOUND, f"no camera {name[:64]!r} has sent a picture yet"
            )
        response = Response(frame.picture.encoded, mimetype=frame.picture.media_type.value)
        response.headers["X-Captured-At"] = frame.captured_at.isoformat()
        response.headers["Cache-Control"] = "no-cache"
        response.set_etag(frame.frame_id)
        response.make_conditional(request)
        return response
