"""The edge's routes: parse, call, format. Ring: rim."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Literal, Protocol, TypeVar

from flask import Flask, Response, g, request
from pydantic import BaseModel, ConfigDict, Field

from edge import answers
from edge.audit import AuditReport
from edge.config import EdgeSettings
from edge.decide import Decision
from edge.fuse import Verdict
from edge.policies import Wish
from edge.reasons import sentence
from shared import arguments, web
from shared.answers import ReloadAnswer
from shared.arguments import Posted
from shared.deadline import Deadline
from shared.errors import FireError
from shared.imaging import read_picture
from shared.openapi import Pictures, describes
from shared.types import (
    MICROS,
    Classification,
    Detection,
    Frame,
    ModelIdentity,
    Picture,
    Reloaded,
    Source,
)

_A = TypeVar("_A")
_T = TypeVar("_T")
_ASK = "Ask about pictures"
_LOOK = "The box"
_DEADLINE = {"X-Request-Deadline-Ms": "How long the caller waits, 1…600000."}


class BatchFields(arguments.PictureFields):
    """What may stand beside several pictures; `joint` stands in the query."""

    joint: Literal["0", "1"] = Field(default="0", description="1 asks the pair about each.")


class Edge(Protocol):
    """The service, as the routes see it. Every call may raise FireError."""

    @property
    def model(self) -> ModelIdentity:
        """Name the classifier."""
        ...

    def frame(self, picture: Picture, camera: str | None) -> Frame:
        """Make a posted picture a frame."""
        ...

    def deadline_in(self, milliseconds: int | None) -> Deadline:
        """Set a deadline, the configured one for None."""
        ...

    def classify(self, frame: Frame) -> Classification:
        """Ask the edge alone."""
        ...

    def joint(
        self,
        frame: Frame,
        deadline: Deadline,
        traceparent: str | None,
        *,
        req_id: str,
        is_adaptive: bool,
    ) -> Verdict:
        """Ask the pair."""
        ...

    def joint_many(self, frames: Sequence[Frame], deadline: Deadline) -> list[Verdict | FireError]:
        """Ask the pair about several frames; one that fails does not take the others down."""
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


def add_routes(app: Flask, edge: Edge, settings: EdgeSettings) -> None:
    """Add the prediction routes, and what the box tells about policy and cameras."""
    limits = settings.limits
    image_limits = limits.image_limits()

    def posted_frame() -> Frame:
        posted = web.read_posted(limits)
        return _frames(posted)[0]

    def _frames(posted: Posted) -> list[Frame]:
        web.take_req_id(posted.fields)
        camera = arguments.parse_fields(posted.fields).camera
        return [
            edge.frame(read_picture(encoded, image_limits), camera) for encoded in posted.pictures
        ]

    def deadline() -> Deadline:
        return edge.deadline_in(
            arguments.parse_deadline_ms(request.environ.get("HTTP_X_REQUEST_DEADLINE_MS"))
        )

    def joint(*, is_adaptive: bool) -> Response:
        until = deadline()
        frame, traceparent = posted_frame(), request.environ.get("HTTP_TRACEPARENT")
        verdict = edge.joint(frame, until, traceparent, req_id=g.req_id, is_adaptive=is_adaptive)
        result, flat = joint_answer(verdict, is_chinese=web.is_chinese())
        return web.success(result, **flat)

    @app.post("/joint_predict")
    @describes(
        "Ask the pair about a picture.",
        tag=_ASK,
        result=answers.JointResult,
        flat=answers.JointFields,
        body=Pictures.ONE,
        headers=_DEADLINE,
    )
    def joint_predict() -> Response:
        return joint(is_adaptive=False)

    @app.post("/adaptive_predict")
    @describes(
        "Ask the pair, under the sliding-window rule.",
        tag=_ASK,
        result=answers.JointResult,
        flat=answers.JointFields,
        body=Pictures.ONE,
        headers=_DEADLINE,
    )
    def adaptive_predict() -> Response:
        return joint(is_adaptive=True)

    @app.post("/predict")
    @describes(
        "Ask the edge alone.",
        tag=_ASK,
        result=answers.EdgeResult,
        flat=answers.PredictFields,
        body=Pictures.ONE,
    )
    def predict() -> Response:
        classification = edge.classify(posted_frame())
        return web.success(
            _edge_result(classification),
            source=Source.EDGE.value,
            label=classification.label.value,
            confidence=_rounded(classification.confidence),
            model=(classification.model or edge.model).as_dict(),
        )

    @app.post("/batch_predict")
    @describes(
        "Ask about several pictures.",
        tag=_ASK,
        result=answers.BatchResult,
        body=Pictures.SEVERAL,
        fields=BatchFields,
        headers=_DEADLINE,
    )
    def batch_predict() -> Response:
        until = deadline()
        posted = web.read_posted(limits, several=True)
        web.take_req_id(posted.fields)
        camera = arguments.parse_fields(posted.fields).camera

        def framed(index: int) -> Frame:
            return edge.frame(read_picture(posted.picture(index), image_limits), camera)

        frames = [_or_error(framed, index) for index in range(len(posted.pictures))]
        good = [frame for frame in frames if isinstance(frame, Frame)]
        if request.args.get("joint") == "1":
            as_dict = functools.partial(_joint_flat, is_chinese=web.is_chinese())
            answers = iter([_item(v, as_dict) for v in edge.joint_many(good, until)])
        else:
            answers = iter([_item(_or_error(edge.classify, f), _edge_result) for f in good])
        items = [next(answers) if isinstance(f, Frame) else _item(f, _edge_result) for f in frames]
        results = [{"index": index, **item} for index, item in enumerate(items)]
        return web.success({"results": results, "failed": sum(r["err_no"] != 0 for r in results)})

    _add_status_routes(app, edge)


def _add_status_routes(app: Flask, edge: Edge) -> None:
    @app.get("/policy")
    @describes("Tell the day's money and the price.", tag=_LOOK, result=answers.PolicyAnswer)
    def policy() -> Response:
        return web.success(edge.policy_status())

    @app.get("/policy/audits")
    @describes(
        "Tell what random checks of quiet frames found.", tag=_LOOK, result=answers.AuditsAnswer
    )
    def audits() -> Response:
        return web.success(asdict(edge.audit_report()))

    @app.get("/policy/explain")
    @describes(
        "Tell what would be decided now, for free.",
        tag=_LOOK,
        result=answers.Explained,
        query=Question,
    )
    def explain() -> Response:
        asked = arguments.validated(Question, request.args.to_dict())
        seen = Classification(fire=asked.fire, smoke=asked.smoke)
        wish = edge.explain(asked.camera, seen)
        return web.success({"camera": asked.camera, **_edge_result(seen), "decision": _wish(wish)})

    @app.post("/models/reload")
    @describes("Take a newer classifier.", tag=_LOOK, result=ReloadAnswer)
    def reload() -> Response:
        return web.success(edge.reload().as_dict())

    @app.get("/cameras")
    @describes("Tell how the cameras are.", tag=_LOOK, result=answers.CamerasAnswer)
    def cameras() -> Response:
        return web.success({"cameras": edge.camera_states()})


class Question(BaseModel):
    """What `/policy/explain` is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    fire: float = Field(ge=0, le=1)
    smoke: float = Field(default=0.0, ge=0, le=1)
    camera: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    req_id: str | None = None


def _wish(wish: Wish) -> dict[str, Any]:
    return {
        "forward": wish.forward,
        "reason": wish.reason.value,
        "message": sentence(wish.reason, is_chinese=web.is_chinese()),
        "tier": wish.tier if wish.forward else None,
        "value": wish.value,
        "price": wish.price,
        "threshold": wish.threshold,
    }


def _or_error(make: Callable[[_A], _T], argument: _A) -> _T | FireError:
    try:
        return make(argument)
    except FireError as err:
        return err


def _item(value: Any, as_dict: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    if isinstance(value, FireError):
        full = arguments.problem(
            g.req_id, value, instance=request.path, is_chinese=web.is_chinese()
        )
        return {key: full[key] for key in ("err_no", "err_msg", "detail", "type", "retryable")}
    return {"err_no": 0, **as_dict(value)}


def _edge_result(classification: Classification) -> dict[str, Any]:
    return {
        "label": classification.label.value,
        "confidence": _rounded(classification.confidence),
        "fire": _rounded(classification.fire),
        "smoke": _rounded(classification.smoke),
        "detections": [_detection(d) for d in classification.where],
    }


def joint_answer(verdict: Verdict, *, is_chinese: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the result of a verdict, and the fields that stand beside it."""
    return _joint_result(verdict), _joint_flat(verdict, is_chinese=is_chinese)


def _joint_result(verdict: Verdict) -> dict[str, Any]:
    return {
        "frame_id": verdict.frame_id,
        "label": verdict.label.value,
        "confidence": _rounded(verdict.confidence),
        "detections": [_detection(d) for d in verdict.detections],
    }


def _joint_flat(verdict: Verdict, *, is_chinese: bool) -> dict[str, Any]:
    return {
        "source": verdict.source.value,
        "label": verdict.label.value,
        "confidence": _rounded(verdict.confidence),
        "edge_confidence": _rounded(verdict.edge.confidence),
        "edge": {"fire": _rounded(verdict.edge.fire), "smoke": _rounded(verdict.edge.smoke)},
        "detections": [_detection(d) for d in verdict.detections],
        "cost": verdict.decision.charged_micros / MICROS,
        "decision": _decision(verdict.decision),
        "message": sentence(verdict.decision.reason, is_chinese=is_chinese),
        "timing_ms": {stage: round(1000 * s, 2) for stage, s in verdict.stages_s.items()},
        "model": verdict.model,
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "forward": decision.forward,
        "reason": decision.reason.value,
        "policy": decision.policy.value,
        "tier": decision.tier,
        "value": decision.value,
        "threshold": None if decision.threshold is None else _rounded(decision.threshold),
        "price": decision.price,
        "charged": decision.charged_micros > 0,
        "budget_remaining": decision.budget_remaining_micros / MICROS,
    }


def _detection(detection: Detection) -> dict[str, Any]:
    return {
        "label": detection.label.value,
        "score": _rounded(detection.score),
        "box_xyxy": detection.box.as_list(),
    }


def _rounded(value: float) -> float:
    return round(value, 4)
