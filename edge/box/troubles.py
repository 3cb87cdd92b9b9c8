"""Which states of the box are troubles, and what a person can do about each. Ring: domain.

Every rule of the edge stands here; who gathers the states is `edge.wiring.supervision`. A rule gives the trouble as it
is at this moment; since when it has been so is known to `shared.watch.supervise`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from edge.capture.state import MOST_HANGING, CameraState, ViewFinding
from edge.outbox.item import OutboxStatus
from shared.breaker import BreakerState
from shared.watch.trouble import Trouble, TroubleKind

_Find = Callable[..., Trouble]
_LEAST_FREE_BYTES = 500_000_000  # a day of score logs and ledgers is some 20 MB for eight cameras
_MOST_OVERDUE_S = 15.0  # sockets are shut at the deadline; a call that outlives it by this hangs
_STALE_RUN = 10  # frames in a row; a single hiccup of a busy machine drops one or two
_MOST_SKEW_S = 2.0  # what evidence from several boxes can be off against each other


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxState:
    """What is known of the box itself at one moment; None where it is unknown or does not apply.

    `is_cloud_silent`: nobody answers this box's reports. `cloud_refusal`: why the cloud takes none of this box.
    `overdue_call_s`: for how long a call to the cloud has outlived its deadline. `frozen_day`: the budget's day that
    holds although the clock is before it. `clock_skew_s`: this box's clock against the cloud's, positive when ours is
    ahead; the least that is certain. `model_failure`: what the model said wrongly of its own pictures, `newer_refusal`:
    why a newer one was not taken; both "" when all is well.
    """

    breaker: BreakerState | None
    is_cloud_silent: bool
    cloud_refusal: str | None
    budget_limit_micros: int
    budget_left_micros: int
    cost_micros: int
    overdue_call_s: float
    frozen_day: str | None
    clock_skew_s: float | None
    is_clock_synchronised: bool | None
    ledger_trouble: str | None
    free_bytes: int | None
    classifier_trouble: str | None
    model_failure: str
    newer_refusal: str


def box_troubles(state: BoxState, now_at: datetime) -> Iterator[Trouble]:
    """Name what is wrong with the box itself."""
    found = _finder("", now_at)
    yield from _cloud_troubles(state, found)
    yield from _clock_troubles(state, found)
    yield from _disk_troubles(state, found)
    yield from _model_troubles(state, found)


def camera_troubles(camera: CameraState, now_at: datetime) -> Iterator[Trouble]:
    """Name what is wrong with a camera and its view."""
    found = _finder(camera.name, now_at)
    if camera.trouble is not None:
        yield found(
            TroubleKind.CAMERA,
            "lost",
            "{detail}",
            "Check its power, address and password; it is tried again with growing pauses.",
            detail=camera.trouble,
        )
    elif camera.late_s is not None:
        yield found(
            TroubleKind.CAMERA,
            "late",
            "No new frame for {seconds} s.",
            "Check the camera's load and network, or whoever posts its frames.",
            seconds=f"{camera.late_s:.0f}",
        )
    elif camera.stale_run >= _STALE_RUN:
        yield found(
            TroubleKind.CAMERA,
            "old_frames",
            "Its last {count} frames were too old to be looked at.",
            "Set the camera's clock right, or `max_age_s` of this camera higher.",
            count=str(camera.stale_run),
        )
    if camera.hanging >= MOST_HANGING:
        yield found(
            TroubleKind.CAMERA,
            "hangs",
            "{count} reads of this camera hang and cannot be ended.",
            "Start the camera anew; if it does not come back, start the service anew.",
            count=str(camera.hanging),
        )
    for finding in camera.view:
        yield found(TroubleKind.VIEW, finding.value, *_VIEWS[finding])


def blind_cameras(troubles: Iterable[Trouble]) -> set[str]:
    """Name the cameras that do not watch what they should."""
    return {t.subject for t in troubles if t.kind in (TroubleKind.CAMERA, TroubleKind.VIEW)}


def outbox_troubles(outbox: OutboxStatus, now_at: datetime) -> Iterator[Trouble]:
    """Name what is wrong with what waits to be sent."""
    found = functools.partial(_finder("", now_at), TroubleKind.OUTBOX)
    if outbox.disk_trouble is not None:
        yield found(
            "not_written",
            "The outbox cannot be written; alerts wait in memory only: {detail}",
            "Free space on the disk of the state folder, or make it writable.",
            detail=outbox.disk_trouble,
        )
    if outbox.quarantined:
        yield found(
            "quarantined",
            "{count} messages were refused for good and are set aside.",
            "`emberlink-edge outbox ls` shows why; then `outbox retry` or `outbox drop`.",
            count=str(outbox.quarantined),
        )
    if outbox.lost:
        counts = ", ".join(f"{count} {result}" for result, count in sorted(outbox.lost.items()))
        yield found(
            "lost",
            "Messages were given up within the last day: {counts}.",
            "Look at the receivers' troubles; raise `outbox.max_bytes` or the `outbox.keep_…` settings.",
            counts=counts,
        )


def file_set_aside(name: str, aside: str, now_at: datetime) -> Trouble:
    """Say that a file of the state folder was damaged, and a new one was begun."""
    kind, code, cause, remedy = _FILES[name]
    return Trouble(
        kind=kind,
        subject="",
        code=code,
        cause=f"{cause} It is kept as {aside}.",
        remedy=remedy,
        since=now_at,
        needs_acknowledgement=True,
        figures={"file": aside},
    )


def zones_unread(camera: str, now_at: datetime) -> Trouble:
    """Say that the newest zones that were drawn for a camera are damaged, and others hold."""
    trouble = _finder(camera, now_at)(
        TroubleKind.DISK,
        "zones_unread",
        "The newest zones that were drawn for {camera} cannot be read; those before them hold, or those of the "
        "settings. What was drawn as private since then is seen and recorded.",
        "Check the disk, look at the camera's zones and save them anew; then acknowledge.",
        camera=camera,
    )
    return replace(trouble, needs_acknowledgement=True)


def calibration_unread(detail: str, now_at: datetime) -> Trouble:
    """Say that what the site's labels made of the probabilities is damaged, and holds no more."""
    return _finder("", now_at)(
        TroubleKind.MODEL,
        "calibration_unread",
        "The calibration of this site cannot be read; probabilities are those that the model shipped with: {detail}",
        "Run `emberlink-edge calibrate` again, or delete the file; then restart the service.",
        detail=detail,
    )


def state_in_memory(detail: str, now_at: datetime) -> Trouble:
    """Say that the state folder could not be written at the start, and what stands for it."""
    return _finder("", now_at)(
        TroubleKind.DISK,
        "state_in_memory",
        "The state folder could not be written at the start: state is kept in memory and lost with the power, the "
        "cloud is not asked, and changes are refused. {detail}",
        "Free space on its disk, or make it writable for the service's user; it is taken up again by itself.",
        detail=detail,
    )


def _finder(subject: str, now_at: datetime) -> _Find:
    def found(kind: TroubleKind, code: str, cause: str, remedy: str, **figures: str) -> Trouble:
        return Trouble(
            kind=kind,
            subject=subject,
            code=code,
            cause=cause.format_map(figures),
            remedy=remedy,
            since=now_at,
            figures=figures,
        )

    return found


def _cloud_troubles(state: BoxState, found: _Find) -> Iterator[Trouble]:
    if state.cloud_refusal is not None:
        yield found(
            TroubleKind.LINK,
            "cloud_refuses",
            "The cloud refuses this box; the edge decides alone: {detail}",
            "Compare `cloud.edge_id` and the key with the cloud's keys; `emberlink-edge doctor` tells more.",
            detail=state.cloud_refusal,
        )
    elif state.is_cloud_silent or state.breaker not in (None, BreakerState.CLOSED):
        yield found(
            TroubleKind.LINK,
            "cloud_away",
            "The cloud does not answer; the edge decides alone.",
            "Check the link and `cloud.url`; it is asked again every few seconds.",
        )
    if state.overdue_call_s > _MOST_OVERDUE_S:
        yield found(
            TroubleKind.THREAD,
            "call_hangs",
            "A call to the cloud has outlived its deadline by {seconds} s.",
            "Restart the service; its place for calls is lost until then.",
            seconds=f"{state.overdue_call_s:.0f}",
        )
    is_meant_to_ask = state.budget_limit_micros > 0  # a limit of 0 keeps everything at the edge
    if is_meant_to_ask and state.budget_left_micros < max(1, state.cost_micros):
        yield found(
            TroubleKind.BUDGET,
            "spent",
            "Today's money for the cloud is spent; the edge decides alone until midnight.",
            "Raise `policy.daily_limit`, or choose the `price` policy, which spreads it over the day.",
        )


def _model_troubles(state: BoxState, found: _Find) -> Iterator[Trouble]:
    if state.classifier_trouble is not None:
        yield found(
            TroubleKind.MODEL,
            "broken_scores",
            "The classifier gives numbers that mean nothing: {detail}",
            'Install the model again, or start with `model.variant = "fp32"`.',
            detail=state.classifier_trouble,
        )
    if state.model_failure:
        yield found(
            TroubleKind.MODEL,
            "untrue",
            "The model fails on its own pictures; for want of another it goes on: {detail}",
            "Put a sound version into the models folder; if the shipped model fails, run `emberlink-edge doctor`.",
            detail=state.model_failure,
        )
    if state.newer_refusal:
        yield found(
            TroubleKind.MODEL,
            "newer_refused",
            "The newest model was not taken, the one before goes on: {detail}",
            "Put a sound version into the models folder, or take this one out.",
            detail=state.newer_refusal,
        )


def _clock_troubles(state: BoxState, found: _Find) -> Iterator[Trouble]:
    if state.frozen_day is not None:
        yield found(
            TroubleKind.CLOCK,
            "set_back",
            "The clock was set back: the budget of {day} holds until that day is over.",
            "Set the clock right (NTP); times in the evidence are wrong until then.",
            day=state.frozen_day,
        )
    if state.clock_skew_s is not None and abs(state.clock_skew_s) > _MOST_SKEW_S:
        yield found(
            TroubleKind.CLOCK,
            "differs",
            "The clock differs from the cloud's by {seconds} s or more; plus means ahead.",
            "Let NTP set the clock of this box, or of the cloud.",
            seconds=f"{state.clock_skew_s:+.0f}",
        )
    if state.is_clock_synchronised is False:
        yield found(
            TroubleKind.CLOCK,
            "unsynchronised",
            "The time service of this machine has not set the clock yet.",
            "Check that an NTP server can be reached: `timedatectl timesync-status`.",
        )


def _disk_troubles(state: BoxState, found: _Find) -> Iterator[Trouble]:
    if state.ledger_trouble is not None:
        yield found(
            TroubleKind.DISK,
            "ledger",
            "The ledger cannot be written, so the cloud is not asked: {detail}",
            "Free space on the disk of the state folder, or make it writable.",
            detail=state.ledger_trouble,
        )
    if state.free_bytes is not None and state.free_bytes < _LEAST_FREE_BYTES:
        yield found(
            TroubleKind.DISK,
            "low",
            "The disk of the state folder has {left} MB left.",
            f"Free at least {_LEAST_FREE_BYTES // 1_000_000} MB.",
            left=str(state.free_bytes // 1_000_000),
        )


_VIEWS: Mapping[ViewFinding, tuple[str, str]] = {
    ViewFinding.BLACK: (
        "The picture is black.",
        "Check the lens cap, the light at night, and the camera's infrared lamp.",
    ),
    ViewFinding.OVEREXPOSED: (
        "Nearly all of the picture is burnt out.",
        "Check for a lamp or the sun in the lens, and the camera's exposure.",
    ),
    ViewFinding.FROZEN: (
        "The camera sends the same picture again and again.",
        "Start the camera anew.",
    ),
    ViewFinding.BLURRED: (
        "The picture has lost its fine detail.",
        "Clean the lens (web, drops, dirt), or focus it.",
    ),
    ViewFinding.COVERED: (
        "Something covers the view.",
        "Take away what hangs or stands before the camera.",
    ),
    ViewFinding.MOVED: (
        "The camera looks elsewhere than usual.",
        "Turn it back. If it was turned on purpose, acknowledge this: the new view becomes the usual one.",
    ),
}

_OUTBOX_FILE = (
    TroubleKind.OUTBOX,
    "set_aside",
    "A file of the outbox was damaged; messages in it were not sent.",
    "Check the disk, look into the events of that time, then acknowledge.",
)
_FILES: Mapping[str, tuple[TroubleKind, str, str, str]] = {
    "outbox.sqlite3": _OUTBOX_FILE,
    "alerts.sqlite3": _OUTBOX_FILE,
    "ledger.sqlite3": (
        TroubleKind.BUDGET,
        "set_aside",
        "The ledger was damaged; what it may have paid for counts as spent, so the edge decides alone today.",
        "Check the disk. Restore a backup with `emberlink-edge state restore`, or acknowledge.",
    ),
    "tally.sqlite3": (
        TroubleKind.DISK,
        "counts_set_aside",
        "The file of the statistics was damaged; they begin anew.",
        "Check the disk. Restore a backup with `emberlink-edge state restore`, or acknowledge.",
    ),
    "zones.sqlite3": (
        TroubleKind.DISK,
        "zones_set_aside",
        "The file of the zones that were drawn on the pages was damaged. Those of the settings hold, so what was drawn "
        "as ignored alarms, and what was drawn as private is seen and recorded.",
        "Draw the zones anew, or restore a backup with `emberlink-edge state restore`; then acknowledge.",
    ),
    "selftest.sqlite3": (
        TroubleKind.SELFTEST,
        "set_aside",
        "The file of the test alarms was damaged; their results are forgotten.",
        "Check the disk, run `emberlink-edge selftest`, then acknowledge.",
    ),
}
