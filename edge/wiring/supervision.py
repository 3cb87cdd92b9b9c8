"""Supervision of a box, wired: which states the rules see, and what `/readyz` makes of the troubles. Ring: rim."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge.box.troubles import BoxState, box_troubles
from shared.clock import Clock
from shared.watch.supervise import Supervisor
from shared.watch.trouble import Trouble, TroubleKind
from shared.web.app import Check, CheckState

_TIMESYNC = Path("/run/systemd/timesync")
# Which kinds each line of /readyz sums up, in the order they are shown.
_CHECKS: Mapping[str, tuple[TroubleKind, ...]] = {
    "model": (TroubleKind.MODEL,),
    "cameras": (TroubleKind.CAMERA, TroubleKind.VIEW),
    "cloud_link": (TroubleKind.LINK,),
    "disk": (TroubleKind.DISK, TroubleKind.EVIDENCE),
    "clock": (TroubleKind.CLOCK,),
    "budget": (TroubleKind.BUDGET,),
    "alerts": (TroubleKind.SINK, TroubleKind.OUTBOX, TroubleKind.SELFTEST),
    "threads": (TroubleKind.THREAD,),
    "restart": (TroubleKind.RESTART,),
}
_WELL: Mapping[str, str] = {
    "model": "{name} {version}",
    "cameras": "{count} watching",
    "link": "breaker is {breaker}{several}",
    "no_link": "no cloud is configured",
    "disk": "state is written",
    "clock": "in step with the books",
    "budget": "{left} left today",
    "nothing": "nothing is wrong",
}


def box_rule(state: Callable[[], BoxState], clock: Clock) -> Callable[[], Iterable[Trouble]]:
    """Build the rule about the box itself."""
    return lambda: box_troubles(state(), clock.now_at())


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxCheck(Check):
    """A line of `/readyz` that can be told in another language.

    `says` names the sentence of a check without a trouble, with its `figures`; else `troubles` are what is told.
    """

    says: str = ""
    figures: Mapping[str, str] = field(default_factory=dict, hash=False)
    troubles: tuple[Trouble, ...] = ()


def well(says: str, **figures: str) -> BoxCheck:
    """Say that a check found nothing wrong, and what there is instead."""
    text = _WELL[says].format_map(figures)
    return BoxCheck(state=CheckState.OK, text=text, says=says, figures=figures)


def readiness(supervisor: Supervisor, found: Mapping[str, BoxCheck]) -> dict[str, BoxCheck]:
    """Sum up the troubles as the checks of `/readyz`, after a look at this moment.

    Args:
        supervisor: knows the troubles.
        found: what a check without a trouble says, by its name; "nothing is wrong" where nothing is said.
    """
    supervisor.look()
    active = supervisor.active()
    return {
        name: _check([t for t in active if t.kind in kinds], found.get(name, well("nothing")))
        for name, kinds in _CHECKS.items()
    }


def is_clock_synchronised() -> bool | None:
    """Ask systemd-timesyncd's mark; None on a machine where that does not run."""
    return (_TIMESYNC / "synchronized").exists() if _TIMESYNC.exists() else None


def _check(troubles: list[Trouble], otherwise: BoxCheck) -> BoxCheck:
    if not troubles:
        return otherwise
    texts = [f"{t.subject}: {t.cause}" if t.subject else t.cause for t in troubles]
    return BoxCheck(state=CheckState.DEGRADED, text="; ".join(texts), troubles=tuple(troubles))
