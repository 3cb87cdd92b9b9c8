"""`GET /troubles` and `POST /troubles/acknowledge`. Ring: rim."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, request
from pydantic import BaseModel, ConfigDict, Field

from shared.access.gate import who_says
from shared.clock import Clock
from shared.watch.supervise import Supervisor
from shared.watch.trouble import Trouble, TroubleKind
from shared.web import app as web
from shared.web import arguments
from shared.web.answers import TroubleAnswer, TroublesAnswer
from shared.web.openapi import describes

_TAG = "The box"


class Seen(BaseModel):
    """What a person says who has seen a trouble; `by` is that person's name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: TroubleKind
    subject: str = Field(default="", max_length=200)
    code: str = Field(pattern=r"^[a-z0-9_]{1,64}$")
    by: str = Field(default="api", min_length=1, max_length=64)
    req_id: str | None = None


def add_trouble_routes(app: Flask, supervisor: Supervisor, clock: Clock) -> None:
    """Add both routes."""

    @app.get("/troubles")
    @describes("Tell what is wrong, and what to do.", tag=_TAG, result=TroublesAnswer)
    def troubles() -> Response:
        supervisor.look()
        return web.success({"troubles": [trouble_row(t, clock) for t in supervisor.active()]})

    @app.post("/troubles/acknowledge")
    @describes("Say that somebody has seen it.", tag=_TAG, result=TroubleAnswer, body=Seen)
    def acknowledge() -> Response:
        values = arguments.parse_json_object(request.get_data(cache=False))
        web.take_req_id(values)
        seen = arguments.validated(Seen, values)
        trouble = supervisor.acknowledge(seen.kind, seen.subject, seen.code, by=who_says(seen.by))
        return web.success(trouble_row(trouble, clock))


def trouble_row(trouble: Trouble, clock: Clock) -> dict[str, Any]:
    """Give a trouble's wire form; `lasts_s` is by the wall clock, 0 when that was set back."""
    lasts_s = (clock.now_at() - trouble.since).total_seconds()
    seen_at = trouble.acknowledged_at
    return {
        "kind": trouble.kind.value,
        "subject": trouble.subject,
        "code": trouble.code,
        "cause": trouble.cause,
        "remedy": trouble.remedy,
        "since": trouble.since.isoformat(timespec="milliseconds"),
        "lasts_s": round(max(0.0, lasts_s), 1),
        "needs_acknowledgement": trouble.needs_acknowledgement,
        "acknowledged_at": seen_at.isoformat(timespec="milliseconds") if seen_at else None,
        "acknowledged_by": trouble.acknowledged_by or None,
    }
