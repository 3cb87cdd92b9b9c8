"""The routes that ask about pictures: parse, call, format. Ring: rim."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeVar

from flask import Flask, Response, g, request
from pydantic import Field

from edge import answers, wire
from edge.caller import Caller, caller
from edge.config.settings import EdgeSettings
from edge.fuse import Verdict
from shared.config import LimitsSection
from shared.deadline import Deadline
from shared.errors import FireError
from shared.picture.imaging import read_picture
from shared.types import (
    Classification,
    Frame,
    ModelIdentity,
    Picture,
    Source,
)
from shared.web import app as web
from shared.web import arguments, bodies
from shared.web.arguments import Posted
from shared.web.language import is_chinese
from shared.web.openapi import Pictures, describes

_A = TypeVar("_A")
_T = TypeVar("_T")
_TAG = "Ask about pictures"
_DEADLINE = {"X-Request-Deadline-Ms": "How long the caller waits, 1…600000."}


class BatchFields(arguments.PictureFields):
    """What may stand beside several pictures; `joint` stands in the query."""

    joint: Literal["0", "1"] = Field(default="0", description="1 asks the pair about each.")


class Line(Protocol):
    """The way that posted frames take, see `edge.lines.CallerLine`. Every call may raise FireError."""

    @property
    def model(self) -> ModelIdentity:
        """Name the classifier."""
        ...

    def knock(self, caller: Caller, camera: str | None) -> None:
        """Refuse before a body is parsed, when there is no place."""
        ...

    def frame(self, picture: Picture, camera: str | None) -> Frame:
        """Make a posted picture a frame."""
        ...

    def deadline_in(self, milliseconds: int | None) -> Deadline:
        """Set a deadline, the configured one for None."""
        ...

    def classify(self, frame: Frame, deadline: Deadline, caller: Caller) -> Classification:
        """Ask the edge alone."""
        ...

    def joint(
        self, frame: Frame, deadline: Deadline, caller: Caller, *, is_adaptive: bool
    ) -> Verdict:
        """Ask the pair."""
        ...

    def joint_many(
        self, frames: Sequence[Frame], deadline: Deadline, caller: Caller
    ) -> list[Verdict | FireError]:
        """Ask the pair about several frames; one that fails does not take the others down."""
        ...


def add_routes(app: Flask, line: Line, settings: EdgeSettings) -> None:
    """Add the routes that ask about pictures."""
    asked = _Asked(line, settings.limits)
    _add_joint(app, asked)
    _add_edge_only(app, asked)
    _add_batch(app, asked)


class _Asked:
    """Reads what the current request posted, and answers with what the line says of it."""

    def __init__(self, line: Line, limits: LimitsSection) -> None:
        self._line = line
        self._limits = limits
        self._image_limits = limits.image_limits()

    def joint(self, *, is_adaptive: bool) -> Response:
        until = self._deadline()
        frame = self._frame()
        verdict = self._line.joint(frame, until, caller(), is_adaptive=is_adaptive)
        beside = wire.joint_fields(verdict, is_chinese=is_chinese())
        response = web.success(wire.joint_result(verdict), **beside)
        response.headers["Server-Timing"] = web.server_timing(wire.stages_ms(verdict))
        return response

    def edge_only(self) -> Response:
        until = self._deadline()
        seen = self._line.classify(self._frame(), until, caller())
        response = web.success(
            wire.edge_result(seen),
            source=Source.EDGE.value,
            label=seen.label.value,
            confidence=wire.rounded(seen.confidence),
            model=self._model_of(seen),
        )
        response.headers["Server-Timing"] = web.server_timing(wire.edge_stages_ms(seen))
        return response

    def batch(self) -> Response:
        until = self._deadline()
        frames = self._frames()
        good = [frame for frame in frames if isinstance(frame, Frame)]
        is_joint = request.args.get("joint") == "1"
        ask = self._joint_items if is_joint else self._edge_items
        answered = iter(ask(good, until))
        items = [next(answered) if isinstance(f, Frame) else _problem_item(f) for f in frames]
        results = [{"index": index, **item} for index, item in enumerate(items)]
        return web.success({"results": results, "failed": sum(r["err_no"] != 0 for r in results)})

    def _joint_items(self, frames: list[Frame], until: Deadline) -> list[dict[str, Any]]:
        as_dict = functools.partial(wire.joint_fields, is_chinese=is_chinese())
        verdicts = self._line.joint_many(frames, until, caller())
        return [_item(verdict, as_dict) for verdict in verdicts]

    def _edge_items(self, frames: list[Frame], until: Deadline) -> list[dict[str, Any]]:
        classify = functools.partial(self._line.classify, deadline=until, caller=caller())
        return [_item(_or_error(classify, frame), self._edge_item) for frame in frames]

    def _edge_item(self, seen: Classification) -> dict[str, Any]:
        return {**wire.edge_result(seen), "model": self._model_of(seen)}

    def _model_of(self, seen: Classification) -> dict[str, str]:
        return (seen.model or self._line.model).as_dict()

    def _deadline(self) -> Deadline:
        given = request.environ.get("HTTP_X_REQUEST_DEADLINE_MS")
        until = self._line.deadline_in(arguments.parse_deadline_ms(given))
        return until.earlier(web.waited_s())

    def _frame(self) -> Frame:
        return self._framed(*self._posted(several=False), 0)

    def _frames(self) -> list[Frame | FireError]:
        posted, camera = self._posted(several=True)
        framed = functools.partial(self._framed, posted, camera)
        return [_or_error(framed, index) for index in range(len(posted.pictures))]

    def _posted(self, *, several: bool) -> tuple[Posted, str | None]:
        self._line.knock(caller(), request.args.get("camera"))
        posted = bodies.read_posted(self._limits, several=several)
        web.take_req_id(posted.fields)
        return posted, arguments.parse_fields(posted.fields).camera

    def _framed(self, posted: Posted, camera: str | None, index: int) -> Frame:
        picture = read_picture(posted.picture(index), self._image_limits)
        return self._line.frame(picture, camera)


def _add_joint(app: Flask, asked: _Asked) -> None:
    @app.post("/joint_predict")
    @describes(
        "Ask the pair about a picture.",
        tag=_TAG,
        result=answers.JointResult,
        flat=answers.JointFields,
        body=Pictures.ONE,
        headers=_DEADLINE,
    )
    def joint_predict() -> Response:
        return asked.joint(is_adaptive=False)

    @app.post("/adaptive_predict")
    @describes(
        "Ask the pair, under the sliding-window rule.",
        tag=_TAG,
        result=answers.JointResult,
        flat=answers.JointFields,
        body=Pictures.ONE,
        headers=_DEADLINE,
    )
    def adaptive_predict() -> Response:
        return asked.joint(is_adaptive=True)


def _add_edge_only(app: Flask, asked: _Asked) -> None:
    @app.post("/predict")
    @describes(
        "Ask the edge alone.",
        tag=_TAG,
        result=answers.EdgeResult,
        flat=answers.PredictFields,
        body=Pictures.ONE,
    )
    def predict() -> Response:
        return asked.edge_only()


def _add_batch(app: Flask, asked: _Asked) -> None:
    @app.post("/batch_predict")
    @describes(
        "Ask about several pictures.",
        tag=_TAG,
        result=answers.BatchResult,
        body=Pictures.SEVERAL,
        fields=BatchFields,
        headers=_DEADLINE,
    )
    def batch_predict() -> Response:
        return asked.batch()


def _or_error(make: Callable[[_A], _T], argument: _A) -> _T | FireError:
    try:
        return make(argument)
    except FireError as err:
        return err


def _item(value: _T | FireError, as_dict: Callable[[_T], dict[str, Any]]) -> dict[str, Any]:
    if isinstance(value, FireError):
        return _problem_item(value)
    return {"err_no": 0, **as_dict(value)}


def _problem_item(error: FireError) -> dict[str, Any]:
    full = arguments.problem(g.req_id, error, instance=request.path, is_chinese=is_chinese())
    return {key: full[key] for key in ("err_no", "err_msg", "detail", "type", "retryable")}
