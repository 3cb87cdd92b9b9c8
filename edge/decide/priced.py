"""The `price` policy at work: brings the rules, the memories, the day's money and the circumstances together.

Ring: domain; what it asks for is passed in as callables.
"""

from __future__ import annotations

from collections.abc import Callable

from edge.decide.budget import Today
from edge.decide.memory import Memories
from edge.decide.policies import PolicyName, Wish
from edge.decide.price import Appraisal, Circumstances, Kept, Pricing, Spending, Tier
from edge.decide.reasons import Reason
from shared.clock import Clock
from shared.deadline import Deadline
from shared.types import Classification

_SENT = {
    Tier.ROUTINE: Reason.CLOUD_ROUTINE,
    Tier.AUDIT: Reason.CLOUD_AUDIT,
    Tier.VERIFY: Reason.CLOUD_VERIFY,
    Tier.CONFIRM: Reason.CLOUD_CONFIRM,
}
_KEPT = {
    Kept.BELOW_PRICE: Reason.EDGE_BELOW_PRICE,
    Kept.ALREADY_ASKED: Reason.EDGE_ALREADY_ASKED,
    Kept.ALREADY_ALARMED: Reason.EDGE_ALREADY_ALARMED,
    Kept.FAIR_SHARE: Reason.EDGE_FAIR_SHARE,
    Kept.BATTERY: Reason.EDGE_BATTERY,
    Kept.TOO_LATE: Reason.FALLBACK_TOO_LATE,
}
_URGENT = (Tier.VERIFY, Tier.CONFIRM)  # the last place on the link is theirs


class PricePolicy:
    """Value against price; safe for use by many threads."""

    name = PolicyName.PRICE

    def __init__(
        self,
        pricing: Pricing,
        memories: Memories,
        *,
        cost_micros: int,
        today: Callable[[str | None], Today],
        circumstances: Callable[[str | None, Deadline | None], Circumstances],
        clock: Clock,
    ) -> None:
        """Keep what to ask.

        Args:
            pricing: the rules.
            memories: of all cameras; their lock also guards the rules.
            cost_micros: of one call.
            today: the day's money, for a camera.
            circumstances: priority, battery, latency and time, for a camera and a deadline.
            clock: of the memories.
        """
        self._pricing = pricing
        self._memories = memories
        self._cost_micros = cost_micros
        self._today = today
        self._circumstances = circumstances
        self._clock = clock

    def wish(
        self, camera: str | None, classification: Classification, deadline: Deadline | None = None
    ) -> Wish:
        """Judge one frame; a camera that waits for an answer does not ask again."""
        with self._memories.of(camera) as memory:
            if memory is not None and memory.is_in_flight:
                return Wish(forward=False, reason=Reason.EDGE_ALREADY_ASKED)
            appraisal = self._pricing.appraise(
                classification.score,
                self._clock.mono_s(),
                memory,
                self.spending(camera),
                self._circumstances(camera, deadline),
            )
        return _as_wish(appraisal)

    def explain(self, camera: str | None, classification: Classification) -> Wish:
        """Tell what would be decided now, and change nothing."""
        with self._memories.of(camera) as memory:
            appraisal = self._pricing.appraise(
                classification.score,
                self._clock.mono_s(),
                memory,
                self.spending(camera),
                self._circumstances(camera, None),
            )
        return _as_wish(appraisal)

    def ask_at(self, camera: str | None) -> float | None:
        """Tell the probability at which value meets price now."""
        with self._memories.of(camera) as memory:
            return self._pricing.ask_at(
                self._clock.mono_s(),
                memory,
                self.spending(camera),
                self._circumstances(camera, None),
            )

    def spending(self, camera: str | None) -> Spending:
        """Give the day's money in the form of the rules."""
        today = self._today(camera)
        return Spending(
            day=today.day,
            limit=today.limit_micros,
            spent=today.spent_micros,
            camera_spent=today.camera_micros,
            cost=self._cost_micros,
            elapsed=today.elapsed,
        )

    def price(self) -> float:
        """Tell the price of a look now."""
        with self._memories.of(None):
            around = self._circumstances(None, None)
            return self._pricing.price(self.spending(None), around.battery)


def _as_wish(appraisal: Appraisal) -> Wish:
    if appraisal.tier is None:
        reason = _KEPT[appraisal.kept or Kept.BELOW_PRICE]
        return Wish(forward=False, reason=reason, value=appraisal.value, price=appraisal.price)
    return Wish(
        forward=True,
        reason=_SENT[appraisal.tier],
        tier=appraisal.tier.value,
        value=appraisal.value,
        price=appraisal.price,
        keep_micros=appraisal.keep,
        keep_places=0 if appraisal.tier in _URGENT else 1,
    )
