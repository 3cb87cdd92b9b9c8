"""What *Fleet* shows. Ring: rim, pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from markupsafe import Markup

from cloud.fleet.fleet import FleetEdge
from shared.fleet import ToldTrouble
from shared.ui.speech import Speech


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRow:
    """One edge, in words."""

    name: str
    is_silent: bool
    is_signed: bool
    heard: Markup
    heard_at: Markup
    version: str
    model: str
    cameras: str
    has_blind_camera: bool
    budget: Markup
    forwarded: str
    days: str
    troubles: tuple[Markup, ...]


def show_edge(edge: FleetEdge, speech: Speech) -> EdgeRow:
    """Say how an edge is."""
    report = edge.report
    return EdgeRow(
        name=report.name,
        is_silent=edge.is_silent,
        is_signed=edge.is_signed,
        heard=speech.t("time.ago", span=speech.duration(edge.age_s)),
        heard_at=speech.clock(speech.now - timedelta(seconds=edge.age_s)),
        version=report.version,
        model=f"{report.model.version} ({report.model.sha256_12})",
        cameras=f"{report.watching} / {report.cameras}",
        has_blind_camera=report.watching < report.cameras,
        budget=speech.t(
            "fleet.of",
            left=speech.number(report.budget_left, 2),
            limit=speech.number(report.budget_limit, 2),
        ),
        forwarded=speech.number(report.forwarded),
        days=", ".join(
            str(speech.t("fleet.days", day=day, n=n)) for day, n in edge.forwarded.items()
        ),
        troubles=tuple(_trouble(told, speech) for told in report.troubles),
    )


def _trouble(told: ToldTrouble, speech: Speech) -> Markup:
    """Say what it is about, and in a word or two what: the rest is on the edge, which knows the details."""
    about = told.subject or speech.known(f"kind.{told.kind}", told.kind)
    what = speech.known(f"trouble.{told.kind}_{told.code}", told.code.replace("_", " "))
    return Markup("{}{}{}").format(about, "：" if speech.is_chinese else ": ", what)
