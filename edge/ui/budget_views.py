"""The page *Budget*. Ring: rim."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, Response

from edge.policies import PolicyName
from edge.ui.budget_model import (
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
        first = tally.hour_of(speech.now - timedelta(days=_THRESHOLD_DAYS))
        week = or_none(lambda: tally.between(first, f"{today}T23")) or {}
        counts = {key: count for key, count in week.items() if key.hour.startswith(today)}
        hours = len({key.hour for key in week})
        policy = kit.settings.policy
        is_fixed = policy.name is PolicyName.FIXED
        return kit.render(
            "budget.html",
            speech,
            title=speech.t("page.budget"),
            current="budget",
            calls=show_calls(status, speech),
            facts_list=money_facts(status, speech) if status else (),
            spend=show_spend_chart(counts, status, speech) if status else None,
            cameras=show_cameras_spend(status, titles, speech) if status else (),
            reasons=show_reasons(counts, speech),
            audits=show_audits(or_none(kit.status.audit_report), speech),
            what_if=show_what_if(
                kit.parts.what_if(),
                limit_micros=policy.daily_limit_micros,
                rule=policy.name,
                speech=speech,
            ),
            thresholds=show_thresholds(week, max(1, hours) / 24, speech) if is_fixed else None,
            threshold_hours=hours,
            policy=speech.t(f"policy.{policy.name.value}"),
        )
