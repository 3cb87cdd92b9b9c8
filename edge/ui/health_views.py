"""The page *Health*. Ring: rim."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from flask import Blueprint, Response

from edge.ui.health_model import (
    StatePanel,
    show_cameras,
    show_checks,
    show_disk,
    show_link_panel,
    show_models,
    show_outbox,
    show_troubles,
)
from edge.ui.kit import Kit, is_fragment, or_none
from edge.ui.latency_model import show_latencies
from edge.ui.now_model import CameraNow
from edge.ui.now_views import cameras_now
from edge.ui.speech import Speech
from shared.logs import redact
from shared.version import version
from shared.watch.trouble import Trouble, TroubleKind


def add_health(console: Blueprint, kit: Kit) -> None:
    """Add the page; a script that polls gets its live part."""

    @console.get("/ui/health")
    def show_health() -> Response:
        return health_page(kit)


def health_page(kit: Kit) -> Response:
    """Write the page, or its live part for a script."""
    speech, parts = kit.speech(), kit.parts
    now_mono_s = parts.clock.mono_s()
    parts.supervisor.look()
    troubles = parts.supervisor.active()
    cameras = cameras_now(kit, troubles)
    states = {state["name"]: state for state in or_none(kit.status.camera_states) or []}
    return kit.render(
        "health_live.html" if is_fragment() else "health.html",
        speech,
        title=speech.t("page.health"),
        current="health",
        rows=show_troubles(troubles, {c.name: c.title for c in cameras}, speech),
        latencies=show_latencies(parts.latencies(), speech),
        panels=_panels(kit, troubles, speech),
        is_fragment=is_fragment(),
        models=show_models(
            kit.status.model, _edge_s(cameras), parts.model_tried(), parts.live.cloud, speech
        ),
        cameras=show_cameras(cameras, states, speech, now_mono_s),
        checks=show_checks(parts.checks(), speech),
        version=version(),
    )


def _panels(kit: Kit, troubles: Sequence[Trouble], speech: Speech) -> list[StatePanel]:
    settings = kit.settings
    away = next((t for t in troubles if t.kind is TroubleKind.LINK), None)
    away_s = (speech.now - away.since).total_seconds() if away else None
    address, policy = redact(settings.cloud.url), settings.policy.name.value
    return [
        show_link_panel(kit.parts.link(), away_s, address, policy, speech),
        show_outbox(kit.parts.outbox(), kit.parts.sinks(), speech),
        show_disk(or_none(kit.parts.forecast), speech),
    ]


def _edge_s(cameras: Sequence[CameraNow]) -> float | None:
    """Tell how long the edge takes for a frame: the median over what the cameras show now."""
    taken = [
        camera.look.verdict.edge_s
        for camera in cameras
        if camera.look and camera.look.verdict and camera.look.verdict.edge_s is not None
    ]
    return statistics.median(taken) if taken else None
