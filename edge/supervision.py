"""Supervision of a box, wired: which states the rules see, and what `/readyz` makes of the troubles. Ring: rim."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from edge.troubles import BoxState, box_troubles
from shared.clock import Clock
from shared.supervise import Supervisor
from shared.trouble import Trouble, TroubleKind
from shared.web import Check, CheckState

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


def box_rule(state: Callable[[], BoxState], clock: Clock) -> Callable[[], Iterable[Trouble]]:
    """Build the rule about the box itself."""
    return lambda: box_troubles(state(), clock.now_at())


def readiness(supervisor: Supervisor, well: Mapping[str, str]) -> dict[str, Check]:
    """Sum up the troubles as the checks of `/readyz`, after a look at this moment.

    Args:
        supervisor: knows the troubles.
        well: what to say of a check without a trouble, by its name; "nothing is wrong" where nothing is said.
    """
    supervisor.look()
    active = supervisor.active()
    return {
        name: _check([t for t in active if t.kind in kinds], well.get(name, "nothing is wrong"))
        for name, kinds in _CHECKS.items()
    }


def free_bytes(folder: Path) -> int | None:
    """Tell how much room the disk of a folder has; None when that cannot be told."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def is_clock_synchronised() -> bool | None:
    """Ask systemd-timesyncd's mark; None on a machine where that does not run."""
    return (_TIMESYNC / "synchronized").exists() if _TIMESYNC.exists() else None


def _check(troubles: list[Trouble], well: str) -> Check:
    if not troubles:
        return Check(state=CheckState.OK, text=well)
    texts = [f"{t.subject}: {t.cause}" if t.subject else t.cause for t in troubles]
    return Check(state=CheckState.DEGRADED, text="; ".join(texts))
