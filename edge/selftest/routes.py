"""`GET /selftest` and `POST /selftest`. Ring: rim."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from edge.selftest.rules import TestResult
from edge.selftest.selftest import SelfTest
from shared.web import app as web
from shared.web import arguments
from shared.web.answers import Answer
from shared.web.openapi import Reply, describes

_TAG = "Test alarms"


class Wish(BaseModel):
    """What `POST /selftest` may say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    camera: str | None = Field(
        default=None,
        max_length=64,
        description="Which camera; the one tested longest ago when absent.",
    )
    cloud: bool = Field(default=False, description="Ask the cloud about one picture, for money.")
    req_id: str | None = None


class TestAnswer(Answer):
    """What came of the last test of a camera."""

    __test__ = False

    camera: str
    began_at: AwareDatetime
    passed: bool
    why: str = Field(description="What failed; empty when it passed.")
    event_id: str | None
    event_s: float | None = Field(description="Seconds until its event opened.")
    alert_s: float | None = Field(description="Seconds until the last sink had the alert.")
    sinks: dict[str, bool] = Field(description="Whether each sink that is told at once had it.")


class TestsAnswer(Answer):
    """What is known of test alarms."""

    __test__ = False

    running: str | None = Field(description="The camera whose test has no result yet.")
    results: list[TestAnswer]


def add_selftest_routes(app: Flask, selftest: SelfTest) -> None:
    """Add both routes."""

    @app.get("/selftest")
    @describes("Tell what came of the test alarms.", tag=_TAG, result=TestsAnswer)
    def selftests() -> Response:
        return web.success(_status(selftest))

    @app.post("/selftest")
    @describes(
        "Begin a test alarm.",
        tag=_TAG,
        body=Wish,
        says={202: Reply(text="It has begun; GET tells its result.", result=TestsAnswer)},
    )
    def begin_selftest() -> Response:
        raw = request.get_data(cache=False)
        values = arguments.parse_json_object(raw) if raw else {}
        web.take_req_id(values)
        wish = arguments.validated(Wish, values)
        selftest.begin(wish.camera, is_cloud_asked=wish.cloud)
        response = web.success(_status(selftest))
        response.status_code = 202
        return response


def _status(selftest: SelfTest) -> dict[str, Any]:
    return {
        "running": selftest.running(),
        "results": [_row(result) for result in selftest.results()],
    }


def _row(result: TestResult) -> dict[str, Any]:
    return {
        "camera": result.camera,
        "began_at": result.began_at.isoformat(),
        "passed": result.is_passed,
        "why": result.why,
        "event_id": result.event_id,
        "event_s": result.event_s,
        "alert_s": result.alert_s,
        "sinks": dict(result.sinks),
    }
