"""The routes that answer at once: parse, call, format. Ring: rim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from flask import Flask, Response, g, request
from pydantic import BaseModel, Field

from cloud import answers as schemas
from cloud.caller import lane
from cloud.config import CloudSettings
from cloud.engine import Inspected
from cloud.jobs.answer import Answer
from cloud.jobs.idempotency import Claim, fingerprint, read_key
from cloud.jobs.keyed import Keyed
from cloud.paths import read_inside
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import FireError, RequestError
from shared.picture.imaging import read_picture
from shared.types import Picture
from shared.web import app as web
from shared.web import arguments, bodies
from shared.web.arguments import Posted
from shared.web.language import is_chinese
from shared.web.openapi import Pictures, Reply, describes

REFERENCE_ROUTE = "/fire_detector"
_TAG = "Ask about pictures"
_HEADERS = {
    "X-Request-Deadline-Ms": "How long the caller waits, 1…600000.",
    "Idempotency-Key": "The same key and request get the kept answer.",
    "Prefer": "`wait=SECONDS` waits for a request with the same key.",
}


class ReferenceFields(BaseModel):
    """What `/fire_detector` is sent, as JSON or as a form; one of both is needed."""

    image: str | None = Field(default=None, description="The picture, base64.")
    image_path: str | None = Field(default=None, description="A file inside `image_roots`.")
    req_id: str | None = None


class Door(Protocol):
    """What is asked before a body is parsed."""

    def knock(self, caller: str, *, needs_place: bool) -> None:
        """Count one picture against the caller's rate; refuse when the house is full and a place is needed.

        Raises:
            ModelError(MODEL_NOT_READY), FireError(HTTP_RATE_LIMITED), FireError(CLOUD_OVERLOADED)
        """
        ...

    def count_more(self, caller: str, count: int) -> None:
        """Count the further pictures of a batch.

        Raises:
            FireError(HTTP_RATE_LIMITED)
        """
        ...


class Inspector(Door, Protocol):
    """The service, as the routes see it. Every call may raise FireError."""

    def inspect(
        self, picture: Picture, deadline: Deadline, *, caller: str, claim: Claim | None = None
    ) -> Inspected:
        """Run one picture through the house, see `cloud.engine.House.inspect`."""
        ...

    def inspect_many(
        self, pictures: Sequence[Picture], deadline: Deadline, *, caller: str
    ) -> list[Inspected | FireError]:
        """Run several, one outcome each; raises when they are refused as a whole."""
        ...

    def deadline_in(self, milliseconds: int | None) -> Deadline:
        """Set a deadline, the default one for None."""
        ...


def add_routes(app: Flask, inspector: Inspector, keyed: Keyed, settings: CloudSettings) -> None:
    """Add `/infer`, `/infer/batch` and `/fire_detector`."""
    routes = _PictureRoutes(inspector, keyed, settings)
    app.add_url_rule("/infer", view_func=routes.infer, methods=["POST"])
    app.add_url_rule("/infer/batch", view_func=routes.infer_batch, methods=["POST"])
    app.add_url_rule(REFERENCE_ROUTE, view_func=routes.fire_detector, methods=["POST"])
    app.after_request(_add_headers)


class _PictureRoutes:
    """The routes that take pictures, each a method; who is refused is refused before a body is parsed."""

    def __init__(self, inspector: Inspector, keyed: Keyed, settings: CloudSettings) -> None:
        self._inspector = inspector
        self._keyed = keyed
        self._limits = settings.limits
        self._max_batch = min(settings.limits.max_batch, settings.engine.places)
        self._image_roots = settings.image_roots

    @describes(
        "Find fire and smoke in a picture.",
        tag=_TAG,
        result=schemas.InferResult,
        flat=schemas.CostField,
        body=Pictures.ONE,
        headers=_HEADERS,
    )
    def infer(self) -> Response:
        until, key = self._deadline(), _key()
        read = self._posted(is_keyed=key is not None)
        if key is None:
            return self._answer(read.pictures[0], until)
        asked = fingerprint(request.path, read.pictures, read.fields)

        def work(claim: Claim) -> Answer:
            return Answer.of(self._inspect(read.pictures[0], until, claim).result)

        return say(self._keyed.result(key, asked, work, until))

    @describes(
        "Find fire and smoke in several pictures.",
        tag=_TAG,
        result=schemas.BatchResult,
        body=Pictures.SEVERAL,
        headers=_HEADERS,
    )
    def infer_batch(self) -> Response:
        until, key = self._deadline(), _key()
        read = self._posted(is_keyed=key is not None, several=True)
        arguments.check_batch(len(read.pictures), self._max_batch)
        self._inspector.count_more(lane(), len(read.pictures) - 1)
        if key is None:
            return web.success(self._batch(read, until))
        asked = fingerprint(request.path, read.pictures, read.fields)

        def work(_claim: Claim) -> Answer:
            return Answer.of(self._batch(read, until))

        return say(self._keyed.result(key, asked, work, until))

    @describes(
        "Do what `/infer` does, for existing callers: most errors come with status 200.",
        tag=_TAG,
        says={200: Reply(text="The result, or an error.", bare=schemas.ReferenceAnswer)},
        body=ReferenceFields,
        form=ReferenceFields,
    )
    def fire_detector(self) -> Response:
        self._inspector.knock(lane(), needs_place=True)
        values = _reference_values()
        web.take_req_id(values)
        until = self._inspector.deadline_in(None).earlier(web.waited_s())
        return self._answer(self._reference_picture(values), until)

    def _deadline(self) -> Deadline:
        given = request.headers.get("X-Request-Deadline-Ms")
        until = self._inspector.deadline_in(arguments.parse_deadline_ms(given))
        return until.earlier(web.waited_s())

    def _posted(self, *, is_keyed: bool, several: bool = False) -> Posted:
        # A keyed request may have its answer already, however full the house is.
        self._inspector.knock(lane(), needs_place=not is_keyed)
        read = bodies.read_posted(self._limits, several=several)
        web.take_req_id(read.fields)
        arguments.parse_fields(read.fields)
        return read

    def _answer(self, encoded: bytes, until: Deadline) -> Response:
        return say(self._inspect(encoded, until).result)

    def _inspect(self, encoded: bytes, until: Deadline, claim: Claim | None = None) -> Inspected:
        picture = read_picture(encoded, self._limits.image_limits())
        inspected = self._inspector.inspect(picture, until, caller=lane(), claim=claim)
        g.stage_ms = inspected.stage_ms
        return inspected

    def _batch(self, read: Posted, until: Deadline) -> dict[str, Any]:
        pictures = [self._picture_or_error(read, index) for index in range(len(read.pictures))]
        good = [p for p in pictures if isinstance(p, Picture)]
        found = iter(self._inspector.inspect_many(good, until, caller=lane()) if good else ())
        outcomes = [next(found) if isinstance(p, Picture) else p for p in pictures]
        results = [
            {"index": index, **(_problem(o) if isinstance(o, FireError) else _item(o))}
            for index, o in enumerate(outcomes)
        ]
        return {"results": results, "failed": sum(r["err_no"] != 0 for r in results)}

    def _picture_or_error(self, read: Posted, index: int) -> Picture | FireError:
        try:
            return read_picture(read.picture(index), self._limits.image_limits())
        except FireError as err:
            return err

    def _reference_picture(self, values: dict[str, Any]) -> bytes:
        max_bytes = self._limits.max_bytes
        if "image" not in values and "image_path" in values:
            path = values["image_path"]
            if not isinstance(path, str):
                raise RequestError(ErrorCode.REQUEST_FIELD_INVALID, "image_path must be a string")
            return read_inside(path, self._image_roots, max_bytes)
        return arguments.take_pictures(
            values, single="image", several=None, max_bytes=max_bytes, max_batch=1
        ).picture(0)


def _key() -> str | None:
    return read_key(request.headers.get("Idempotency-Key"))


def _reference_values() -> dict[str, Any]:
    bodies.refuse_packed(request.environ)
    media_type = arguments.media_type_of(request.content_type)
    if media_type == "application/x-www-form-urlencoded":
        values: dict[str, Any] = request.form.to_dict()
        # A + that was not escaped arrives as a space, which base64 does not have.
        return (
            {**values, "image": values["image"].replace(" ", "+")} if "image" in values else values
        )
    if media_type == "application/json":
        return arguments.parse_json_object(request.get_data(cache=False))
    raise bodies.not_supported(media_type, "application/json, application/x-www-form-urlencoded")


def _add_headers(response: Response) -> Response:
    if g.get("is_replayed"):
        response.headers["Idempotency-Replayed"] = "true"
    stage_ms: dict[str, float] | None = g.get("stage_ms")
    if stage_ms:
        response.headers["Server-Timing"] = web.server_timing(stage_ms)
    return response


def say(result: Any, http_status: int = 200, **flat: Any) -> Response:
    """Say a kept result; `cost` stands flat beside it as in every answer about one picture."""
    if isinstance(result, dict) and "cost" in result:
        flat = {"cost": result["cost"], **flat}
    return web.json_response(arguments.envelope(g.req_id, result, **flat), http_status)


def _item(inspected: Inspected) -> dict[str, Any]:
    return {"err_no": 0, **inspected.result}


def _problem(error: FireError) -> dict[str, Any]:
    full = arguments.problem(g.req_id, error, instance=request.path, is_chinese=is_chinese())
    return {key: full[key] for key in ("err_no", "err_msg", "detail", "type", "retryable")}
