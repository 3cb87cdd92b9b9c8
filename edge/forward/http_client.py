"""The cloud over HTTP: requests for the connection pool, tenacity for the retries. Ring: adapter (network).

The cloud's answer is hostile until it was parsed: bounded bytes, no redirects, no compression, strict values.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import requests
import tenacity
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from tenacity.stop import stop_base
from urllib3.exceptions import ConnectTimeoutError as Urllib3ConnectTimeout
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError

from edge.forward.clock_skew import ClockSkew
from edge.forward.cloud_client import CloudAnswer, no_time_left
from shared.access.auth import Signer
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import LinkError
from shared.fleet import PATH
from shared.ids import Trace, continue_trace
from shared.types import MICROS, Box, Detection, Label, Picture
from shared.web.http_date import read_http_date
from shared.web.socket_deadline import DeadlineAdapter, SocketDeadlines

_MAX_ANSWER_BYTES = 1_000_000  # 100 boxes are 10 kB; more than this is not an answer
# The cloud is well; other 4xx mean that we talk to it wrongly.
_ABOUT_THE_PICTURE = frozenset({400, 413, 415, 422})
_LEAST_TRY_S = 0.05  # a try with less time left than this is not started


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    """How often and how patiently to ask; everything stays inside the caller's deadline."""

    tries: int
    timeout_s: float
    """Longest single try. Too small: a slow but healthy cloud looks dead; too large: no time for the second try."""
    first_pause_s: float
    longest_pause_s: float


DEFAULT_RETRY = RetrySettings(tries=2, timeout_s=1.0, first_pause_s=0.1, longest_pause_s=1.0)
CLASSIC_RETRY = RetrySettings(tries=3, timeout_s=1.5, first_pause_s=1.0, longest_pause_s=10.0)
"""tenacity's tutorial values: stop_after_attempt(3), wait_exponential(multiplier=1, min=1, max=10)."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


_Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]


class _WireDetection(_Strict):
    label: Literal["fire", "smoke"]
    score: float = Field(ge=0, le=1)
    box_xyxy: tuple[_Coordinate, _Coordinate, _Coordinate, _Coordinate]


class _WireModel(_Strict):
    name: str = Field(max_length=64)
    version: str = Field(max_length=64)
    sha256_12: str = Field(max_length=12)


class _WireResult(_Strict):
    label: Label
    confidence: float = Field(ge=0, le=1)
    detections: tuple[_WireDetection, ...] = Field(max_length=300)
    model: _WireModel
    cost: Decimal | None = Field(default=None, ge=0, le=1_000_000)
    latency_ms: float | None = Field(default=None, ge=0, le=86_400_000)

    @model_validator(mode="after")
    def _no_boxes_of_nothing(self) -> Self:
        """Believe a fire without a box, but not boxes beside a `none`: nobody can tell which of the two is meant."""
        if self.label is Label.NONE and self.detections:
            raise ValueError("the label is none, yet there are boxes")
        return self


class _WireAnswer(_Strict):
    err_no: Literal[0]
    result: _WireResult


class HttpCloudClient:
    """Speaks to one Emberlink cloud; safe for use by as many threads as `pool_size`."""

    def __init__(
        self,
        url: str,
        retry: RetrySettings,
        *,
        pool_size: int,
        on_try: Callable[[], None] = lambda: None,
        signer: Signer | None = None,
        skew: ClockSkew | None = None,
    ) -> None:
        """Prepare a pooled session; nothing is sent yet. With a `signer` every try is signed."""
        self._skew = skew
        self._base = url
        self._signer = signer
        self._retry = retry
        self._on_try = on_try
        self._deadlines = SocketDeadlines()
        self._session = requests.Session()
        # No proxy or netrc look-up on every call; halves the client's CPU.
        self._session.trust_env = False
        adapter = DeadlineAdapter(pool_connections=1, pool_maxsize=pool_size)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def infer(
        self, picture: Picture, *, call_id: str, deadline: Deadline, trace: Trace | None
    ) -> CloudAnswer:
        """Ask, see `CloudClient.infer`."""
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._retry.tries) | _StopWhenLate(deadline),
            wait=self._pause,
            retry=tenacity.retry_if_exception(_is_worth_another_try),
            reraise=True,
        )
        may_have_run = False
        for attempt in retrying:
            with attempt:
                try:
                    return self._ask_once(picture, call_id, deadline, trace)
                except LinkError as err:
                    may_have_run = may_have_run or not err.certainly_not_run
                    # One try that may have run decides for the call.
                    err.certainly_not_run = not may_have_run
                    raise
        raise AssertionError("tenacity either returns or raises")

    def report(self, body: bytes, deadline: Deadline) -> None:
        """Tell how this box is, see `CloudClient.report`."""
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        response, answer = self._post(PATH, body, headers, deadline.remaining_s())
        if response.status_code != 200:
            raise _refusal(response, answer)

    def close(self) -> None:
        """Close pooled sockets."""
        self._session.close()
        self._deadlines.stop()

    def _pause(self, state: tenacity.RetryCallState) -> float:
        exponential = tenacity.wait_exponential(
            multiplier=self._retry.first_pause_s,
            min=self._retry.first_pause_s,
            max=self._retry.longest_pause_s,
        )
        error = state.outcome.exception() if state.outcome else None
        asked_s = error.retry_after_s if isinstance(error, LinkError) else None
        jitter = tenacity.wait_random(0.8, 1.2)(state)
        return max(exponential(state) * jitter, (asked_s or 0.0) * max(1.0, jitter))

    def _ask_once(
        self, picture: Picture, call_id: str, deadline: Deadline, trace: Trace | None
    ) -> CloudAnswer:
        seconds = min(self._retry.timeout_s, deadline.remaining_s())
        if seconds <= 0.0:
            raise no_time_left()
        self._on_try()
        headers = {
            "Content-Type": picture.media_type.value,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "X-Request-ID": call_id,
            "Idempotency-Key": call_id,
            "Prefer": "wait=60",  # a second try gets the first one's answer as soon as it is there
            "X-Request-Deadline-Ms": str(max(1, int(seconds * 1000))),
            **continue_trace(trace),
        }
        sent_at = self._skew.now_at() if self._skew else None
        response, body = self._post("/infer", picture.encoded, headers, seconds)
        if self._skew and sent_at and (told_at := read_http_date(response.headers.get("Date", ""))):
            self._skew.note(sent_at, told_at)
        return _parse(response, body)

    def _post(
        self, path: str, body: bytes, headers: dict[str, str], seconds: float
    ) -> tuple[requests.Response, bytes]:
        """Send a body, signed where a signer is, and read the whole answer within `seconds`; 0 sends nothing."""
        if seconds <= 0.0:
            raise no_time_left()
        url = f"{self._base}{path}"
        if self._signer:
            headers |= self._signer.headers("POST", urlsplit(url).path, "", body)
        with self._deadlines.call(seconds) as call:
            try:
                with self._session.post(
                    url,
                    data=body,
                    headers=headers,
                    timeout=(seconds, seconds),
                    stream=True,
                    allow_redirects=False,
                ) as response:
                    return response, _read_bounded(response)
            except (requests.RequestException, HTTPError, OSError) as err:
                raise _as_link_error(err, is_late=call.is_over) from err


class _StopWhenLate(stop_base):
    """Do not start a pause and a try that cannot finish before the deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def __call__(self, state: tenacity.RetryCallState) -> bool:
        return self._deadline.remaining_s() < state.upcoming_sleep + _LEAST_TRY_S


def _is_worth_another_try(error: BaseException) -> bool:
    return isinstance(error, LinkError) and error.code.row.retryable


def _read_bounded(response: requests.Response) -> bytes:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise LinkError(
            ErrorCode.CLOUD_BAD_ANSWER, "the answer is compressed though that was not asked for"
        )
    body = bytearray()
    while chunk := response.raw.read1(65_536):
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            raise LinkError(
                ErrorCode.CLOUD_BAD_ANSWER, f"the answer is longer than {_MAX_ANSWER_BYTES} bytes"
            )
    return bytes(body)


def _as_link_error(err: Exception, *, is_late: bool) -> LinkError:
    causes = _causes(err)
    never_connected = any(isinstance(c, NewConnectionError | Urllib3ConnectTimeout) for c in causes)
    if (
        is_late
        or isinstance(err, requests.Timeout)
        or any(isinstance(c, TimeoutError) for c in causes)
    ):
        return LinkError(
            ErrorCode.CLOUD_TIMEOUT, "no whole answer in time", certainly_not_run=never_connected
        )
    if isinstance(
        err, requests.exceptions.InvalidHeader | requests.exceptions.ContentDecodingError
    ):
        return LinkError(ErrorCode.CLOUD_BAD_ANSWER, type(err).__name__)
    detail = str(causes[-1])[:200] or type(causes[-1]).__name__
    if any(isinstance(c, ProtocolError) for c in causes) and not never_connected:
        detail = f"connection broke: {detail}"
    return LinkError(ErrorCode.CLOUD_UNREACHABLE, detail, certainly_not_run=never_connected)


def _causes(err: BaseException) -> list[BaseException]:
    found: list[BaseException] = [err]
    while len(found) < 10:
        inner = found[-1].__cause__ or found[-1].__context__ or getattr(found[-1], "reason", None)
        if not isinstance(inner, BaseException):
            nested = [a for a in found[-1].args if isinstance(a, BaseException)]
            if not nested:
                break
            inner = nested[0]
        found.append(inner)
    return found


def _parse(response: requests.Response, body: bytes) -> CloudAnswer:
    if response.status_code != 200:
        raise _refusal(response, body)
    try:
        wire = _WireAnswer.model_validate(json.loads(body))
    except (ValueError, ValidationError, RecursionError) as err:
        raise LinkError(
            ErrorCode.CLOUD_BAD_ANSWER, f"{type(err).__name__}: {str(err)[:200]}"
        ) from err
    result = wire.result
    return CloudAnswer(
        label=result.label,
        confidence=result.confidence,
        detections=tuple(
            Detection(
                label=Label(d.label),
                score=d.score,
                box=Box(**dict(zip(("x1", "y1", "x2", "y2"), d.box_xyxy, strict=True))),
            )
            for d in result.detections
        ),
        model=result.model.model_dump(),
        cost_micros=None if result.cost is None else round(result.cost * MICROS),
        took_s=None if result.latency_ms is None else result.latency_ms / 1000,
    )


def _refusal(response: requests.Response, body: bytes) -> LinkError:
    """Tell what a status other than 200 means; 4xx and 503 say that nothing was run."""
    status, err_no, detail = response.status_code, _err_no(body), f"HTTP {response.status_code}"
    if err_no is not None:
        known = next((c.row.text_en for c in ErrorCode if c.row.number == err_no), "")
        detail += f", err_no {err_no} {known}".rstrip()
    if status in (429, 503):
        return LinkError(
            ErrorCode.CLOUD_OVERLOADED,
            detail,
            retry_after_s=_retry_after_s(response),
            certainly_not_run=True,
        )
    if status == 504 and err_no == ErrorCode.DEADLINE_MISSED.row.number:
        return LinkError(ErrorCode.CLOUD_REFUSED, detail, certainly_not_run=True)
    if err_no == ErrorCode.IDEMPOTENCY_RUNNING.row.number:
        # An earlier try of ours is still at work there: too slow, not wrong.
        return LinkError(ErrorCode.CLOUD_TIMEOUT, detail, retry_after_s=_retry_after_s(response))
    if status in _ABOUT_THE_PICTURE:
        return LinkError(ErrorCode.CLOUD_REFUSED, detail, certainly_not_run=True)
    if 400 <= status < 500:
        is_locked_out = status in (401, 403)
        return LinkError(
            ErrorCode.CLOUD_BAD_ANSWER,
            detail,
            certainly_not_run=True,
            is_locked_out=is_locked_out,
        )
    if status == 504:
        return LinkError(ErrorCode.CLOUD_TIMEOUT, detail)
    if status >= 500:
        return LinkError(ErrorCode.CLOUD_UNREACHABLE, detail)
    return LinkError(ErrorCode.CLOUD_BAD_ANSWER, detail)


def _err_no(body: bytes) -> int | None:
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    number = value.get("err_no") if isinstance(value, dict) else None
    return number if isinstance(number, int) else None


def _retry_after_s(response: requests.Response) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None
