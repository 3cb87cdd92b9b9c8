"""What this box tells its cloud about itself, gathered. Ring: rim."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edge.capture.state import CameraState
from edge.config.settings import EdgeSettings
from shared.errors import StoreError
from shared.fleet import EdgeReport, ToldModel, ToldTrouble
from shared.types import ModelIdentity
from shared.version import version
from shared.watch.trouble import Trouble

_MOST_TROUBLES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Whom to ask; each answers at once. `calls` counts the paid calls of a local day, or raises StoreError."""

    model: Callable[[], ModelIdentity]
    cameras: Callable[[], Iterable[CameraState]]
    policy: Callable[[], Mapping[str, Any]]
    calls: Callable[[str], int]
    open_events: Callable[[], int]
    troubles: Callable[[], Iterable[Trouble]]


def box_report(settings: EdgeSettings, ask: Sources) -> EdgeReport:
    """Gather a report."""
    states, policy = list(ask.cameras()), ask.policy()
    return EdgeReport(
        name=settings.cloud.edge_id or _plain(settings.alerts.box_name),
        version=version(),
        model=ToldModel(**ask.model().as_dict()),
        policy=settings.policy.name.value,
        cameras=len(states),
        watching=sum(state.word == "watching" for state in states),
        open_events=ask.open_events(),
        day=policy["day"],
        forwarded=_calls(ask, policy),
        budget_left=policy["left"],
        budget_limit=policy["daily_limit"],
        troubles=[_told(trouble) for trouble in ask.troubles()][:_MOST_TROUBLES],
    )


def _calls(ask: Sources, policy: Mapping[str, Any]) -> int:
    """Count today's calls; where the ledger cannot be read, by what they cost: a box must be heard then above all."""
    try:
        return ask.calls(policy["day"])
    except StoreError:
        cost = policy["cost_per_call"]
        return round(policy["spent"] / cost) if cost else 0


def _told(trouble: Trouble) -> ToldTrouble:
    return ToldTrouble(
        kind=trouble.kind, subject=trouble.subject[:200], code=trouble.code, since=trouble.since
    )


def _plain(name: str) -> str:
    """Make a name for people one for the wire."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name)
