"""The cloud's routes: parse, call, format. Ring: rim."""

from __future__ import annotations

from typing import Any, Protocol

from flask import Flask, Response, request

from cloud.config import CloudSettings
from cloud.detect import Finding
from cloud.paths import read_inside
from shared import arguments, web
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import RequestError
from shared.imaging import read_picture
from shared.types import MICROS, Detection, ModelIdentity, Picture

REFERENCE_ROUTE = "/fire_detector"


class Inspection(Protocol):
    """What a finished picture tells: the finding, its model, and how long each stage took in ms."""

    @property
    def finding(self) -> Finding:
        """Give label and boxes."""
        ...

    @property
    def model(self) -> ModelIdentity:
        """Name the model."""
        ...

    @property
    def stage_ms(self) -> dict[str, float]:
        """Give milliseconds by stage."""
        ...


class Inspector(Protocol):
    """The service, as the routes see it."""

    def inspect(self, picture: Picture, deadline: Deadline) -> Inspection:
        """Run one picture through the house; raises FireError."""
        ...

    def deadline_in(self, milliseconds: int | None) -> Deadline:
        """Set a deadline, the default one for None."""
        ...


def add_routes(app: Flask, inspector: Inspector, settings: CloudSettings) -> None:
    """Add `/infer` and `/fire_detector`."""
    cost = float(settings.cost_per_call)

    @app.post("/infer")
    def infer() -> Response:
        deadline = inspector.deadline_in(
            arguments.parse_deadline_ms(request.headers.get("X-Request-Deadline-Ms"))
        )
        posted = web.read_posted(settings.limits)
        web.take_req_id(posted.fields)
        arguments.parse_fields(posted.fields)
        return _answer(inspector, posted.pictures[0], deadline)

    @app.post(REFERENCE_ROUTE)
    def fire_detector() -> Response:
        values = _reference_values()
        web.take_req_id(values)
        return _answer(inspector, _reference_picture(values), inspector.deadline_in(None))

    def _answer(inspector: Inspector, encoded: bytes, deadline: Deadline) -> Response:
        picture = read_picture(encoded, settings.limits.image_limits())
        inspection = inspector.inspect(picture, deadline)
        response = web.success(_result(inspection, picture, cost), cost=cost)
        stages = (f"{name};dur={ms:.1f}" for name, ms in inspection.stage_ms.items())
        response.headers["Server-Timing"] = ", ".join(stages)
        return response

    def _reference_values() -> dict[str, Any]:
        media_type = arguments.media_type_of(request.content_type)
        if media_type == "application/x-www-form-urlencoded":
            return dict(request.form.to_dict())
        if media_type == "application/json":
            return arguments.parse_json_object(request.get_data(cache=False))
        raise RequestError(
            ErrorCode.REQUEST_CONTENT_TYPE, f"got {media_type or 'none'}, expected application/json"
        )

    def _reference_picture(values: dict[str, Any]) -> bytes:
        if "image" not in values and "image_path" in values:
            path = values["image_path"]
            if not isinstance(path, str):
                raise RequestError(ErrorCode.REQUEST_FIELD_INVALID, "image_path must be a string")
            return read_inside(path, settings.image_roots, settings.limits.max_bytes)
        return arguments.take_pictures(
            values, single="image", several=None, max_bytes=settings.limits.max_bytes, max_batch=1
        )[0]


def detection_as_dict(detection: Detection) -> dict[str, Any]:
    """Give the wire form of one box."""
    return {
        "label": detection.label.value,
        "score": round(detection.score, 4),
        "box_xyxy": detection.box.as_list(),
    }


def _result(inspection: Inspection, picture: Picture, cost: float) -> dict[str, Any]:
    finding = inspection.finding
    return {
        "label": finding.label.value,
        "confidence": round(finding.confidence, 4),
        "detections": [detection_as_dict(d) for d in finding.detections],
        "width": picture.width_px,
        "height": picture.height_px,
        "cost": cost,
        "cost_micros": round(cost * MICROS),
        "latency_ms": round(sum(inspection.stage_ms.values()), 1),
        "model": inspection.model.as_dict(),
    }
