"""What *Budget* says of other rules and budgets: chart, table, or how much is missing. Ring: rim, pure functions."""

from __future__ import annotations

import json
from dataclasses import dataclass

from markupsafe import Markup

from edge.decide.policies import PolicyName
from edge.replay.what_if import LEAST_RECORDED_S, RULES, Trial, WhatIfAnswer, WhatIfState
from edge.ui.budget_model import Chart
from edge.ui.speech import Speech
from shared.types import MICROS

_DAY_S = 86_400.0
_KINDS = {
    PolicyName.FIXED: "plan",
    PolicyName.SLIDING_WINDOW: "rule",
    PolicyName.PRICE: "accent",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialCell:
    """A rule at a limit: money and calls a day, when the money was gone; `is_now`: both hold."""

    is_now: bool
    cost: str
    calls: Markup
    dry: Markup | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """One limit: a cell for each rule; `is_today` marks the limit that holds."""

    limit: str
    is_today: bool
    cells: tuple[TrialCell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIfPanel:
    """The panel: `sentence` says how it stands; chart and rows once there is an answer."""

    sentence: Markup
    is_running: bool
    chart: Chart | None
    rules: tuple[Markup, ...]
    rows: tuple[TrialRow, ...]


def show_what_if(
    answer: WhatIfAnswer, *, limit_micros: int, rule: PolicyName, speech: Speech
) -> WhatIfPanel:
    """Say what other rules and limits would have come to; `limit_micros` and `rule` are those that hold."""
    is_known = bool(answer.trials)
    return WhatIfPanel(
        sentence=_sentence(answer, speech),
        is_running=answer.state is WhatIfState.RUNNING,
        chart=_chart(answer.trials, limit_micros, rule, speech) if is_known else None,
        rules=tuple(speech.t(f"policy.{name.value}") for name in RULES),
        rows=_rows(answer.trials, limit_micros, rule, speech),
    )


def _sentence(answer: WhatIfAnswer, speech: Speech) -> Markup:
    if answer.state is WhatIfState.TOO_LITTLE and answer.history is not None:
        return speech.t(
            "budget.what_if_too_little",
            recorded=speech.duration(answer.history.recorded_s),
            least=speech.duration(LEAST_RECORDED_S),
        )
    if answer.trials and answer.history and answer.made_at:
        known = speech.t(
            "budget.what_if_from",
            recorded=speech.duration(answer.history.recorded_s),
            frames=speech.number(answer.history.frames),
            cameras=speech.t("budget.n_cameras", n=answer.history.cameras),
            at=speech.moment(answer.made_at),
        )
        share = speech.percent(answer.history.share)
        sampled = speech.t("budget.what_if_sampled", share=share)
        parts = [known, sampled] if answer.history.share < 1.0 else [known]
        return speech.sentences([*parts, speech.t("budget.what_if_no_answers")])
    return speech.t(f"budget.what_if_{answer.state.value}", done=answer.done, of=answer.of)


def _chart(trials: tuple[Trial, ...], limit_micros: int, rule: PolicyName, speech: Speech) -> Chart:
    limits = _limits(trials)
    lines = [
        {
            "name": str(speech.t(f"policy.{name.value}")),
            "kind": _KINDS[name],
            "y": [round(t.cost_micros / MICROS, 4) for t in trials if t.rule is name],
        }
        for name in RULES
    ]
    data = {
        "x": list(range(len(limits))),
        "ticks": [speech.money(limit) for limit in limits],
        "lines": lines,
        "unit": speech.t("budget.daily_limit"),
        "side": speech.t("budget.cost_a_day"),
    }
    if limit_micros in limits:
        data["mark"] = limits.index(limit_micros)
        data["mark_name"] = speech.t("budget.limit_now")
    now = next((t for t in trials if (t.rule, t.limit_micros) == (rule, limit_micros)), trials[-1])
    sentence = speech.t(
        "budget.what_if_sentence",
        rule=speech.t(f"policy.{now.rule.value}"),
        limit=speech.money(now.limit_micros),
        calls=speech.number(now.calls),
        cost=speech.money(now.cost_micros),
    )
    return Chart(data=json.dumps(data, ensure_ascii=False), sentence=sentence)


def _rows(
    trials: tuple[Trial, ...], limit_micros: int, rule: PolicyName, speech: Speech
) -> tuple[TrialRow, ...]:
    return tuple(
        TrialRow(
            limit=speech.money(limit),
            is_today=limit == limit_micros,
            cells=tuple(
                _cell(t, speech, is_now=(t.rule, limit) == (rule, limit_micros))
                for t in trials
                if t.limit_micros == limit
            ),
        )
        for limit in _limits(trials)
    )


def _cell(trial: Trial, speech: Speech, *, is_now: bool) -> TrialCell:
    dry = trial.dry_after
    return TrialCell(
        is_now=is_now,
        cost=speech.money(trial.cost_micros),
        calls=speech.t("budget.n_calls", n=speech.number(trial.calls)),
        dry=None
        if dry is None
        else speech.t("budget.dry_after", span=speech.duration(60 * round(dry * _DAY_S / 60))),
    )


def _limits(trials: tuple[Trial, ...]) -> list[int]:
    return sorted({trial.limit_micros for trial in trials})
