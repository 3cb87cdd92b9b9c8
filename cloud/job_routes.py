"""The routes that answer later: submit, fetch, cancel. Ring: rim."""

from __future__ import annotations

from typing import Any, Protocol

from flask import Flask, Response, g, request
from pydantic import Field

from cloud import answers as schemas
from cloud.caller import lane, owner
from cloud.config import CloudSettings
from cloud.jobs.answer import Answer
from cloud.jobs.callbacks import check_callback
from cloud.jobs.idempotency import Claim, fingerprint, read_key
from cloud.jobs.jobs import Job, JobBook, JobState
from cloud.jobs.keyed import Keyed
from cloud.routes import Door, say
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import FireError, RequestError
from shared.picture.imaging import read_picture
from shared.types import Picture
from shared.web import app as web
from shared.web import arguments, bodies
from shared.web.openapi import Pictures, Reply, describes

_POLL_S = "1"
_TAG = "Ask about pictures"
_HEADERS = {
    "X-Request-Deadline-Ms": "How long the result is wanted.",
    "Idempotency-Key": "The same key and request get the same job.",
}


class JobFields(arguments.PictureFields):
    """What may stand beside the picture of a job."""

    callback_url: str | None = Field(
        default=None, description="Called with the result; must be in `callbacks.allowed`."
    )


class Submitter(Door, Protocol):
    """The service, as these routes see it. Every call may raise FireError."""

    def submit(
        self, picture: Picture, deadline: Deadline, *, owner: str, callback_url: str | None
    ) -> str:
        """Accept a job; returns its id."""
        ...

    def job_deadline_in(self, milliseconds: int | None) -> Deadline:
        """Set a job's deadline, the default one for None."""
        ...


def add_job_routes(
    app: Flask,
    submitter: Submitter,
    jobs: JobBook,
    keyed: Keyed,
    settings: CloudSettings,
) -> None:
    """Add `/infer/async` and `/infer/result/<id>`."""
    routes = _JobRoutes(submitter, jobs, keyed, settings)
    one = "/infer/result/<job_id>"
    app.add_url_rule("/infer/async", view_func=routes.submit, methods=["POST"])
    app.add_url_rule(one, view_func=routes.result, methods=["GET"])
    app.add_url_rule(one, view_func=routes.cancel, methods=["DELETE"])


class _JobRoutes:
    """The routes about jobs, each a method."""

    def __init__(
        self, submitter: Submitter, jobs: JobBook, keyed: Keyed, settings: CloudSettings
    ) -> None:
        self._submitter = submitter
        self._jobs = jobs
        self._keyed = keyed
        self._limits = settings.limits
        self._allowed = settings.callbacks.allowed

    @describes(
        "Submit a picture, to be answered later.",
        tag=_TAG,
        says={202: Reply(text="Taken.", flat=schemas.Submitted)},
        body=Pictures.ONE,
        fields=JobFields,
        headers=_HEADERS,
        calls_back=schemas.Finished,
    )
    def submit(self) -> Response:
        given = request.headers.get("X-Request-Deadline-Ms")
        deadline = self._submitter.job_deadline_in(arguments.parse_deadline_ms(given))
        key = read_key(request.headers.get("Idempotency-Key"))
        self._submitter.knock(lane(), needs_place=False)
        posted = bodies.read_posted(self._limits)
        web.take_req_id(posted.fields)
        fields = dict(posted.fields)
        callback_url = self._callback(fields.pop("callback_url", None))
        arguments.parse_fields(fields)

        def work(_claim: Claim | None) -> Answer:
            picture = read_picture(posted.pictures[0], self._limits.image_limits())
            g.job_id = self._submitter.submit(
                picture, deadline, owner=owner(), callback_url=callback_url
            )
            return Answer.of({"request_id": g.job_id, "status": "submitted"})

        if key is None:
            return _accepted(work(None).result())
        asked = fingerprint(request.path, posted.pictures, posted.fields)
        return _accepted(self._keyed.result(key, asked, work))

    @describes(
        "Fetch a result, by the id of the job or the Idempotency-Key of the request.",
        tag=_TAG,
        result=schemas.KeptResult,
        flat=schemas.DoneFields,
        also={202: Reply(text="Not yet.", result=schemas.Pending, flat=schemas.JobFields)},
    )
    def result(self, job_id: str) -> Response:
        job = self._jobs.look(owner(), job_id)
        return _job_answer(job) if job else self._kept_answer(job_id)

    @describes("Take a job away.", tag=_TAG, result=schemas.Cancelled)
    def cancel(self, job_id: str) -> Response:
        job = self._jobs.remove(owner(), job_id)
        if job is None:
            raise _unknown(job_id)
        return web.success({"request_id": job_id, "was": job.state.value})

    def _callback(self, url: Any) -> str | None:
        if url is None:
            return None
        if not isinstance(url, str):
            raise RequestError(ErrorCode.REQUEST_FIELD_INVALID, "callback_url must be a string")
        return check_callback(url, self._allowed)

    def _kept_answer(self, key: str) -> Response:
        """Give the kept answer of a request by its Idempotency-Key, for a caller who did not wait for it."""
        kept = self._keyed.book.look(owner(), key)
        if kept is None:
            raise _unknown(key)
        if kept.answer is None:
            return _pending(key, JobState.RUNNING, 0)
        value = kept.answer.result()
        if isinstance(value, dict) and value.get("status") == "submitted":
            job = self._jobs.look(owner(), value["request_id"])
            if job is None:
                raise _unknown(key)
            return _job_answer(job)
        return say(value, request_id=key, status=JobState.DONE.value)


def _accepted(value: dict[str, str]) -> Response:
    body = arguments.envelope(g.req_id, None, **value)
    response = web.json_response(body, 202)
    response.headers["Location"] = f"/infer/result/{value['request_id']}"
    return response


def _job_answer(job: Job) -> Response:
    match job.state:
        case JobState.QUEUED | JobState.RUNNING:
            return _pending(job.job_id, job.state, job.position)
        case JobState.EXPIRED:
            raise RequestError(ErrorCode.RESULT_EXPIRED, f"{job.job_id} was kept for its time")
        case JobState.DONE | JobState.FAILED:
            return _finished(job)


def _finished(job: Job) -> Response:
    answer = job.answer or Answer()
    try:
        value = answer.result()
    except FireError as err:
        response = web.error_response(err, status=500)
        response.headers["X-Job-State"] = JobState.FAILED.value
        return response
    return say(value, request_id=job.job_id, status=JobState.DONE.value)


def _pending(job_id: str, state: JobState, position: int) -> Response:
    result = {"state": state.value, "position": position}
    response = say(result, 202, request_id=job_id, status=state.value)
    response.headers["Retry-After"] = _POLL_S
    return response


def _unknown(job_id: str) -> FireError:
    return RequestError(ErrorCode.RESULT_UNKNOWN, f"{job_id[:64]!r} is not known here")
