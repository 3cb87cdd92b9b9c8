"""What the cloud answers, as schemas. Ring: rim."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, RootModel

from cloud.jobs.jobs import JobState
from shared.types import Label
from shared.web.answers import Answer, FoundBox, ItemProblem, ModelName, Probability


class InferResult(Answer):
    """What the detector says of a picture."""

    label: Label
    confidence: Probability
    detections: list[FoundBox]
    width: int
    height: int
    cost: float
    latency_ms: float
    model: ModelName


class InferItem(InferResult):
    """One picture of several."""

    index: int
    err_no: Literal[0]


class BatchResult(Answer):
    """Several pictures, in order; one that is broken costs one error."""

    results: list[InferItem | ItemProblem]
    failed: int


class CostField(Answer):
    """What stands beside a result."""

    cost: float


class Submitted(Answer):
    """A job was taken; its id stands in `Location`, too."""

    request_id: str
    status: Literal["submitted"]


class Finished(Answer):
    """What the `callback_url` of a job gets: the result, or the error under which it ended."""

    request_id: str
    status: Literal["done", "failed"]
    err_no: int
    err_msg: str
    result: InferResult | None


class Pending(Answer):
    """Where a job stands."""

    state: JobState
    position: int


class JobFields(Answer):
    """What stands beside the answer to a job that waits."""

    request_id: str
    status: JobState


class KeptResult(RootModel[InferResult | BatchResult]):
    """The result of a job, or the kept answer of a request with an Idempotency-Key."""


class DoneFields(Answer):
    """What stands beside a finished result; `cost` where it is of one picture."""

    request_id: str
    status: Literal["done"]
    cost: float | None = None


class Cancelled(Answer):
    """A job that was taken away."""

    request_id: str
    was: JobState


class RunningModel(ModelName):
    """A model that runs, and on what."""

    providers: list[str]
    doubt: str | None = Field(description="What is not as it was wanted.")


class ModelsAnswer(Answer):
    """What runs."""

    models: list[RunningModel]


class ReferenceAnswer(RootModel[dict[str, Any]]):
    """What existing callers of `/fire_detector` get: an envelope, with `err_no` above 0 for most errors."""
