"""The four facts that stand at the same place every day: cameras, link, calls, evidence. Ring: rim, pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from edge.record.retention import Forecast
from edge.ui.speech import Speech
from shared.breaker import BreakerState

_FAR_DAYS = 3650.0  # a forecast of more says only that the disk is large


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The day's calls in per cent of all: used, planned by now, where the reserve begins."""

    used: float
    plan: float
    reserve: float | None
    label: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Vital:
    """One fact: what, how much, a remark, and what stands at the other end of its first line."""

    href: str
    name: Markup
    value: Markup | str
    small: Markup | str
    end: Markup | str = ""
    plan: Plan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkNow:
    """The way to the cloud; `state` is None without one; latencies of the calls of the last minutes, None without."""

    state: BreakerState | None
    median_s: float | None
    p90_s: float | None


def show_vitals(
    up: int,
    configured: int,
    link: LinkNow,
    away_s: float | None,
    budget: Mapping[str, Any] | None,
    evidence: Forecast | None,
    speech: Speech,
) -> tuple[Vital, ...]:
    """Put the four together; what is away says so."""
    return (
        _cameras(up, configured, speech),
        show_link(link, away_s, speech),
        show_calls(budget, speech),
        _evidence(evidence, speech),
    )


def _cameras(up: int, configured: int, speech: Speech) -> Vital:
    name = speech.t("now.v_cameras")
    if configured == 0:
        return Vital(href="/ui/settings", name=name, value="0", small=speech.t("now.v_none"))
    away = configured - up
    small = speech.t("now.v_away", n=away) if away else speech.t("now.v_fresh")
    value = speech.t("now.v_of", up=up, n=configured)
    return Vital(href="/ui/health", name=name, value=value, small=small)


def show_link(link: LinkNow, away_s: float | None, speech: Speech) -> Vital:
    """Say how the way to the cloud is; `away_s`: for how long it has been a trouble."""
    name, small = speech.t("now.v_link"), speech.t("now.v_link_unasked")
    value: Markup | str
    if link.state is None:
        value, small = speech.t("now.v_link_none"), speech.t("now.v_link_none_small")
    elif link.state is not BreakerState.CLOSED:
        value = speech.t("now.v_link_down")
        span = speech.duration(away_s or 0.0)
        small = speech.t("now.v_link_down_for", span=span)
    elif link.median_s is None:
        value = speech.t("now.v_link_unknown")
    else:
        value = speech.milliseconds(link.median_s)
        small = speech.t("now.v_link_median")
    return Vital(href="/ui/health", name=name, value=value, small=small)


def show_calls(budget: Mapping[str, Any] | None, speech: Speech) -> Vital:
    """Say how many calls were made, against the even plan of the day."""
    name = speech.t("now.v_calls")
    if budget is None or budget["cost_per_call"] <= 0 or budget["daily_limit"] <= 0:
        return Vital(href="/ui/budget", name=name, value="–", small=speech.t("now.v_no_budget"))
    cost = budget["cost_per_call"]
    most, used = int(budget["daily_limit"] / cost + 1e-9), round(budget["spent"] / cost)
    planned = round(most * budget["elapsed"])
    gap = planned - used
    if gap == 0:
        gap_words = speech.t("now.v_on_plan")
    else:
        gap_words = speech.t("now.v_under" if gap > 0 else "now.v_over", n=speech.number(abs(gap)))
    is_priced = budget["policy"] == "price"
    key = "now.v_calls_of" if is_priced else "now.v_calls_free"
    shown = {"n": speech.number(most), "gap": gap_words, "price": f"{budget['price']:.3f}"}
    label = speech.t(
        "now.v_plan_label",
        used=speech.number(used),
        n=speech.number(most),
        plan=speech.number(planned),
    )
    reserve = (
        100 * (1 - budget["reserve"]["routine"] / budget["daily_limit"]) if is_priced else None
    )
    return Vital(
        href="/ui/budget",
        name=name,
        value=speech.number(used),
        small=speech.t(key, **shown),
        end=speech.t("now.v_plan", n=speech.number(planned)),
        plan=Plan(
            used=round(100 * used / max(1, most), 1),
            plan=round(100 * budget["elapsed"], 1),
            reserve=None if reserve is None else round(reserve, 1),
            label=label,
        ),
    )


def _evidence(evidence: Forecast | None, speech: Speech) -> Vital:
    name = speech.t("now.v_evidence")
    if evidence is None:
        return Vital(href="/ui/health", name=name, value="–", small=speech.t("now.v_disk_trouble"))
    value = speech.t("now.v_evidence_days", n=evidence.keep_days)
    if evidence.days_left is None or evidence.days_left > _FAR_DAYS:
        small = speech.t("now.v_disk_ok")
    else:
        small = speech.t("now.v_disk_days", n=speech.number(evidence.days_left))
    return Vital(href="/ui/health", name=name, value=value, small=small)
