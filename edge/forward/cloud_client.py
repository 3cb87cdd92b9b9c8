"""What the edge asks of a cloud, as an interface, with a pretended one for tests and demos. Ring: domain."""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from shared.breaker import Breaker
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import LinkError
from shared.ids import Trace
from shared.types import MICROS, Box, Detection, Label, Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudAnswer:
    """A usable answer: boxes in pixels of the picture that was sent; `model` names who gave it.

    `cost_micros`: what the cloud says that the call cost, in millionths; None when it does not say. `took_s`: how long
    it says that it worked on the picture; None when it does not say.
    """

    label: Label
    confidence: float
    detections: tuple[Detection, ...]
    model: dict[str, str]
    cost_micros: int | None = None
    took_s: float | None = None


def no_time_left() -> LinkError:
    """Give the error of a call whose turn came after its deadline: the box was busy, no cloud is to blame."""
    detail = "no time was left when its turn came"
    return LinkError(ErrorCode.DEADLINE_MISSED, detail, certainly_not_run=True)


def note_failure(breaker: Breaker, err: LinkError, call_id: str) -> None:
    """Tell a breaker what a call's error says of the cloud: one that refuses a picture is alive."""
    if err.code is ErrorCode.CLOUD_REFUSED:
        breaker.succeeded()
    elif err.code is ErrorCode.DEADLINE_MISSED:  # it was never asked
        breaker.abandoned(call_id)
    else:
        breaker.failed(call_id)


class CloudClient(Protocol):
    """One cloud, own or commercial; safe for use by several threads."""

    def infer(
        self, picture: Picture, *, call_id: str, deadline: Deadline, trace: Trace | None
    ) -> CloudAnswer:
        """Ask once, with retries inside the deadline.

        Args:
            picture: as it is to be sent.
            call_id: goes along as idempotency key; the same on every try.
            deadline: nothing may take longer, whatever the peer does.
            trace: the caller's W3C trace context, sent on.

        Raises:
            LinkError: no usable answer; says whether the call certainly did not run.
        """
        ...

    def report(self, body: bytes, deadline: Deadline) -> None:
        """Tell how this box is, once: JSON of `shared.fleet.EdgeReport`.

        Raises:
            LinkError: nobody heard it.
        """
        ...

    def close(self) -> None:
        """Let go of sockets."""
        ...


class MockCloudClient:
    """A pretended cloud: waits, then says what it was told to say (`mock:?latency_s=0.3&label=fire&cost=0.02`)."""

    def __init__(
        self,
        *,
        latency_s: float = 0.3,
        label: Label = Label.FIRE,
        cost: Decimal | None = None,
        is_failing: bool = False,
    ) -> None:
        """Keep what to pretend."""
        self._latency_s = latency_s
        self._cost_micros = None if cost is None else int(cost * MICROS)
        self._label = label
        self._is_failing = is_failing

    @classmethod
    def from_url(cls, url: str) -> MockCloudClient:
        """Read the pretence from a `mock:` URL.

        Raises:
            ValueError: an unknown label, a latency that is not a number of seconds, or an impossible cost.
        """
        query = {key: values[-1] for key, values in parse_qs(urlsplit(url).query).items()}
        latency_s = float(query.get("latency_s", "0.3"))
        if not 0.0 <= latency_s <= 600.0:
            raise ValueError("latency_s must be from 0 to 600")
        cost = _parse_cost(query["cost"]) if "cost" in query else None
        return cls(
            cost=cost,
            latency_s=latency_s,
            label=Label(query.get("label", "fire")),
            is_failing=query.get("fail", "0") == "1",
        )

    def infer(
        self, picture: Picture, *, call_id: str, deadline: Deadline, trace: Trace | None
    ) -> CloudAnswer:
        """Pretend; a latency beyond the deadline is a timeout."""
        time.sleep(min(self._latency_s, deadline.remaining_s()))
        if deadline.has_passed():
            raise LinkError(ErrorCode.CLOUD_TIMEOUT, "the pretended cloud was too slow")
        if self._is_failing:
            raise LinkError(
                ErrorCode.CLOUD_UNREACHABLE, "the pretended cloud is down", certainly_not_run=True
            )
        box = Box(x1=0.0, y1=0.0, x2=picture.width_px / 2, y2=picture.height_px / 2)
        found = (
            () if self._label is Label.NONE else (Detection(label=self._label, score=0.9, box=box),)
        )
        return CloudAnswer(
            label=self._label,
            confidence=0.9,
            detections=found,
            model={"name": "mock", "version": "0.0.0", "sha256_12": "0" * 12},
            cost_micros=self._cost_micros,
        )

    def report(self, body: bytes, deadline: Deadline) -> None:
        """Nobody to tell."""

    def close(self) -> None:
        """Nothing to let go of."""


def _parse_cost(text: str) -> Decimal:
    try:
        cost = Decimal(text)
    except InvalidOperation as err:
        raise ValueError("cost must be a number") from err
    if not (cost.is_finite() and 0 <= cost <= 1000):
        raise ValueError("cost must be from 0 to 1000")
    return cost
