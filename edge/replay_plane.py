"""The box that a recording is played to: policy, budget, evidence, events and origins of its own. Ring: rim."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import datetime

from edge.config import PolicySection
from edge.config_events import EventsSection
from edge.decide import Decider
from edge.events import Events
from edge.evidence import Evidence
from edge.memory import Memories
from edge.origin_check import AlwaysAsk
from edge.plane import value_model
from edge.policies import Policy, PolicyName, build_simple_policy
from edge.price import Circumstances, PriceSettings, Pricing, ValueModel
from edge.priced import PricePolicy
from edge.recording import Recording
from edge.replay import (
    OpenLink,
    ReplayBudget,
    ReplayClock,
    Replayed,
    replay,
)
from edge.replay_origin import ReplayOrigins, Trace
from edge.zones import Masks
from shared.ids import new_id
from shared.manifest import Artifact

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPlane:
    """What recordings are played to. `daily_limit`: calls a day. `trace`: finds origins, None looks for none."""

    artifact: Artifact
    begins_at: datetime
    daily_limit: int
    trace: Trace | None

    def play(self, recording: Recording, name: PolicyName) -> Replayed:
        """Play one recording under one policy, with a fresh budget and memory."""
        clock = ReplayClock(self.begins_at)
        calls = math.ceil(self.daily_limit * min(1.0, recording.length_s / _DAY_S))
        cost_micros = PolicySection().cost_micros
        budget = ReplayBudget(
            limit_micros=calls * cost_micros, clock=clock, length_s=recording.length_s
        )
        memories = Memories(is_backing_off=name is PolicyName.PRICE)
        model = value_model(self.artifact.manifest.value)
        policy = _policy(name, model, memories, budget, clock)
        return replay(
            recording.name,
            recording.moments,
            policy=name.value,
            clock=clock,
            decider=Decider(policy, budget=budget, link=OpenLink(), cost_micros=cost_micros),
            evidence=Evidence(memories, score=model.score, clock=clock),
            events=Events(
                EventsSection().event_settings(),
                masks=Masks({}),
                clock=clock,
                new_id=lambda: new_id(clock.now_at()),
            ),
            preroll=EventsSection().preroll(clock),
            origins=self._origins(recording, name, budget, clock),
            model=self.artifact.identity,
            truth=recording.is_fire,
        )

    def _origins(
        self, recording: Recording, name: PolicyName, budget: ReplayBudget, clock: ReplayClock
    ) -> ReplayOrigins | None:
        if self.trace is None or recording.is_log:
            return None
        may_ask = name is not PolicyName.EDGE_ONLY
        cost_micros = PolicySection().cost_micros
        check = Decider(AlwaysAsk(name), budget=budget, link=OpenLink(), cost_micros=cost_micros)
        return ReplayOrigins(self.trace, decider=check if may_ask else None, clock=clock)


def _policy(
    name: PolicyName,
    model: ValueModel,
    memories: Memories,
    budget: ReplayBudget,
    clock: ReplayClock,
) -> Policy:
    settings = PolicySection()
    if name is not PolicyName.PRICE:
        return build_simple_policy(name, threshold=settings.threshold)
    pricing = Pricing(
        model,
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
        circumstances=lambda camera, deadline: Circumstances(),
        clock=clock,
    )


class _NoStore:
    """A replay has no yesterday."""

    def load(self) -> tuple[str, float] | None:
        return None

    def save(self, day: str, first_price: float) -> None:
        pass
