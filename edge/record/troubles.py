"""What can be wrong with the evidence store, as troubles with cause and remedy. Ring: domain."""

from __future__ import annotations

from datetime import datetime, timedelta

from edge.record.keep_clock import BELIEVED_GAP
from edge.record.retention import WARN_DAYS, Forecast, Pruned
from shared.watch.trouble import Trouble, TroubleKind

NOT_WRITTEN = "not_written"
CLOCK_OFF = "clock_off"
FILLING = "filling"
FULL = "full"
CUT_SHORT = "cut_short"
_SET_BACK = timedelta(hours=1)


def not_written(detail: str, now_at: datetime) -> Trouble:
    """Nothing can be recorded."""
    return _trouble(
        NOT_WRITTEN,
        "Evidence cannot be written: {detail}.",
        "Free room on that disk, or make it writable; frames of events are lost until then. A disk that turned "
        "read-only by itself is failing: stop the service, check the disk (`dmesg`, `fsck`), and replace it.",
        now_at,
        detail=detail,
    )


def set_aside(aside: str, now_at: datetime) -> Trouble:
    """The journal was damaged, and a new one was begun."""
    return _trouble(
        "set_aside",
        "The journal of the evidence was damaged. It is kept as {file}, its pictures are kept, too, and a new "
        "journal was begun.",
        "Check the disk. Restore a backup with `emberlink-edge state restore`, or acknowledge.",
        now_at,
        needs_acknowledgement=True,
        file=aside,
    )


def unreadable(event_id: str, now_at: datetime) -> Trouble:
    """An event is there, and some of what the journal says of it makes no sense, or all."""
    return _trouble(
        "unreadable",
        "Entries of the journal about event {event} were altered or are damaged. What can be read of it is shown; all "
        "other events are as they were.",
        "`emberlink-edge evidence verify` names what was altered. Check the disk, restore a backup with "
        "`emberlink-edge state restore`, or acknowledge.",
        now_at,
        needs_acknowledgement=True,
        event=event_id,
    )


def lost(now_at: datetime) -> Trouble:
    """The journal went away while it was written."""
    return _trouble(
        "lost",
        "The journal of the evidence was moved, deleted or mounted over while the service ran. What lies in its place "
        "now is written from here on; events that were open are not complete.",
        "Put the old folder back while the service is stopped, or restore a backup with `emberlink-edge state "
        "restore`; then acknowledge.",
        now_at,
        needs_acknowledgement=True,
    )


def clock_off(wall_is_ahead: timedelta, now_at: datetime) -> Trouble | None:
    """The wall clock and the clock by which evidence ages are far apart."""
    if -_SET_BACK <= wall_is_ahead <= BELIEVED_GAP:
        return None
    return _trouble(
        CLOCK_OFF,
        "The clock differs by {days} days from the time that this box has counted; plus means ahead. Evidence is "
        "kept by what was counted, so nothing goes early.",
        "Set the clock right (NTP). If it is right and the box was off for so long, run "
        "`emberlink-edge evidence prune --trust-clock`.",
        now_at,
        days=f"{wall_is_ahead / timedelta(days=1):+.1f}",
    )


def room(forecast: Forecast, pruned: Pruned, now_at: datetime) -> list[Trouble]:
    """The disk is or will be too small for what is to be kept."""
    found = []
    if pruned.is_short:
        found.append(
            _trouble(
                FULL,
                "The disk has no room for more evidence, and nothing of little worth is left to remove.",
                "Free room on that disk, export and release held events, or raise `evidence.max_bytes`.",
                now_at,
            )
        )
    elif forecast.is_short and forecast.days_left is not None:
        found.append(
            _trouble(
                FILLING,
                "At today's rate the room for evidence lasts {days} days; pictures of little worth "
                "will then go before their {keep} days are over.",
                "Use a larger disk, raise `evidence.max_bytes`, or lower `evidence.keep_days`.",
                now_at,
                days=f"{forecast.days_left:.1f}",
                keep=str(forecast.keep_days),
            )
        )
    if pruned.frames:
        found.append(
            _trouble(
                CUT_SHORT,
                "{count} pictures of little worth were removed before their {keep} days were "
                "over, because the disk needed room.",
                f"See `emberlink-edge evidence size`; the room should last {forecast.keep_days} days, and warns "
                f"{WARN_DAYS:.0f} days before it is full.",
                now_at,
                needs_acknowledgement=True,
                count=str(pruned.frames),
                keep=str(forecast.keep_days),
            )
        )
    return found


def _trouble(
    code: str,
    cause: str,
    remedy: str,
    now_at: datetime,
    *,
    needs_acknowledgement: bool = False,
    **figures: str,
) -> Trouble:
    return Trouble(
        kind=TroubleKind.EVIDENCE,
        subject="",
        code=code,
        cause=cause.format_map(figures),
        remedy=remedy,
        since=now_at,
        needs_acknowledgement=needs_acknowledgement,
        figures=figures,
    )
