"""Pictures and fields from the body of the current request, whichever of the three forms it has. Ring: rim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from flask import Request, g, request
from flask.globals import request_ctx
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from shared.config import LimitsSection
from shared.error_code import ErrorCode
from shared.errors import RequestError
from shared.web import app as web
from shared.web import arguments
from shared.web.arguments import Posted


def read_posted(limits: LimitsSection, *, several: bool = False) -> Posted:
    """Read pictures and fields from the current request, whichever of the three bodies it has.

    Args:
        limits: bounds on bytes and on the number of pictures.
        several: whether a list of pictures is expected (`images`).

    Raises:
        RequestError: what is wrong with it, see `shared.web.arguments`.
    """
    now = request_ctx.request  # each touch of Flask's `request` costs a look-up
    media_type = arguments.media_type_of(now.content_type)
    refuse_packed(now.environ)
    query = now.args.to_dict()
    query.pop("joint", None)
    if arguments.is_picture_type(media_type):
        body = _read_body(now)
        if not body:
            raise RequestError(
                ErrorCode.REQUEST_FIELD_MISSING, "the body is empty, expected a picture"
            )
        return Posted(pictures=(body,), fields=query)
    if media_type == "multipart/form-data":
        return _read_multipart(limits, query, several=several)
    if media_type == "application/json":
        return _read_json(limits, query, several=several)
    raise not_supported(media_type, "image/jpeg, image/png, multipart/form-data, application/json")


def refuse_packed(environ: Mapping[str, Any]) -> None:
    """Refuse a compressed body by its header: a picture does not get smaller, and a bomb would get larger.

    Raises:
        RequestError(REQUEST_CONTENT_TYPE)
    """
    packing: str = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if packing not in ("", "identity"):
        detail = f"Content-Encoding {packing[:40]!r}; send the body as it is"
        raise RequestError(ErrorCode.REQUEST_CONTENT_TYPE, detail)


def not_supported(media_type: str, taken: str) -> RequestError:
    """Say that a body of this type is not taken here, and what is; the `req_id` of a form is still echoed."""
    web.take_req_id(request.form)
    detail = f"expected one of {taken}; got {media_type or 'none'}"
    return RequestError(ErrorCode.REQUEST_CONTENT_TYPE, detail)


def _read_body(now: Request) -> bytes:
    """Read the whole body, in one piece where the server has it complete; werkzeug would copy it in pieces of 64 kB."""
    kept: bytes | None = g.get("body")
    if kept is not None:
        return kept
    length, limit = now.content_length, now.max_content_length
    is_complete = now.environ.get("wsgi.input_terminated", False)
    if is_complete and length is not None and limit is not None and length <= limit:
        return bytes(now.input_stream.read())
    return now.get_data(cache=False)


def keep_body() -> bytes:
    """Read the body before anybody else does, for its signature; what parses it later gets the same bytes."""
    body: bytes = request.get_data()
    g.body = body
    return body


def _read_json(limits: LimitsSection, query: Mapping[str, str], *, several: bool) -> Posted:
    values = arguments.parse_json_object(request.get_data(cache=False))
    web.take_req_id(values)
    taken = arguments.take_pictures(
        values,
        single="image",
        several="images" if several else None,
        max_bytes=limits.max_bytes,
        max_batch=limits.max_batch,
    )
    rest = {
        key: value
        for key, value in values.items()
        if key not in ("image", "images" if several else "image")
    }
    return replace(taken, fields={**query, **rest})


def _read_multipart(limits: LimitsSection, query: Mapping[str, str], *, several: bool) -> Posted:
    try:
        files, form = request.files, request.form.to_dict()
    except RequestEntityTooLarge:
        raise
    except HTTPException as err:
        raise RequestError(
            ErrorCode.REQUEST_FIELD_INVALID, f"form data: {err.description}"
        ) from err
    web.take_req_id(form)
    parts: Sequence[Any] = [*files.getlist("image"), *files.getlist("images")]
    if not parts:
        raise RequestError(ErrorCode.REQUEST_FIELD_MISSING, "the form has no file field `image`")
    arguments.check_batch(len(parts), limits.max_batch if several else 1)
    return Posted(pictures=tuple(part.read() for part in parts), fields={**query, **form})
