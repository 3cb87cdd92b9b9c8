"""Takes requests in: rate, deadlines, and every refusal counted; the house does the rest. Ring: rim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cloud.config import CloudSettings
from cloud.engine import House, Inspected
from cloud.jobs.idempotency import Claim
from cloud.metrics import CloudMetrics
from shared.access.rate_limit import RateLimit
from shared.clock import Clock
from shared.deadline import Deadline
from shared.errors import FireError
from shared.types import Picture


class Reception:
    """The service as its routes see it, see `cloud.routes.Inspector` and `cloud.job_routes.Submitter`."""

    def __init__(
        self, settings: CloudSettings, house: House, metrics: CloudMetrics, clock: Clock
    ) -> None:
        """Start with every caller's rate unspent."""
        self._settings = settings
        self._house = house
        self._metrics = metrics
        self._clock = clock
        self._rate = RateLimit(clock, per_s=settings.rate.per_s, burst=settings.rate.burst)

    def deadline_in(self, milliseconds: int | None) -> Deadline:
        """Set a deadline, the configured one for None."""
        chosen_ms = self._settings.engine.deadline_ms if milliseconds is None else milliseconds
        return Deadline.after(chosen_ms / 1000, self._clock)

    def job_deadline_in(self, milliseconds: int | None) -> Deadline:
        """Set a job's deadline, the configured one for None."""
        default_s = self._settings.jobs.deadline_s
        seconds = default_s if milliseconds is None else milliseconds / 1000
        return Deadline.after(seconds, self._clock)

    def knock(self, caller: str, *, needs_place: bool) -> None:
        """Refuse before a body is parsed, see `cloud.routes.Door`."""
        with self._counting_refusals():
            self._rate.take(caller)
            if needs_place:
                self._house.refuse_if_full(caller)

    def count_more(self, caller: str, count: int) -> None:
        """Count further pictures of one call against the caller's rate, see `cloud.routes.Door`."""
        with self._counting_refusals():
            if count:
                self._rate.take(caller, count)

    def inspect(
        self, picture: Picture, deadline: Deadline, *, caller: str, claim: Claim | None = None
    ) -> Inspected:
        """Run one picture through the house, see `House.inspect`."""
        with self._counting_refusals():
            return self._house.inspect(picture, deadline, caller=caller, claim=claim)

    def inspect_many(
        self, pictures: Sequence[Picture], deadline: Deadline, *, caller: str
    ) -> list[Inspected | FireError]:
        """Run several pictures, see `House.inspect_many`."""
        with self._counting_refusals():
            return self._house.inspect_many(pictures, deadline, caller=caller)

    def submit(
        self, picture: Picture, deadline: Deadline, *, owner: str, callback_url: str | None
    ) -> str:
        """Accept a job, see `House.submit`."""
        with self._counting_refusals():
            return self._house.submit(picture, deadline, owner=owner, callback_url=callback_url)

    @contextmanager
    def _counting_refusals(self) -> Iterator[None]:
        try:
            yield
        except FireError as err:
            self._metrics.refused(err)
            raise
