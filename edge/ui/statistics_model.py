"""What *Statistics* shows, and gives as CSV: one row a camera and day. Ring: rim, pure functions."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from markupsafe import Markup

from edge.record_types import EventRecord, Mark
from edge.tally import POSTED, Counts, total
from edge.ui.speech import Speech

COLUMNS = (
    *("day", "camera", "events", "seconds_to_alert", "false_alarms", "true_fires", "frames"),
    *("forwarded", "answered", "agreed", "minutes_blind"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRow:
    """One camera on one local day; `seconds_to_alert` is the median from origin to alarm, None without one."""

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
    """A row as people read it; `heading` says its day."""

    day: str
    heading: Markup
    title: str
    events: str
    seconds_to_alert: str
    false_alarms: str
    forwarded: str
    of_frames: Markup
    agreed: str
    minutes_blind: str


def day_rows(counts: Counts, events: Sequence[EventRecord], zone: ZoneInfo) -> tuple[DayRow, ...]:
    """Put counts and events together, the newest day first; tests are left out."""
    real = [e for e in events if not e.event.is_test]
    by_key: dict[tuple[str, str], list[EventRecord]] = {}
    for record in real:
        day = f"{record.event.opened_at.astimezone(zone):%Y-%m-%d}"
        by_key.setdefault((day, record.event.camera), []).append(record)
    keys = {(key.hour[:10], key.camera) for key in counts if key.camera != POSTED} | set(by_key)
    ordered = sorted(keys, key=lambda key: key[1])
    ordered.sort(key=lambda key: key[0], reverse=True)
    return tuple(
        _row(day, camera, counts, by_key.get((day, camera), [])) for day, camera in ordered
    )


def _row(day: str, camera: str, counts: Counts, events: Sequence[EventRecord]) -> DayRow:
    def count(name: str) -> int:
        return total(counts, name, lambda key: key.camera == camera and key.hour.startswith(day))

    waits = [(e.event.opened_at - e.origin.captured_at).total_seconds() for e in events if e.origin]
    return DayRow(
        day=day,
        camera=camera,
        events=len(events),
        seconds_to_alert=round(statistics.median(waits), 1) if waits else None,
        false_alarms=sum(e.mark is Mark.FALSE for e in events),
        true_fires=sum(e.mark is Mark.TRUE for e in events),
        frames=count("frames"),
        forwarded=count("asked"),
        answered=count("answered"),
        agreed=count("agreed"),
        minutes_blind=round(count("blind_s") / 60),
    )


def show_rows(
    rows: Sequence[DayRow], titles: Mapping[str, str], speech: Speech
) -> tuple[ShownRow, ...]:
    """Write the rows for people; a dash where there is nothing to go by."""

    def share(part: int, whole: int) -> str:
        return speech.fine_percent(part / whole) if whole else "–"

    def seconds(value: float | None) -> str:
        return "–" if value is None else f"{value:.1f}\N{NO-BREAK SPACE}s"

    return tuple(
        ShownRow(
            day=row.day,
            heading=speech.day_heading(date.fromisoformat(row.day)),
            title=titles.get(row.camera, row.camera),
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
            minutes_blind=speech.number(row.minutes_blind),
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
