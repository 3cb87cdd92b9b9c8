"""The page *Budget*. Ring: rim."""

from __future__ import annotations

from datetime import datetime, timedelta

from flask import Blueprint, Response

from edge.box.tally import CONFIDENCE_STEPS, Counts, Tally
from edge.decide.policies import PolicyName
from edge.ui.budget_model import (
    REASONS,
    money_facts,
    show_audits,
    show_cameras_spend,
    show_reasons,
    show_spend_chart,
    show_thresholds,
)
from edge.ui.kit import Kit, or_none
from edge.ui.vitals_model import show_calls
from edge.ui.what_if_model import show_what_if

_THRESHOLD_DAYS = 7


def add_budget(console: Blueprint, kit: Kit) -> None:
    """Add the page."""

    @console.get("/ui/budget")
    def show_budget() -> Response:
        speech, tally = kit.speech(), kit.parts.tally
        status = or_none(kit.status.policy_status)
        titles = {name: kit.title_of(name) for name in kit.settings.cameras}
        today = tally.hour_of(speech.now)[:10]
        cameras = show_cameras_spend(status, titles, speech) if status else ()
        spends = or_none(lambda: tally.between(f"{today}T00", f"{today}T23", ("charged",))) or {}
        reasons = or_none(lambda: tally.days(today, today, REASONS)) or {}
        policy = kit.settings.policy
        hours, thresholds = 0, None
        if policy.name is PolicyName.FIXED:
            hours, steps = or_none(lambda: _week(tally, speech.now)) or (0, {})
            thresholds = show_thresholds(steps, max(1, hours) / 24, speech)
        return kit.render(
            "budget.html",
            speech,
            title=speech.t("page.budget"),
            current="budget",
            calls=show_calls(status, speech),
            facts_list=money_facts(status, speech) if status else (),
            spend=show_spend_chart(spends, status, speech) if status else None,
            cameras=cameras,
            unspent=len(status["cameras"]) - len(cameras) if status else 0,
            reasons=show_reasons(reasons, speech),
            audits=show_audits(or_none(kit.status.audit_report), speech),
            what_if=show_what_if(
                kit.parts.what_if(),
                limit_micros=policy.daily_limit_micros,
                rule=policy.name,
                speech=speech,
            ),
            thresholds=thresholds,
            threshold_hours=hours,
            policy=speech.t(f"policy.{policy.name.value}"),
        )


def _week(tally: Tally, now: datetime) -> tuple[int, Counts]:
    """Tell in how many hours of the last days anything was seen, and how sure the edge was."""
    first, today = (tally.hour_of(now - timedelta(days=n))[:10] for n in (_THRESHOLD_DAYS - 1, 0))
    seen = tally.between(f"{first}T00", f"{today}T23", ("frames",))
    names = [f"confidence.{step:02d}" for step in range(CONFIDENCE_STEPS)]
    return len({key.hour for key in seen}), tally.days(first, today, names)
