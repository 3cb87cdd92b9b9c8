"""What *Budget* shows: spend against plan, why frames were sent, what audits found, what another threshold would ask.

Ring: rim, pure functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from edge.box.tally import CONFIDENCE_STEPS, Counts, total
from edge.decide.audit import AuditReport
from edge.decide.reasons import Reason
from edge.ui.speech import Speech
from edge.ui.try_model import Fact

_FEW_AUDITS = 30

REASONS = tuple(f"reason.{reason.value}" for reason in Reason)
"""Names of the counts of why frames went where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonRow:
    """One reason of today: how often, its share of all frames, as a bar in per cent of the most frequent one."""

    words: Markup
    code: str
    went: str
    went_words: Markup
    count: str
    share: str
    bar: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BandRow:
    """Audits of one band of edge probabilities."""

    name: str
    audits: int
    misses: int
    bound: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPanel:
    """What random checks of quiet frames found; `sentence` says it, and is all before the first check."""

    sentence: Markup
    rows: tuple[BandRow, ...]
    has_drifted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSpend:
    """What one camera was given today, in per cent of what the most expensive one was."""

    title: str
    spent: str
    weight: str
    bar: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart for uPlot as JSON, and the sentence that says the same."""

    data: str
    sentence: Markup


def show_reasons(counts: Counts, speech: Speech) -> tuple[ReasonRow, ...]:
    """Count today's reasons, the most frequent first within those that were sent, fell back and were kept."""
    found = {reason: total(counts, f"reason.{reason.value}") for reason in Reason}
    frames = max(1, sum(found.values()))
    most = max(1, *(n for reason, n in found.items()))
    order = {"sent": 0, "fallback": 1, "kept": 2}
    rows = [
        ReasonRow(
            words=speech.t(f"reason.{reason.value}"),
            code=reason.value,
            went=_went(reason),
            went_words=speech.t(f"went.{_went(reason)}"),
            count=speech.number(count),
            share=speech.fine_percent(count / frames),
            bar=round(100 * count / most, 1),
        )
        for reason, count in sorted(found.items(), key=lambda item: -item[1])
        if count
    ]
    return tuple(sorted(rows, key=lambda row: order[row.went]))


def _went(reason: Reason) -> str:
    if reason.is_fallback:
        return "fallback"
    return "sent" if reason.value.startswith("cloud_") else "kept"


def show_audits(report: AuditReport | None, speech: Speech) -> AuditPanel | None:
    """Say what random checks found, with the honest width that few of them have."""
    if report is None:
        return None
    whole = report.total
    if whole.audits == 0:
        sentence = speech.t("budget.no_audits")
    else:
        sentence = speech.t(
            "budget.audited",
            n=whole.audits,
            misses=whole.misses,
            bound=speech.fine_percent(whole.upper_bound),
        )
        if whole.audits < _FEW_AUDITS:
            sentence = speech.sentences([sentence, speech.t("budget.few_audits")])
    return AuditPanel(
        sentence=sentence,
        rows=tuple(
            BandRow(
                name=band.name,
                audits=band.audits,
                misses=band.misses,
                bound=speech.fine_percent(band.upper_bound) if band.audits else "–",
            )
            for band in report.bands
            if whole.audits
        ),
        has_drifted=report.has_drifted,
    )


def show_cameras_spend(
    status: Mapping[str, Any], titles: Mapping[str, str], speech: Speech
) -> tuple[CameraSpend, ...]:
    """List what each camera was given that was given anything, the most expensive first."""
    cameras: Mapping[str, Mapping[str, Any]] = status["cameras"]
    spends = sorted(cameras.items(), key=lambda camera: -camera[1]["spent"])
    most = max((camera["spent"] for camera in cameras.values()), default=0.0)
    return tuple(
        CameraSpend(
            title=titles.get(name, name),
            spent=speech.number(camera["spent"], 2),
            weight=f"{camera['weight']:g}",
            bar=round(100 * camera["spent"] / most, 1),
        )
        for name, camera in spends
        if camera["spent"] > 0
    )


def money_facts(status: Mapping[str, Any], speech: Speech) -> tuple[Fact, ...]:
    """Say what is left, what is kept for whom, and what a look costs."""
    rows: list[tuple[str, str]] = [
        ("left", speech.number(status["left"], 2)),
        ("limit", speech.number(status["daily_limit"], 2)),
        ("cost", f"{status['cost_per_call']:g}"),
    ]
    if status["policy"] == "price":
        rows += [
            ("price", f"{status['price']:.4f}"),
            ("reserve_routine", speech.number(status["reserve"]["routine"], 2)),
            ("reserve_verify", speech.number(status["reserve"]["verify"], 2)),
        ]
    if status["battery"] is not None:
        rows.append(("battery", speech.percent(status["battery"])))
    return tuple(Fact(name=speech.t(f"budget.{name}"), text=text) for name, text in rows)


def show_spend_chart(counts: Counts, status: Mapping[str, Any], speech: Speech) -> Chart:
    """Draw the day's spend by the hour against the even plan."""
    limit, hours_gone = status["daily_limit"], 24 * status["elapsed"]
    spent, spends = 0.0, [0.0]
    for hour in range(24):
        in_hour = total(counts, "charged", lambda key, h=hour: key.hour.endswith(f"T{h:02d}"))  # type: ignore[misc] # the default binds it now
        spent += in_hour / 1_000_000
        spends.append(round(spent, 4))
    shown = [value if hour <= hours_gone + 1 else None for hour, value in enumerate(spends)]
    plan = [round(limit * hour / 24, 4) for hour in range(25)]
    data = {
        "x": list(range(25)),
        "lines": [
            {"name": speech.t("budget.spent"), "kind": "calm", "y": shown},
            {"name": speech.t("budget.plan"), "kind": "plan", "y": plan},
        ],
        "unit": speech.t("budget.hour"),
        "side": speech.t("budget.spent"),
        "steps": [1, 2, 3, 6, 12],
    }
    sentence = speech.t(
        "budget.spend_sentence",
        spent=speech.number(status["spent"], 2),
        plan=speech.number(limit * status["elapsed"], 2),
    )
    return Chart(data=json.dumps(data, ensure_ascii=False), sentence=sentence)


def show_thresholds(counts: Counts, days: float, speech: Speech) -> Chart | None:
    """Draw how many calls a day the rule `fixed` would make at each threshold, from what the edge really saw."""
    steps = [total(counts, f"confidence.{step:02d}") for step in range(CONFIDENCE_STEPS)]
    if not any(steps):
        return None
    calls, running = [], 0
    for count in steps:
        running += count
        calls.append(round(running / days))
    thresholds = [
        round(0.5 + 0.5 * (step + 1) / CONFIDENCE_STEPS, 2) for step in range(CONFIDENCE_STEPS)
    ]
    data = {
        "x": thresholds,
        "lines": [{"name": speech.t("budget.calls_a_day"), "kind": "accent", "y": calls}],
        "unit": speech.t("budget.threshold"),
        "side": speech.t("budget.calls_a_day"),
        "log": True,
    }
    at = thresholds.index(0.7)
    sentence = speech.t("budget.threshold_sentence", n=speech.number(calls[at]))
    return Chart(data=json.dumps(data, ensure_ascii=False), sentence=sentence)
