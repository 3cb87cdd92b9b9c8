"""The one question to the cloud about the frame that an origin was found in. Ring: domain.

It is worth everything that is left: it may use the reserves and the last place on the link, and it is paid like any
other call.
"""

from __future__ import annotations

from dataclasses import replace

from edge.decide.decider import Budget, Decider, Link
from edge.decide.policies import PolicyName, Wish
from edge.decide.reasons import Reason
from edge.forward.cloud_client import CloudAnswer
from edge.pipeline import Forwards
from shared.clock import Clock
from shared.deadline import Deadline
from shared.types import Classification, Frame

_PATIENCE_S = 10.0  # nobody waits for it
# The frame was judged long ago; this rule does not look.
UNKNOWN = Classification(fire=0.5, smoke=0.5)


class AlwaysAsk:
    """The rule for this question, in the shape of a policy."""

    def __init__(self, name: PolicyName) -> None:
        """Keep the name of the configured policy, which the decision carries."""
        self.name = name

    def wish(
        self, camera: str | None, classification: Classification, deadline: Deadline | None = None
    ) -> Wish:
        """Want the call, and keep nothing back for others."""
        return Wish(forward=True, reason=Reason.CLOUD_ORIGIN, tier="origin")

    def explain(self, camera: str | None, classification: Classification) -> Wish:
        """Say the same without asking."""
        return self.wish(camera, classification)

    def ask_at(self, camera: str | None) -> float | None:
        """Ask whatever the probability."""
        return 0.0


class OriginCheck:
    """Asks the cloud about one frame; called from one thread."""

    def __init__(
        self,
        policy: PolicyName,
        *,
        budget: Budget,
        link: Link,
        forwarder: Forwards,
        cost_micros: int,
        clock: Clock,
    ) -> None:
        """Keep who pays and who carries; `link` and `forwarder` are two sides of one thing."""
        self._decider = Decider(
            AlwaysAsk(policy), budget=budget, link=link, cost_micros=cost_micros
        )
        self._forwarder = forwarder
        self._clock = clock

    def ask(self, frame: Frame) -> CloudAnswer | None:
        """Ask about a frame; None while money or link are not to be had."""
        deadline = Deadline.after(_PATIENCE_S, self._clock)
        # A charge and a call of its own: the frame may have been sent once before, under its own name.
        question = replace(frame, frame_id=f"{frame.frame_id}-origin")
        decision = self._decider.decide(question, UNKNOWN, deadline)
        if not decision.forward:
            return None
        promised = self._forwarder.send(question, decision, deadline)
        return self._forwarder.wait(promised, decision, deadline).answer
