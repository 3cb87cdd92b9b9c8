"""Who was told of an event, what came of each message, and why somebody was not. Ring: rim, pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from markupsafe import Markup

from edge.alert.notice import Notice, NoticeResult
from edge.alert.rules import severity_rank
from edge.config.alerts import AnySink
from edge.record.types import EventRecord
from edge.ui.speech import Speech


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldLine:
    """One message: what it said, and what came of it; `kind` is the CSS class of its state."""

    what: Markup
    kind: str
    icon: str
    result: Markup
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldSink:
    """A sink with its messages in order; `note` says why it has none."""

    name: str
    kind: str
    lines: tuple[ToldLine, ...]
    note: Markup | str


def show_told(
    record: EventRecord,
    notices: Sequence[Notice],
    sinks: Mapping[str, AnySink],
    speech: Speech,
) -> tuple[ToldSink, ...]:
    """Tell of every sink that was told, and of every configured one that was not.

    Args:
        record: the event.
        notices: what came of its messages, in order.
        sinks: the configured ones by name.
        speech: the voice.
    """
    by_sink: dict[str, list[Notice]] = {name: [] for name in sinks}
    for notice in notices:
        by_sink.setdefault(notice.sink, []).append(notice)
    return tuple(
        ToldSink(
            name=name,
            kind=told[-1].sink_kind if told else sinks[name].kind,
            lines=tuple(_line(notice, record, speech) for notice in _last_of_each(told)),
            note="" if told else _why_not(record, sinks[name], speech),
        )
        for name, told in by_sink.items()
    )


def _last_of_each(notices: Iterable[Notice]) -> list[Notice]:
    """Keep of each message what came of it last, in the order in which they were sent; a wait that ended is none."""
    last: dict[str, Notice] = {}
    for notice in notices:
        last[notice.alert_id] = notice
    if len(last) > 1:
        last.pop("", None)
    return list(last.values())


def _line(notice: Notice, record: EventRecord, speech: Speech) -> ToldLine:
    is_there = notice.result is NoticeResult.DELIVERED
    is_held = notice.result is NoticeResult.HELD
    later_s = (notice.at - record.event.opened_at).total_seconds()
    span = f"{later_s:.1f}\N{NO-BREAK SPACE}s" if 0 <= later_s < 60 else speech.duration(later_s)
    return ToldLine(
        what=speech.t(f"told.{notice.step.value}"),
        kind="" if is_there else "quiet" if is_held else "trouble",
        icon="check" if is_there else "clock" if is_held else "trouble",
        result=speech.t(f"told.{notice.result.value}", at=speech.moment(notice.at), span=span),
        detail=notice.detail,
    )


def _why_not(record: EventRecord, sink: AnySink, speech: Speech) -> Markup:
    event, wait_s = record.event, sink.escalate_after_s
    if severity_rank(event.severity) < severity_rank(sink.least):
        return speech.t("told.too_mild", least=speech.t(f"label.{sink.least.value}"))
    if wait_s > 0 and record.acknowledged is not None:
        return speech.t("told.was_acknowledged", span=speech.duration(wait_s))
    if wait_s > 0 and event.closed_at is None:
        due_at = event.opened_at + timedelta(seconds=wait_s)
        return speech.t("told.will_escalate", at=speech.moment(due_at))
    return speech.t("told.nothing_yet" if event.closed_at is None else "told.nothing")
