"""Resident memory of the edge with one camera, after some load."""

from __future__ import annotations

import time

from bench.numbers import Number
from bench.processes import Setting, edge_service, post


def measure(setting: Setting) -> list[Number]:
    """Let a rendered camera run while callers post, and take the largest reading."""
    rounds = 3 if setting.is_quick else 10
    readings_mb = []
    with edge_service(setting, "--policy", "edge_only", "--source", "yard=sim:") as edge:
        for _ in range(rounds):
            post(setting, edge.port, count=50, callers=8)
            time.sleep(1.0)  # the camera goes on
            readings_mb.append(edge.rss_mb())
    return [
        Number(
            name="edge.rss_mb_one_camera",
            value=max(readings_mb),
            unit="MB",
            accept=300.0,
            goal=300.0,
        )
    ]
