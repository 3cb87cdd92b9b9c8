"""The box that a recording is played to: policy, budget, evidence, events and origins of its own. Ring: rim."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from edge.config.events import EventsSection
from edge.config.policy import PolicySection
from edge.decide.decider import Decider
from edge.decide.memory import Memories
from edge.decide.policies import Policy, PolicyName, build_simple_policy
from edge.decide.price import Circumstances, PriceSettings, Pricing, ValueModel
from edge.decide.priced import PricePolicy
from edge.event.events import Events
from edge.event.evidence import Evidence
from edge.origin.check import AlwaysAsk
from edge.replay.origin import ReplayOrigins, Trace
from edge.replay.replay import (
    OpenLink,
    Recording,
    ReplayBox,
    ReplayBudget,
    ReplayClock,
    Replayed,
    replay,
)
from edge.zones.zones import Masks
from shared.deadline import Deadline
from shared.ids import new_id
from shared.types import ModelIdentity

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPlane:
    """What recordings are played to.

    `value`: calibration of the classifier's score. `daily_limit`: calls a day. `trace`: finds origins, None looks for
    none. `circumstances`: of a camera and a deadline, those of one lone camera unless given.
    """

    model: ModelIdentity
    value: ValueModel
    begins_at: datetime
    daily_limit: int
    trace: Trace | None = None
    policy: PolicySection = field(default_factory=PolicySection)
    circumstances: Callable[[str | None, Deadline | None], Circumstances] = (
        lambda camera, deadline: Circumstances()
    )

    def play(self, recording: Recording, name: PolicyName) -> Replayed:
        """Play one recording under one policy, with a fresh budget and memory."""
        clock = ReplayClock(self.begins_at)
        calls = math.ceil(self.daily_limit * min(1.0, recording.length_s / _DAY_S))
        cost_micros = self.policy.cost_micros
        budget = ReplayBudget(
            limit_micros=calls * cost_micros, clock=clock, length_s=recording.length_s
        )
        is_price = name is PolicyName.PRICE
        memories = Memories(veto_max_s=self.policy.veto_max_s, is_backing_off=is_price)
        policy = self._policy(name, memories, budget, clock)
        box = ReplayBox(
            clock=clock,
            decider=Decider(policy, budget=budget, link=OpenLink(), cost_micros=cost_micros),
            evidence=Evidence(memories, score=self.value.score, clock=clock),
            events=Events(
                EventsSection().event_settings(),
                masks=Masks({}),
                clock=clock,
                new_id=lambda: new_id(clock.now_at()),
            ),
            preroll=EventsSection().preroll(clock),
            origins=self._origins(recording, name, budget, clock),
            model=self.model,
        )
        return replay(recording, name.value, box)

    def _origins(
        self, recording: Recording, name: PolicyName, budget: ReplayBudget, clock: ReplayClock
    ) -> ReplayOrigins | None:
        if self.trace is None or recording.is_log:
            return None
        may_ask = name is not PolicyName.EDGE_ONLY
        cost_micros = self.policy.cost_micros
        check = Decider(AlwaysAsk(name), budget=budget, link=OpenLink(), cost_micros=cost_micros)
        return ReplayOrigins(self.trace, decider=check if may_ask else None, clock=clock)

    def _policy(
        self, name: PolicyName, memories: Memories, budget: ReplayBudget, clock: ReplayClock
    ) -> Policy:
        settings = self.policy
        if name is not PolicyName.PRICE:
            return build_simple_policy(name, threshold=settings.threshold)
        pricing = Pricing(
            self.value,
            PriceSettings(**settings.price_settings()),
            random=random.Random(0).random,
            store=_NoStore(),
            spent_on=lambda day: 0,
        )
        return PricePolicy(
            pricing,
            memories,
            cost_micros=settings.cost_micros,
            today=budget.today,
            circumstances=self.circumstances,
            clock=clock,
        )


class _NoStore:
    """A replay has no yesterday."""

    def load(self) -> tuple[str, float] | None:
        return None

    def save(self, day: str, first_price: float) -> None:
        pass
