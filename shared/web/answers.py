"""What both services answer, as schemas: the document at `/openapi.json` is made of them. Ring: rim."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.roles import Role
from shared.types import Label
from shared.watch.trouble import TroubleKind

Probability = Annotated[float, Field(ge=0, le=1)]
BoxCorners = Annotated[
    list[float],
    Field(min_length=4, max_length=4, description="x1, y1, x2, y2 in pixels of the file."),
]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Answer(BaseModel):
    """Base of every answer's schema: what is not named here is not answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(Answer):
    """Any error: our envelope and an RFC 9457 problem document in one object."""

    req_id: str
    err_no: int = Field(ge=1, description="Stable number of the error, see /errors.")
    err_msg: str
    result: None
    type: str = Field(description="Path of the page that explains it.")
    title: str
    status: int
    detail: str
    instance: str
    retryable: bool = Field(description="Whether the same request is worth another try.")


class ItemProblem(Answer):
    """One picture of several that could not be answered."""

    index: int
    err_no: int = Field(ge=1)
    err_msg: str
    detail: str
    type: str
    retryable: bool


class ModelName(Answer):
    """Which model gave an answer."""

    name: str
    version: str
    sha256_12: str = Field(description="First 12 digits of the file's SHA-256.")


class FoundBox(Answer):
    """One thing that was found."""

    label: Label
    score: Probability
    box_xyxy: BoxCorners


class ReloadAnswer(Answer):
    """What a look for a newer model did."""

    changed: bool
    model: ModelName
    before: ModelName | None


class Healthy(Answer):
    """The service runs."""

    status: Literal["healthy", "alive"]


class CheckAnswer(Answer):
    """One thing that was looked at."""

    state: Literal["ok", "degraded", "failed"]
    text: str


class Readiness(Answer):
    """Whether the service can do its job, check by check."""

    status: Literal["ready", "degraded", "not_ready"]
    checks: dict[str, CheckAnswer]


class LimitsAnswer(Answer):
    """What pictures may be."""

    max_bytes: int
    max_pixels: int
    max_batch: int
    formats: list[str]


class VersionAnswer(Answer):
    """What runs."""

    name: str
    version: str
    commit: str
    model: ModelName | None
    policy: str | None = None
    limits: LimitsAnswer


class WhoAnswer(Answer):
    """Who asks, and the token that a browser's changes carry in `X-CSRF-Token`."""

    name: str
    role: Role
    csrf_token: str | None


class AuditLineAnswer(Answer):
    """Who changed something, or looked at evidence."""

    number: int
    at: AwareDatetime
    name: str
    role: str
    address: str
    action: str
    subject: str
    outcome: Literal["begun", "refused", "failed", "seen"]
    req_id: str


class AuditAnswer(Answer):
    """Lines, newest first; `next` is the cursor for the page after."""

    lines: list[AuditLineAnswer]
    next: int | None


class TroubleAnswer(Answer):
    """Something about the system that a person can do something about."""

    kind: TroubleKind
    subject: str
    code: str
    cause: str
    remedy: str
    since: AwareDatetime
    lasts_s: float
    needs_acknowledgement: bool
    acknowledged_by: str | None
    acknowledged_at: AwareDatetime | None


class TroublesAnswer(Answer):
    """Everything that is wrong now."""

    troubles: list[TroubleAnswer]


class OpenApiDocument(BaseModel):
    """An OpenAPI 3.1 document."""

    openapi: Literal["3.1.0"]
    info: dict[str, Any]
    paths: dict[str, Any]
