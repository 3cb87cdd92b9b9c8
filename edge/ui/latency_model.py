"""How long each cloud took over its last hour, as *Health* draws it. Ring: rim, pure functions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.decide.latency import LatencyBin
from edge.ui.budget_model import Chart
from edge.ui.speech import Speech
from shared.logs import redact


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyPanel:
    """A cloud's last hour; no chart where it was not asked."""

    address: str
    chart: Chart | None


def show_latencies(
    histories: Mapping[str, Sequence[LatencyBin]], speech: Speech
) -> tuple[LatencyPanel, ...]:
    """Draw each cloud's last hour; one that was not asked is said to be so."""
    return tuple(
        LatencyPanel(address=redact(url), chart=_latency_chart(bins, speech) if bins else None)
        for url, bins in histories.items()
    )


def _latency_chart(bins: Sequence[LatencyBin], speech: Speech) -> Chart:
    data = {
        "x": [round(-found.age_s / 60) for found in bins],
        "from": -60,
        "to": 0,
        "lines": [
            {
                "name": speech.t("health.p90"),
                "kind": "plan",
                "y": [round(1000 * found.p90_s, 1) for found in bins],
            },
            {
                "name": speech.t("health.p50"),
                "kind": "rule",
                "y": [round(1000 * found.median_s, 1) for found in bins],
            },
        ],
        "points": True,
        "unit": speech.t("health.minutes_ago"),
        "steps": [5, 10, 15, 30],
        "side": "ms",
    }
    sentence = speech.t(
        "health.latency_sentence",
        n=sum(found.calls for found in bins),
        p50=speech.milliseconds(bins[-1].median_s),
        p90=speech.milliseconds(bins[-1].p90_s),
        worst=speech.milliseconds(max(found.p90_s for found in bins)),
    )
    return Chart(data=json.dumps(data, ensure_ascii=False), sentence=sentence)
