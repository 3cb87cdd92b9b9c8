"""The decision plane of a box: policy, memories, evidence and circumstances, built from the settings. Ring: rim."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import date, time, timedelta
from typing import Any

from edge.config.cameras import CameraSection
from edge.config.settings import EdgeSettings
from edge.decide.audit import Audit, AuditReport, report
from edge.decide.battery import Battery
from edge.decide.budget import BudgetManager
from edge.decide.decider import Decider, Link
from edge.decide.ledger import Ledger
from edge.decide.memory import Memories
from edge.decide.policies import Policy, PolicyName, Wish, build_simple_policy
from edge.decide.price import Circumstances, PriceSettings, Pricing, ValueModel
from edge.decide.priced import PricePolicy
from edge.decide.reasons import Reason
from edge.decide.uplink import Uplink
from edge.event.evidence import Evidence
from edge.fuse import Verdict
from shared.clock import Clock
from shared.deadline import Deadline
from shared.errors import StoreError
from shared.logs import get_logger
from shared.model.manifest import ValueSection
from shared.types import MICROS, Classification, Label, Source

_SIMULATED = ValueModel(a=0.4, b=-8.2, d=0.76, level_a=0.586, level_b=-6.308)
"""Fitted on simulated days of one frame a second, not on pictures: right in order, not in height."""


class DecisionPlane:
    """What decides, what it remembers, and what it can tell about itself; safe for use by many threads."""

    def __init__(
        self,
        settings: EdgeSettings,
        *,
        ledger: Ledger,
        model: ValueModel,
        latency_p90_s: Callable[[], float],
        clock: Clock,
        battery: Battery | None = None,
    ) -> None:
        """Take up the day where the ledger left it.

        Args:
            settings: of the service.
            ledger: charges and the day's first price.
            model: calibration of the classifier's score into the chance that a question pays.
            latency_p90_s: how long the cloud takes, from real calls.
            clock: wall time for the budget, monotonic for the memories.
            battery: None reads this machine's.
        """
        policy = settings.policy
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._latency_p90_s = latency_p90_s
        self._battery = battery or Battery(clock)
        self.budget = BudgetManager(
            limit_micros=policy.daily_limit_micros,
            monthly_limit_micros=policy.monthly_limit_micros,
            zone=policy.zone,
            store=ledger,
            now_at=clock.now_at,
        )
        is_price = policy.name is PolicyName.PRICE
        self._memories = Memories(veto_max_s=policy.veto_max_s, is_backing_off=is_price)
        pricing = Pricing(
            model,
            PriceSettings(**policy.price_settings()),
            random=random.random,
            store=ledger,
            spent_on=ledger.spent_on,
        )
        self._pricing = pricing
        self.price_policy = PricePolicy(
            pricing,
            self._memories,
            cost_micros=policy.cost_micros,
            today=self.budget.today,
            circumstances=self.circumstances,
            clock=clock,
        )
        self._policies: dict[PolicyName, Policy] = {PolicyName.PRICE: self.price_policy}
        self.evidence = Evidence(self._memories, score=self._score, clock=clock)

    def use(self, model: ValueModel) -> None:
        """Take the calibration of the classifier that has just taken over."""
        self._pricing.use(model)

    def decider(self, name: PolicyName, link: Link | None) -> Decider:
        """Build a decider for one of the policies; all share one budget and one link."""
        return Decider(
            self._policy(name),
            budget=self.budget,
            link=link,
            cost_micros=self._settings.policy.cost_micros,
        )

    def evidence_apart(self) -> Evidence:
        """Give evidence of its own, that shares nothing with the cameras' real one."""
        memories = Memories(veto_max_s=self._settings.policy.veto_max_s, is_backing_off=False)
        return Evidence(memories, score=self._score, clock=self._clock)

    def circumstances(self, camera: str | None, deadline: Deadline | None) -> Circumstances:
        """Tell priority, battery, latency and time as they are now."""
        cameras = self._settings.cameras
        weights = {name: self._weight(section) for name, section in cameras.items()}
        return Circumstances(
            weight=weights.get(camera, 1.0) if camera else 1.0,
            weights=sum(weights.values()) or 1.0,
            cameras=max(1, len(weights)),
            battery=self._battery.level(),
            deadline_s=deadline.remaining_s() if deadline else None,
            latency_s=self._latency_p90_s(),
        )

    def explain(self, camera: str | None, classification: Classification) -> Wish:
        """Tell what the configured policy would want now; nothing is charged or remembered."""
        return self._policy(self._settings.policy.name).explain(camera, classification)

    def ask_at(self, camera: str) -> float | None:
        """Tell the probability from which on a camera's frame would be asked about now."""
        return self._policy(self._settings.policy.name).ask_at(camera)

    def status(self) -> dict[str, Any]:
        """Tell the day's money, the price, and what each camera was told."""
        today = self.budget.today(None)
        policy = self._settings.policy
        rest = 1.0 - today.elapsed
        return {
            "policy": policy.name.value,
            "day": today.day,
            "elapsed": round(today.elapsed, 4),
            "daily_limit": today.limit_micros / MICROS,
            "spent": today.spent_micros / MICROS,
            "left": self.budget.remaining_micros() / MICROS,
            "cost_per_call": policy.cost_micros / MICROS,
            "reserve": {
                "routine": policy.reserve * today.limit_micros * rest / MICROS,
                "verify": policy.verify_reserve * today.limit_micros * rest / MICROS,
            },
            "price": self.price_policy.price(),
            "battery": self._battery.level(),
            "latency_p90_s": round(self._latency_p90_s(), 3),
            "cameras": {name: self._camera_status(name) for name in self._settings.cameras},
        }

    def note_audit(self, verdict: Verdict) -> None:
        """Keep the cloud's answer to a random check; a quiet frame where it saw something is a silent miss."""
        is_audit = verdict.decision.reason is Reason.CLOUD_AUDIT and verdict.source is Source.CLOUD
        if not is_audit:
            return
        audit = Audit(
            day=self.budget.today(None).day,
            camera=verdict.camera,
            presence=verdict.edge.presence,
            is_miss=verdict.edge.label is Label.NONE and verdict.label is not Label.NONE,
        )
        try:
            self._ledger.note_audit(verdict.decision.call_id, audit)
        except StoreError as err:
            get_logger().error("audit_not_kept", detail=err.detail)

    def audit_report(self) -> AuditReport:
        """Sum up today's audits against the seven days before."""
        today = date.fromisoformat(self.budget.today(None).day)
        first, last = today - timedelta(days=7), today - timedelta(days=1)
        return report(
            today.isoformat(),
            self._ledger.audits(today.isoformat(), today.isoformat()),
            self._ledger.audits(first.isoformat(), last.isoformat()),
        )

    def _score(self, x: float, resting_x: float) -> float:
        return self._pricing.model.score(x, resting_x)

    def _policy(self, name: PolicyName) -> Policy:
        if name not in self._policies:
            threshold = self._settings.policy.threshold
            self._policies[name] = build_simple_policy(name, threshold=threshold)
        return self._policies[name]

    def _camera_status(self, name: str) -> dict[str, Any]:
        memory, now_s = self._memories.peek(name), self._clock.mono_s()
        return {
            "spent": self.budget.today(name).camera_micros / MICROS,
            "weight": self._weight(self._settings.cameras[name]),
            "evidence": round(memory.evidence, 3),
            "noes_in_a_row": memory.noes,
            "vetoed_for_s": round(max(0.0, memory.veto_until_s - now_s), 1),
        }

    def _weight(self, camera: CameraSection) -> float:
        """Tell a camera's priority at this time of day."""
        if not camera.priority_hours:
            return camera.priority
        now = self._clock.now_at().astimezone(self._settings.policy.zone).time()
        hours = next((h for h in camera.priority_hours if _is_within(now, h.begin, h.end)), None)
        return hours.priority if hours else camera.priority


def value_model(value: ValueSection | None) -> ValueModel:
    """Take the calibration from a classifier's manifest; one without it is treated as the simulated edge was."""
    if value is None:
        return _SIMULATED
    return ValueModel(**value.model_dump(exclude={"prior"}))


def budgets_left(budget: BudgetManager, uplink: Uplink) -> dict[str, Callable[[], float]]:
    """Give what a box may run out of, by the metric's `kind`; what has no limit is not there."""
    left: dict[str, Callable[[], float]] = {"money": lambda: budget.remaining_micros() / MICROS}
    if budget.month_left_micros() is not None:
        left["month"] = lambda: (budget.month_left_micros() or 0) / MICROS
    if math.isfinite(uplink.available_bytes()):
        left["uplink_bytes"] = uplink.available_bytes
    return left


def _is_within(now: time, begin: time, end: time) -> bool:
    """Tell whether a time of day lies in a span, which may cross midnight."""
    return begin <= now < end if begin <= end else now >= begin or now < end
