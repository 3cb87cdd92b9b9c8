"""What *Events* shows: a card an event, under its day, with filters. Ring: rim, pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

from markupsafe import Markup

from edge.event.fire_event import Severity
from edge.record.types import EventQuery, EventRecord, Mark
from edge.ui.fire_model import crop_href, event_words, is_red, severity_class
from edge.ui.speech import Speech

SHOWS = ("open", "all", "held")
DAYS = (1, 7, 30, 365)
_PAGE = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What the list was asked for; `show` is one of SHOWS, `days` one of DAYS."""

    show: str
    camera: str
    severity: Severity | None
    days: int
    cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One event: its origin as a crop, what it is, how long it lasted, who decided, what people said of it."""

    event_id: str
    href: str
    state: str
    kind: str
    words: Markup
    title: str
    time: Markup
    span: Markup
    decided: Markup
    crop: str
    tags: tuple[tuple[str, str, Markup], ...]
    is_reviewed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The cards of one local day, under its heading."""

    heading: Markup
    cards: tuple[Card, ...]


def parse_filters(query: Mapping[str, str]) -> Filters:
    """Take what a person chose; anything that is not a choice is the default."""
    days = query.get("days", "")
    severity = query.get("severity", "")
    show = query.get("show", "")
    return Filters(
        show=show if show in SHOWS else "all",
        camera=query.get("camera", "")[:64],
        severity=Severity(severity) if severity in list(Severity) else None,
        days=int(days) if days in [str(d) for d in DAYS] else 30,
        cursor=query.get("cursor") or None,
    )


def query_of(filters: Filters, speech: Speech) -> EventQuery:
    """Make what the store is asked of what a person chose; tests are shown, too."""
    return EventQuery(
        limit=_PAGE,
        cursor=filters.cursor,
        camera=filters.camera or None,
        severity=filters.severity,
        is_reviewed=False if filters.show == "open" else None,
        is_held=True if filters.show == "held" else None,
        since=speech.now - timedelta(days=filters.days),
        with_tests=True,
    )


def show_days(
    records: Sequence[EventRecord],
    titles: Mapping[str, str],
    speech: Speech,
) -> tuple[Day, ...]:
    """Put the events under their days."""

    def day_of(record: EventRecord) -> object:
        return record.event.opened_at.astimezone(speech.zone).date()

    return tuple(
        Day(
            heading=speech.day_heading(day),  # type: ignore[arg-type] # a date
            cards=tuple(_card(record, titles, speech) for record in group),
        )
        for day, group in groupby(records, key=day_of)
    )


def _card(
    record: EventRecord,
    titles: Mapping[str, str],
    speech: Speech,
) -> Card:
    event = record.event
    is_reviewed = record.mark is not None or event.is_test
    state = "open" if is_red(record) else "done" if is_reviewed else ""
    began_at = record.began_at
    return Card(
        event_id=event.event_id,
        href=f"/ui/events/{event.event_id}",
        state=state,
        kind="calm" if event.is_test else severity_class(event.severity),
        words=speech.t("events.test") if event.is_test else event_words(record, speech),
        title=titles.get(event.camera, event.camera),
        time=speech.clock(began_at),
        span=_span(record, speech),
        decided=_decided(record, speech),
        crop=crop_href(record, "card"),
        tags=_tags(record, speech),
        is_reviewed=is_reviewed,
    )


def _span(record: EventRecord, speech: Speech) -> Markup:
    event = record.event
    began_at = record.began_at
    if event.closed_at is None:
        span = speech.duration((speech.now - began_at).total_seconds())
        return speech.t("event.burning", span=span, at="")
    span = speech.duration((event.last_seen_at - began_at).total_seconds())
    return speech.t("events.span", span=span, at=speech.clock(event.last_seen_at))


def _decided(record: EventRecord, speech: Speech) -> Markup:
    peak = speech.percent(record.event.peak)
    is_checked = record.event.grade.value == "confirmed"
    return speech.t("events.by_cloud" if is_checked else "events.by_edge", p=peak)


def _tags(record: EventRecord, speech: Speech) -> tuple[tuple[str, str, Markup], ...]:
    """Give (CSS class, icon, words) of what people have said, or still have to."""
    tags: list[tuple[str, str, Markup]] = []
    if is_red(record):
        tags.append(("fire", "fire", speech.t("events.not_acknowledged")))
    elif record.mark is not None:
        tags.append(("", "check", mark_words(record, speech)))
    elif not record.event.is_test:
        tags.append(("accent", "pencil", speech.t("events.not_reviewed")))
    if record.is_held:
        tags.append(("", "lock", speech.t("events.held")))
    return tuple(tags)


def mark_words(record: EventRecord, speech: Speech) -> Markup:
    """Say what a person called it, with the note."""
    mark = record.mark or Mark.OTHER
    words = speech.t(f"mark.{mark.value}")
    note = record.marked.text[:60] if record.marked else ""
    return speech.t("events.with_note", mark=words, note=note) if note else words
