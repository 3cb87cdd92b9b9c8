"""The page *Statistics* and its CSV. Ring: rim."""

from __future__ import annotations

from datetime import datetime, timedelta

from flask import Blueprint, Response, request

from edge.record_types import MOST_EVENTS_A_PAGE, EventQuery, EventRecord
from edge.ui.kit import Kit, or_none
from edge.ui.statistics_model import DayRow, as_csv, day_rows, show_rows

SPANS = (1, 7, 30)
_MOST_PAGES = 10


def add_statistics(console: Blueprint, kit: Kit) -> None:
    """Add the page and the file."""

    @console.get("/ui/statistics")
    def show_statistics() -> Response:
        speech, days = kit.speech(), _days()
        titles = {name: kit.title_of(name) for name in kit.settings.cameras}
        rows = or_none(lambda: _rows(kit, speech.now, days))
        return kit.render(
            "statistics.html",
            speech,
            title=speech.t("page.statistics"),
            current="statistics",
            rows=show_rows(rows or (), titles, speech),
            is_away=rows is None,
            days=days,
            spans=SPANS,
        )

    @console.get("/ui/statistics.csv")
    def statistics_file() -> Response:
        text = as_csv(_rows(kit, kit.parts.clock.now_at(), _days()))
        response = Response(text, content_type="text/csv; charset=utf-8")
        response.headers["Content-Disposition"] = 'attachment; filename="emberlink-statistics.csv"'
        return response


def _days() -> int:
    asked = request.args.get("days", 7, type=int)
    return asked if asked in SPANS else 7


def _rows(kit: Kit, now: datetime, days: int) -> tuple[DayRow, ...]:
    zone = kit.settings.policy.zone
    today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    since = today - timedelta(days=days - 1)
    tally = kit.parts.tally
    counts = tally.between(tally.hour_of(since), tally.hour_of(now))
    return day_rows(counts, _events(kit, since), zone)


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
