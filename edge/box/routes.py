"""The routes on which the box tells about itself, and takes a newer model: parse, call, format. Ring: rim."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol

from flask import Flask, Response, request
from pydantic import BaseModel, ConfigDict, Field

from edge import answers
from edge.decide.audit import AuditReport
from edge.decide.policies import Wish
from edge.wire import edge_result, wish_as_dict
from shared.types import Classification, ModelIdentity, Reloaded
from shared.web import app as web
from shared.web import arguments
from shared.web.answers import ReloadAnswer
from shared.web.language import is_chinese
from shared.web.openapi import describes

_TAG = "The box"


class Status(Protocol):
    """The box, as these routes and the pages see it. Every call may raise FireError."""

    @property
    def model(self) -> ModelIdentity:
        """Name the classifier."""
        ...

    def policy_status(self) -> dict[str, Any]:
        """Tell the day's money, the price, and what each camera was told."""
        ...

    def audit_report(self) -> AuditReport:
        """Tell what random checks of quiet frames found today."""
        ...

    def explain(self, camera: str | None, classification: Classification) -> Wish:
        """Tell what would be decided now, without charging."""
        ...

    def camera_states(self) -> list[dict[str, Any]]:
        """Tell how the cameras are."""
        ...

    def reload(self) -> Reloaded:
        """Take the newest classifier."""
        ...


class Question(BaseModel):
    """What `/policy/explain` is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    fire: float = Field(ge=0, le=1)
    smoke: float = Field(default=0.0, ge=0, le=1)
    camera: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    req_id: str | None = None


def add_status_routes(app: Flask, status: Status) -> None:
    """Add what the box tells about policy and cameras, and `/models/reload`."""
    _add_policy(app, status)

    @app.post("/models/reload")
    @describes("Take a newer classifier.", tag=_TAG, result=ReloadAnswer)
    def reload() -> Response:
        return web.success(status.reload().as_dict())

    @app.get("/cameras")
    @describes("Tell how the cameras are.", tag=_TAG, result=answers.CamerasAnswer)
    def cameras() -> Response:
        return web.success({"cameras": status.camera_states()})


def _add_policy(app: Flask, status: Status) -> None:
    @app.get("/policy")
    @describes("Tell the day's money and the price.", tag=_TAG, result=answers.PolicyAnswer)
    def policy() -> Response:
        return web.success(status.policy_status())

    @app.get("/policy/audits")
    @describes(
        "Tell what random checks of quiet frames found.", tag=_TAG, result=answers.AuditsAnswer
    )
    def audits() -> Response:
        return web.success(asdict(status.audit_report()))

    @app.get("/policy/explain")
    @describes(
        "Tell what would be decided now, for free.",
        tag=_TAG,
        result=answers.Explained,
        query=Question,
    )
    def explain() -> Response:
        asked = arguments.validated(Question, request.args.to_dict())
        seen = Classification(fire=asked.fire, smoke=asked.smoke)
        wish = wish_as_dict(status.explain(asked.camera, seen), is_chinese=is_chinese())
        return web.success({"camera": asked.camera, **edge_result(seen), "decision": wish})
