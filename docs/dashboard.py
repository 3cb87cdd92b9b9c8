"""The Grafana dashboard: four questions, and the queries that answer them. `make docs` writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

_SOURCE = {"type": "prometheus", "uid": "${source}"}
_WIDTH, _HEIGHT, _A_ROW = 8, 8, 3

# (title, unit, ((legend, query), …))
_Panel = tuple[str, str, tuple[tuple[str, str], ...]]

_EDGE = 'instance=~"$edge"'
_ROWS: tuple[tuple[str, tuple[_Panel, ...]], ...] = (
    (
        "Is it watching?",
        (
            (
                "Age of each camera's last frame",
                "s",
                (("{{camera}}", f"fire_edge_frame_age_seconds{{{_EDGE}}}"),),
            ),
            (
                "Troubles",
                "short",
                (
                    (
                        "{{kind}} {{camera}}",
                        f"sum by (kind, camera) (fire_edge_trouble_active{{{_EDGE}}}) > 0",
                    ),
                ),
            ),
            (
                "Frames by outcome",
                "reqps",
                (
                    (
                        "{{outcome}}",
                        f"sum by (outcome) (rate(fire_edge_frames_total{{{_EDGE}}}[5m]))",
                    ),
                ),
            ),
            ("Services that answer", "short", (("{{job}} {{instance}}", "up"),)),
            (
                "Edges that report",
                "short",
                (("{{state}} at {{instance}}", "fire_cloud_edges"),),
            ),
            (
                "Messages that wait",
                "short",
                (("{{class}}", f"sum by (class) (fire_edge_outbox_items{{{_EDGE}}})"),),
            ),
            (
                "Evidence",
                "bytes",
                (("{{instance}}", f"fire_edge_evidence_bytes{{{_EDGE}}}"),),
            ),
        ),
    ),
    (
        "Is it right?",
        (
            (
                "Certainty, median by camera",
                "percentunit",
                (
                    (
                        "{{camera}}",
                        "histogram_quantile(0.5, sum by (camera, le) "
                        f"(rate(fire_edge_confidence_bucket{{{_EDGE}}}[15m])))",
                    ),
                ),
            ),
            (
                "Answered without the cloud that was wanted",
                "percentunit",
                (
                    (
                        "{{camera}}",
                        f'sum by (camera) (rate(fire_edge_frames_total{{outcome="edge_fallback", {_EDGE}}}[15m]))'
                        f" / sum by (camera) (rate(fire_edge_frames_total{{{_EDGE}}}[15m]))",
                    ),
                ),
            ),
            (
                "Frames without a verdict, and scores that are no numbers",
                "reqps",
                (
                    (
                        "failed",
                        f'sum(rate(fire_edge_frames_total{{outcome="failed", {_EDGE}}}[5m]))',
                    ),
                    ("broken", f"sum(rate(fire_edge_broken_scores_total{{{_EDGE}}}[5m]))"),
                ),
            ),
            (
                "Events in an hour",
                "short",
                (
                    (
                        "{{camera}} {{class}}",
                        f"sum by (camera, class) (increase(fire_edge_events_total{{{_EDGE}}}[1h])) > 0",
                    ),
                ),
            ),
            (
                "Alerts by sink",
                "short",
                (
                    (
                        "{{sink}} {{result}}",
                        f"sum by (sink, result) (increase(fire_edge_alerts_total{{{_EDGE}}}[1h]))",
                    ),
                ),
            ),
            (
                "Models",
                "short",
                (
                    ("edge {{version}} {{sha256_12}}", f"fire_edge_model_info{{{_EDGE}}}"),
                    ("cloud {{version}} {{sha256_12}}", "fire_cloud_model_info"),
                ),
            ),
        ),
    ),
    (
        "Is it fast?",
        (
            (
                "Edge, 95 of 100 frames by stage",
                "s",
                (
                    (
                        "{{stage}}",
                        "histogram_quantile(0.95, sum by (stage, le) "
                        f"(rate(fire_edge_stage_seconds_bucket{{{_EDGE}}}[5m])))",
                    ),
                ),
            ),
            (
                "Cloud, 95 of 100 pictures",
                "s",
                (
                    (
                        "wait",
                        "histogram_quantile(0.95, sum by (le) (rate(fire_cloud_queue_wait_seconds_bucket[5m])))",
                    ),
                    (
                        "model",
                        "histogram_quantile(0.95, sum by (le) (rate(fire_cloud_infer_seconds_bucket[5m])))",
                    ),
                ),
            ),
            (
                "Pictures in one run of the cloud",
                "short",
                (
                    (
                        "{{instance}}",
                        "rate(fire_cloud_batch_size_sum[5m]) / rate(fire_cloud_batch_size_count[5m])",
                    ),
                ),
            ),
            (
                "Cloud's queue and jobs",
                "short",
                (
                    ("queue {{instance}}", "fire_cloud_queue_items"),
                    ("jobs {{instance}}", "fire_cloud_jobs_waiting"),
                ),
            ),
            (
                "Cloud's answers by status",
                "reqps",
                (("{{code}}", "sum by (code) (rate(fire_cloud_requests_total[5m]))"),),
            ),
            (
                "Refused by the cloud",
                "reqps",
                (("{{reason}}", "sum by (reason) (rate(fire_cloud_dropped_total[5m]))"),),
            ),
        ),
    ),
    (
        "What does it cost?",
        (
            (
                "Budget that is left",
                "short",
                (
                    (
                        "{{kind}} {{instance}}",
                        f'fire_edge_budget_remaining{{kind=~"money|month", {_EDGE}}}',
                    ),
                ),
            ),
            (
                "Decisions by reason",
                "reqps",
                (
                    (
                        "{{reason}}",
                        f"sum by (reason) (rate(fire_edge_decisions_total{{{_EDGE}}}[15m])) > 0",
                    ),
                ),
            ),
            (
                "From which probability on the cloud is asked",
                "percentunit",
                (("{{camera}}", f"fire_edge_threshold_ratio{{{_EDGE}}}"),),
            ),
        ),
    ),
)


def queries() -> Iterator[str]:
    """Give every query of the dashboard."""
    for _, panels in _ROWS:
        for _, _, targets in panels:
            for _, query in targets:
                yield query


def dashboard() -> str:
    """Write the dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in _ROWS:
        grid = {"x": 0, "y": top, "w": _WIDTH * _A_ROW, "h": 1}
        panels.append({"type": "row", "title": title, "gridPos": grid, "collapsed": False})
        top += 1
        for index, panel in enumerate(row):
            left, down = index % _A_ROW * _WIDTH, index // _A_ROW * _HEIGHT
            panels.append(_panel(panel, left, top + down))
        top += -(-len(row) // _A_ROW) * _HEIGHT
    for number, made in enumerate(panels, start=1):
        made["id"] = number
    body = {
        "uid": "emberlink",
        "title": "Emberlink",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_SOURCE_VARIABLE, _EDGE_VARIABLE]},
        "panels": panels,
    }
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


_SOURCE_VARIABLE = {
    "name": "source",
    "label": "Source",
    "type": "datasource",
    "query": "prometheus",
}
_EDGE_VARIABLE = {
    "name": "edge",
    "label": "Edge",
    "type": "query",
    "datasource": _SOURCE,
    "query": "label_values(fire_edge_build_info, instance)",
    "refresh": 2,
    "includeAll": True,
    "multi": True,
    "current": {"text": "All", "value": "$__all"},
}


def _panel(panel: _Panel, left: int, top: int) -> dict[str, Any]:
    title, unit, targets = panel
    return {
        "type": "timeseries",
        "title": title,
        "datasource": _SOURCE,
        "gridPos": {"x": left, "y": top, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": query, "legendFormat": legend}
            for number, (legend, query) in enumerate(targets)
        ],
    }
