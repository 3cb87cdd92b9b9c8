"""How pictures reach the model, as an interface. Ring: domain.

`local_engine` is one process with one session thread; `redis_engine` puts a queue between machines: a front end has a
house, too, and a worker is at the other end. Both run the same `BatchRunner` through `run_each`, and the same tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cloud.jobs.idempotency import AnswerBook, Claim
from cloud.jobs.jobs import JobBook
from shared.access.auth import Nonces
from shared.deadline import Deadline
from shared.errors import FireError
from shared.model.detect import RawOutput
from shared.types import Picture, Reloaded
from shared.watch.trouble import Trouble


class BatchRunner(Protocol):
    """Runs the network on some pictures at once."""

    def __call__(self, tensors: Sequence[NDArray[np.float32]]) -> list[RawOutput]:
        """Run a batch.

        Args:
            tensors: each of shape (1, 3, H, W), float32, all of one canvas.

        Returns:
            one output a tensor, in order.

        Raises:
            ModelError(MODEL_FAILED)
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """What one turn with the model did, for the metrics."""

    size: int
    waits_s: tuple[float, ...]
    run_s: float
    dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """One finished picture: the wire form of what was found, and the milliseconds of each stage."""

    result: dict[str, Any]
    stage_ms: dict[str, float]


class House(Protocol):
    """Takes pictures in and gives what was found. Every call may raise FireError; safe for use by many threads."""

    @property
    def jobs(self) -> JobBook:
        """Give where jobs are known."""
        ...

    @property
    def answers(self) -> AnswerBook:
        """Give where answers are kept by Idempotency-Key."""
        ...

    @property
    def nonces(self) -> Nonces:
        """Give where used nonces are remembered."""
        ...

    def start(self) -> None:
        """Load what is needed; nothing is taken in before."""
        ...

    def stop(self, timeout: Deadline) -> None:
        """Take nothing in any more, finish what was accepted as far as the time goes, then end."""
        ...

    def trouble(self) -> str | None:
        """Tell why nothing can be taken in; None when it can."""
        ...

    def troubles(self, now_at: datetime) -> list[Trouble]:
        """Tell what is wrong, also where answers are given all the same; nothing of starting and stopping."""
        ...

    def refuse_if_full(self, caller: str) -> None:
        """Refuse before a body is parsed.

        Raises:
            ModelError(MODEL_NOT_READY), FireError(CLOUD_OVERLOADED)
        """
        ...

    def inspect(
        self, picture: Picture, deadline: Deadline, *, caller: str, claim: Claim | None = None
    ) -> Inspected:
        """Run one picture through the house.

        Args:
            picture: its header was read.
            deadline: nothing waits longer.
            caller: callers share the places.
            claim: when CLOUD_TIMEOUT is raised the model is still at work; its end settles this.

        Raises:
            ModelError(MODEL_NOT_READY), FireError(CLOUD_OVERLOADED), ImageError
            FireError(DEADLINE_MISSED): too late, and it was not run.
            FireError(CLOUD_TIMEOUT): too late, or at the stop, while the model was or may have been at work.
        """
        ...

    def inspect_many(
        self, pictures: Sequence[Picture], deadline: Deadline, *, caller: str
    ) -> list[Inspected | FireError]:
        """Run several, each with its own outcome; raises when they are refused as a whole."""
        ...

    def submit(
        self, picture: Picture, deadline: Deadline, *, owner: str, callback_url: str | None
    ) -> str:
        """Accept a job; returns its id.

        Raises:
            ModelError(MODEL_NOT_READY), FireError(CLOUD_OVERLOADED)
        """
        ...

    def models(self) -> list[dict[str, Any]]:
        """Tell what runs."""
        ...

    def reload(self) -> Reloaded:
        """Take the newest version of the model."""
        ...

    def go_back(self) -> Reloaded:
        """Take the version before the one that runs; it stays until the next `reload`."""
        ...

    def waiting(self) -> Mapping[str, int]:
        """Tell how many pictures wait for the session (`queue`) and how many jobs wait (`jobs`)."""
        ...


def run_each(
    run_batch: BatchRunner, tensors: Sequence[NDArray[np.float32]]
) -> list[RawOutput | FireError]:
    """Run a batch and give each picture its outcome; one poison picture costs one error, not a batch of them."""
    try:
        return list(run_batch(tensors))
    except FireError as err:
        if len(tensors) == 1:
            return [err]
        return [outcome for tensor in tensors for outcome in run_each(run_batch, [tensor])]
