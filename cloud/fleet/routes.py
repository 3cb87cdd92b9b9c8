"""What edges report, and who asks about them. Ring: rim."""

from __future__ import annotations

from typing import Any, Literal

from flask import Flask, Response, request
from pydantic import AwareDatetime

from cloud.caller import signer
from cloud.fleet.fleet import Fleet, FleetEdge
from shared.error_code import ErrorCode
from shared.errors import RequestError
from shared.fleet import EVERY_S, MAX_BYTES, PATH, EdgeReport
from shared.web import app as web
from shared.web import arguments
from shared.web.answers import Answer
from shared.web.openapi import describes

_TAG = "Fleet"


class HeardAnswer(Answer):
    """A report was taken."""

    name: str
    every_s: float


class EdgeAnswer(Answer):
    """An edge as it was last heard."""

    name: str
    state: Literal["reporting", "silent"]
    heard_at: AwareDatetime
    age_s: float
    address: str
    is_signed: bool
    forwarded: dict[str, int]
    report: EdgeReport


class EdgesAnswer(Answer):
    """All edges, those that want a look first."""

    edges: list[EdgeAnswer]


def add_fleet_routes(app: Flask, fleet: Fleet) -> None:
    """Add `/edges` and `/edges/heartbeat`."""

    @app.post(PATH)
    @describes("Report how an edge is.", tag=_TAG, result=HeardAnswer, body=EdgeReport)
    def heartbeat() -> Response:
        if (request.content_length or 0) > MAX_BYTES:
            detail = f"a report has at most {MAX_BYTES} bytes"
            raise RequestError(ErrorCode.HTTP_BODY_TOO_LARGE, detail)
        values = arguments.parse_json_object(request.get_data())
        report = arguments.validated(EdgeReport, values)
        if signer():
            report = report.model_copy(update={"name": signer()})
        taken = fleet.hear(report, address=request.remote_addr or "", is_signed=bool(signer()))
        if not taken:
            raise RequestError(ErrorCode.NOT_ALLOWED, f"{report.name} signs its reports")
        return web.success({"name": report.name, "every_s": EVERY_S})

    @app.get("/edges")
    @describes("List the edges that report.", tag=_TAG, result=EdgesAnswer)
    def edges() -> Response:
        return web.success({"edges": [_row(edge) for edge in fleet.edges()]})


def _row(edge: FleetEdge) -> dict[str, Any]:
    return {
        "name": edge.report.name,
        "state": "silent" if edge.is_silent else "reporting",
        "heard_at": edge.heard_at.isoformat(timespec="milliseconds"),
        "age_s": round(edge.age_s, 1),
        "address": edge.address,
        "is_signed": edge.is_signed,
        "forwarded": dict(edge.forwarded),
        "report": edge.report.model_dump(mode="json"),
    }
