"""What *Statistics* shows, and gives as CSV, one row a camera and day. Ring: rim, pure functions."""

from __future__ import annotations

import csv
import io
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from markupsafe import Markup

from edge.box.tally import POSTED, Counts
from edge.record.types import EventRecord, Mark
from edge.ui.speech import Speech

COLUMNS = (
    *("day", "camera", "events", "seconds_to_alert", "false_alarms", "true_fires", "frames"),
    *("forwarded", "answered", "agreed", "minutes_blind"),
)


_LONG_BLIND_MIN = 60  # a camera and day: somebody should look after it, it was no restart
COUNTS = ("frames", "asked", "answered", "agreed", "blind_s")
"""Names of the counts that the rows are made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRow:
    """One camera on one local day; `seconds_to_alert` is the median from origin to alarm, None without one.

    Summed over days `day` is empty, summed over cameras `camera`.
    """

    day: str
    camera: str
    events: int
    seconds_to_alert: float | None
    false_alarms: int
    true_fires: int
    frames: int
    forwarded: int
    answered: int
    agreed: int
    minutes_blind: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRow:
    """A row as people read it: `name` is the camera's title, or the day; `is_blind`: a good part of it."""

    day: str
    name: Markup | str
    events: str
    seconds_to_alert: str
    false_alarms: str
    forwarded: str
    of_frames: Markup
    agreed: str
    blind: Markup | str
    is_blind: bool


def day_rows(counts: Counts, events: Sequence[EventRecord], zone: ZoneInfo) -> tuple[DayRow, ...]:
    """Put counts and events together, a row a camera and day, the newest day first; tests are left out."""
    return _rows(counts, events, lambda day, camera: (day, camera), zone)


def sums_by_camera(
    counts: Counts, events: Sequence[EventRecord], zone: ZoneInfo
) -> tuple[DayRow, ...]:
    """Sum all days: a row a camera."""
    return _rows(counts, events, lambda day, camera: ("", camera), zone)


def sums_by_day(
    counts: Counts, events: Sequence[EventRecord], zone: ZoneInfo
) -> tuple[DayRow, ...]:
    """Sum all cameras: a row a day, the newest first."""
    return _rows(counts, events, lambda day, camera: (day, ""), zone)


_Group = tuple[str, str]


def _rows(
    counts: Counts,
    events: Sequence[EventRecord],
    group: Callable[[str, str], _Group],
    zone: ZoneInfo,
) -> tuple[DayRow, ...]:
    sums: dict[_Group, Counter[str]] = {}
    for key, count in counts.items():
        if key.camera != POSTED:
            sums.setdefault(group(key.hour[:10], key.camera), Counter())[key.name] += count
    told: dict[_Group, list[EventRecord]] = {}
    for record in events:
        if not record.event.is_test:
            day = f"{record.event.opened_at.astimezone(zone):%Y-%m-%d}"
            told.setdefault(group(day, record.event.camera), []).append(record)
    ordered = sorted(sums.keys() | told.keys(), key=lambda found: found[1])
    ordered.sort(key=lambda found: found[0], reverse=True)
    return tuple(_row(found, sums.get(found, Counter()), told.get(found, [])) for found in ordered)


def _row(group: _Group, sums: Counter[str], events: Sequence[EventRecord]) -> DayRow:
    waits = [(e.event.opened_at - e.origin.captured_at).total_seconds() for e in events if e.origin]
    return DayRow(
        day=group[0],
        camera=group[1],
        events=len(events),
        seconds_to_alert=round(statistics.median(waits), 1) if waits else None,
        false_alarms=sum(e.mark is Mark.FALSE for e in events),
        true_fires=sum(e.mark is Mark.TRUE for e in events),
        frames=sums["frames"],
        forwarded=sums["asked"],
        answered=sums["answered"],
        agreed=sums["agreed"],
        minutes_blind=round(sums["blind_s"] / 60),
    )


def show_rows(
    rows: Sequence[DayRow], titles: Mapping[str, str], speech: Speech, *, camera_days: int
) -> tuple[ShownRow, ...]:
    """Write the rows for people; a dash where there is nothing to go by.

    Args:
        rows: what was counted.
        titles: of the cameras.
        speech: the voice.
        camera_days: how many cameras times days each of the rows sums.
    """

    def share(part: int, whole: int) -> str:
        return speech.fine_percent(part / whole) if whole else "–"

    def seconds(value: float | None) -> str:
        return "–" if value is None else f"{value:.1f}\N{NO-BREAK SPACE}s"

    def name(row: DayRow) -> Markup | str:
        if row.camera:
            return titles.get(row.camera, row.camera)
        return speech.day_heading(date.fromisoformat(row.day))

    return tuple(
        ShownRow(
            day=row.day,
            name=name(row),
            events=speech.number(row.events),
            seconds_to_alert=seconds(row.seconds_to_alert),
            false_alarms=speech.number(row.false_alarms),
            forwarded=share(row.forwarded, row.frames),
            of_frames=speech.t(
                "statistics.of_frames",
                n=speech.number(row.forwarded),
                of=speech.number(row.frames),
            ),
            agreed=share(row.agreed, row.answered),
            blind=speech.duration(60 * row.minutes_blind) if row.minutes_blind else "0",
            is_blind=row.minutes_blind > _LONG_BLIND_MIN * camera_days,
        )
        for row in rows
    )


def as_csv(rows: Sequence[DayRow]) -> str:
    """Write the rows as CSV with a heading; a cell that a spreadsheet would run is made text."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(getattr(row, name)) for name in COLUMNS])
    return out.getvalue()


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, str) and value[:1] in "=+-@\t\r":
        return f"'{value}"
    return value
