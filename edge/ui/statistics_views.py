"""The page *Statistics* and its CSV. Ring: rim."""

from __future__ import annotations

from datetime import datetime, timedelta

from flask import Blueprint, Response, request

from edge.box.tally import Counts
from edge.record.types import MOST_EVENTS_A_PAGE, EventQuery, EventRecord
from edge.ui.kit import Kit, or_none
from edge.ui.statistics_model import (
    COUNTS,
    as_csv,
    day_rows,
    show_rows,
    sums_by_camera,
    sums_by_day,
)

SPANS = (1, 7, 30)
_MOST_PAGES = 10


def add_statistics(console: Blueprint, kit: Kit) -> None:
    """Add the page and the file."""

    @console.get("/ui/statistics")
    def show_statistics() -> Response:
        speech, days, zone = kit.speech(), _days(), kit.settings.policy.zone
        titles = {name: kit.title_of(name) for name in kit.settings.cameras}
        found = or_none(lambda: _counted(kit, speech.now, days))
        by_day = show_rows(
            sums_by_day(*(found or ({}, [])), zone), titles, speech, camera_days=max(1, len(titles))
        )
        chosen = next((row for row in by_day if row.day == request.args.get("day")), None)
        if found and chosen:
            cameras = [row for row in day_rows(*found, zone) if row.day == chosen.day]
        else:
            cameras = list(sums_by_camera(*(found or ({}, [])), zone))
        places = {name: place for place, name in enumerate(titles)}  # as on the wall
        cameras.sort(key=lambda row: places.get(row.camera, len(places)))
        return kit.render(
            "statistics.html",
            speech,
            title=speech.t("page.statistics"),
            current="statistics",
            cameras=show_rows(cameras, titles, speech, camera_days=1 if chosen else days),
            by_day=by_day,
            chosen=chosen,
            is_away=found is None,
            days=days,
            spans=SPANS,
        )

    @console.get("/ui/statistics.csv")
    def statistics_file() -> Response:
        found = _counted(kit, kit.parts.clock.now_at(), _days())
        text = as_csv(day_rows(*found, kit.settings.policy.zone))
        response = Response(text, content_type="text/csv; charset=utf-8")
        response.headers["Content-Disposition"] = 'attachment; filename="emberlink-statistics.csv"'
        return response


def _days() -> int:
    asked = request.args.get("days", 7, type=int)
    return asked if asked in SPANS else 7


def _counted(kit: Kit, now: datetime, days: int) -> tuple[Counts, list[EventRecord]]:
    """Give the counts and the events of the last local days."""
    local = now.astimezone(kit.settings.policy.zone)
    since = (local - timedelta(days=days - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    counts = kit.parts.tally.days(f"{since:%Y-%m-%d}", f"{local:%Y-%m-%d}", COUNTS)
    return counts, _events(kit, since)


def _events(kit: Kit, since: datetime) -> list[EventRecord]:
    found: list[EventRecord] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        query = EventQuery(limit=MOST_EVENTS_A_PAGE, since=since, cursor=cursor)
        page = kit.parts.records.events(query)
        found += page.events
        cursor = page.cursor
        if cursor is None:
            break
    return found
