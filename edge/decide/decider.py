"""Decide whether a frame goes to the cloud, and pay for it. Ring: domain; the gates are passed in.

The policy says what it wants; then, in this order, the deadline, the link and the budget say whether it can be had.
A decision that forwards has taken a place on the link and holds an open charge; `forward` gives both back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edge.decide.budget import DISK_WITHIN_S
from edge.decide.policies import Policy, PolicyName, Wish
from edge.decide.reasons import Reason
from shared.deadline import Deadline
from shared.errors import StoreError
from shared.types import Classification, Frame

_LEAST_USEFUL_S = 0.05  # below the round trip of any real link; asking then would only spend money


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Keep at the edge or forward, with the one reason that ruled."""

    forward: bool
    reason: Reason
    policy: PolicyName
    tier: str
    call_id: str
    value: float | None
    threshold: float | None
    price: float | None
    charged_micros: int
    budget_remaining_micros: int


class Budget(Protocol):
    """What the decision needs of the budget."""

    def check_and_deduct(
        self,
        cost_micros: int,
        *,
        call_id: str,
        camera: str | None,
        tier: str,
        keep_micros: int,
        within_s: float,
    ) -> bool:
        """Pay for one call, or say that it cannot be paid."""
        ...

    def remaining_micros(self) -> int:
        """Tell what is left today."""
        ...


class Link(Protocol):
    """What the decision needs of the way to the cloud."""

    def enter(self, call_id: str, keep_places: int) -> Reason | None:
        """Take a place for one call and leave some free; a reason when there is none."""
        ...

    def expected_s(self) -> float:
        """Tell how long a call usually takes, 0 when not known."""
        ...

    def leave(self, call_id: str) -> None:
        """Give back a place whose call was never sent."""
        ...


class Decider:
    """Holds a policy against deadline, link and budget; safe for use by many threads."""

    def __init__(
        self, policy: Policy, *, budget: Budget, link: Link | None, cost_micros: int
    ) -> None:
        """Keep the gates; without a `link` every frame stays at the edge."""
        self._policy = policy
        self._budget = budget
        self._link = link
        self._cost_micros = cost_micros

    def decide(self, frame: Frame, classification: Classification, deadline: Deadline) -> Decision:
        """Decide for one frame.

        Args:
            frame: its id is the id of the call and of the charge.
            classification: what the edge thinks of it.
            deadline: of whoever waits.

        Returns:
            with `forward`, the caller must pass it to the forwarder; otherwise nothing is held.
        """
        wish = self._policy.wish(frame.camera, classification, deadline)
        if not wish.forward:
            return self._decision(frame, wish, wish.reason, forward=False)
        if self._link is None:
            return self._decision(frame, wish, Reason.EDGE_POLICY, forward=False)
        refusal = self._pass_gates(frame, wish, self._link, deadline)
        return self._decision(frame, wish, refusal or wish.reason, forward=refusal is None)

    def _pass_gates(
        self, frame: Frame, wish: Wish, link: Link, deadline: Deadline
    ) -> Reason | None:
        if deadline.remaining_s() < max(_LEAST_USEFUL_S, link.expected_s()):
            return Reason.FALLBACK_TOO_LATE
        refusal = link.enter(frame.frame_id, wish.keep_places)
        if refusal is not None:
            return refusal
        is_paid = False
        try:
            is_paid = self._budget.check_and_deduct(
                self._cost_micros,
                call_id=frame.frame_id,
                camera=frame.camera,
                tier=wish.tier,
                keep_micros=wish.keep_micros,
                within_s=min(DISK_WITHIN_S, deadline.remaining_s() / 2),  # the call needs the rest
            )
        except StoreError:  # money that cannot be booked is money we do not have
            return Reason.FALLBACK_LEDGER_DOWN
        finally:
            if not is_paid:
                link.leave(frame.frame_id)
        if is_paid:
            return None
        could_pay = self._budget.remaining_micros() >= self._cost_micros
        is_reserve = wish.keep_micros > 0 and could_pay
        return Reason.FALLBACK_RESERVE_KEPT if is_reserve else Reason.FALLBACK_BUDGET_EMPTY

    def _decision(self, frame: Frame, wish: Wish, reason: Reason, *, forward: bool) -> Decision:
        return Decision(
            forward=forward,
            reason=reason,
            policy=self._policy.name,
            tier=wish.tier,
            call_id=frame.frame_id,
            value=wish.value,
            threshold=wish.threshold,
            price=wish.price,
            charged_micros=self._cost_micros if forward else 0,
            budget_remaining_micros=self._budget.remaining_micros(),
        )
