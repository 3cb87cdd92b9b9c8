"""When a test alarm is due, what came of one, and when that is a trouble. Ring: domain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from shared.watch.trouble import Trouble, TroubleKind

_WITHIN = timedelta(hours=1)  # a box that was off at the time does not ring at any other hour
_EVERY = timedelta(days=7)
_OVERDUE = timedelta(days=8)  # a week, and a day to make up for it


class Weekday(StrEnum):
    """Days, as settings name them, Monday first."""

    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When tests run by themselves; `weekday` None is never."""

    weekday: Weekday | None
    at: time
    zone: ZoneInfo

    def is_due(self, now_at: datetime, last_at: datetime) -> bool:
        """Tell whether a test should begin now: at its time on its day, or on a later day when that was missed.

        Args:
            now_at: wall time.
            last_at: when the last test began, or when the box began to keep the schedule.
        """
        if self.weekday is None:
            return False
        local = now_at.astimezone(self.zone)
        begin = local.replace(hour=self.at.hour, minute=self.at.minute, second=0, microsecond=0)
        if not begin <= local < begin + _WITHIN or last_at >= begin:
            return False
        is_the_day = tuple(Weekday)[local.weekday()] is self.weekday
        return is_the_day or now_at - last_at > _EVERY

    def is_overdue(self, now_at: datetime, last_at: datetime) -> bool:
        """Tell whether no test has run for longer than the schedule allows."""
        return self.weekday is not None and now_at - last_at > _OVERDUE


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """What came of a test of one camera.

    `event_s` and `alert_s`: seconds until its event opened, and until the last sink had the alert; None where that did
    not happen. `sinks` tells for each sink that is told at once whether it had the alert. `why` is "" when it passed.
    """

    __test__ = False  # no test case, whatever its name begins with

    camera: str
    began_at: datetime
    is_passed: bool
    why: str
    event_id: str | None
    event_s: float | None
    alert_s: float | None
    sinks: Mapping[str, bool]


def selftest_troubles(
    schedule: Schedule,
    results: Mapping[str, TestResult],
    since: datetime,
    now_at: datetime,
) -> Iterator[Trouble]:
    """Name the cameras whose last test failed, and say when no test has run for too long."""
    for result in results.values():
        if not result.is_passed:
            yield Trouble(
                kind=TroubleKind.SELFTEST,
                subject=result.camera,
                code="failed",
                cause=f"The last test alarm of this camera failed: {result.why}.",
                remedy="A real fire may go untold. Put right what it names, then run "
                f"`emberlink-edge selftest --camera {result.camera}`.",
                since=now_at,
                figures={"why": result.why},
            )
    last_at = max((result.began_at for result in results.values()), default=since)
    if schedule.is_overdue(now_at, last_at):
        yield Trouble(
            kind=TroubleKind.SELFTEST,
            subject="",
            code="overdue",
            cause=f"The last test alarm was on {last_at:%Y-%m-%d}.",
            remedy="Leave the box on at the time of its test, or run `emberlink-edge selftest`.",
            since=now_at,
            figures={"day": f"{last_at:%Y-%m-%d}"},
        )
