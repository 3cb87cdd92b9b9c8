"""Every decision of an event as rows of a table, repeats folded, newest first. Ring: rim, pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from edge.record.types import FrameRecord, Said
from edge.ui.event_model import cloud_said
from edge.ui.speech import Speech
from shared.types import Source

MOST_ROWS = 100  # 40 kB; a fire of an hour has a thousand, which no first look needs


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """One decision, or several alike; `went` is kept, sent, fallback or origin."""

    time: Markup
    share: str
    value: str
    went: str
    went_words: Markup
    why: Markup
    code: str
    cloud: Markup | str
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """The table with its heading: the prices that held, and what was charged; `left_out` older rows are not shown."""

    rows: tuple[DecisionRow, ...]
    left_out: int
    price: Markup | None
    charged: Markup


def show_decisions(
    frames: Sequence[FrameRecord], speech: Speech, *, most: int | None = MOST_ROWS
) -> Decisions:
    """Fold neighbours that were kept for the same reason; every question to the cloud keeps its row.

    Args:
        frames: of the event, in time order.
        speech: the reader's language.
        most: rows at most, the newest; all of them for None.
    """
    rows: list[DecisionRow] = []
    asked = 0
    prices: set[str] = set()
    for frame in frames:
        if not frame.said:
            continue
        first, last = frame.said[0], frame.said[-1]
        asked += last.charged_micros > 0
        if last.price is not None:
            prices.add(f"{last.price:.3f}")
        row = _row(frame, first, last, speech)
        if rows and _is_same(rows[-1], row):
            row = _folded(rows.pop(), row)
        rows.append(row)
    return Decisions(
        rows=tuple(reversed(rows))[:most],
        left_out=0 if most is None else max(0, len(rows) - most),
        price=_price_words(prices, speech),
        charged=speech.t("event.charged", n=asked),
    )


def _row(frame: FrameRecord, first: Said, last: Said, speech: Speech) -> DecisionRow:
    went = _went(last)
    return DecisionRow(
        time=speech.clock(frame.captured_at, tenths=True),
        share=speech.percent(max(first.fire, first.smoke)),
        value="–" if last.value is None else f"{last.value:.3f}",
        went=went,
        went_words=speech.t(f"went.{went}"),
        why=speech.t(f"reason.{last.reason.value}"),
        code=last.reason.value,
        cloud=cloud_said(last, speech) if last.source is Source.CLOUD else "–",
        times=1,
    )


def _went(said: Said) -> str:
    if said.reason.value == "cloud_origin":
        return "origin"
    if said.source is Source.EDGE_FALLBACK:
        return "fallback"
    return "sent" if said.source is Source.CLOUD or said.is_pending else "kept"


def _is_same(old: DecisionRow, new: DecisionRow) -> bool:
    return old.went == new.went == "kept" and old.code == new.code


def _folded(old: DecisionRow, new: DecisionRow) -> DecisionRow:
    """Keep the first time and the last figures of frames that were kept for one reason."""
    return DecisionRow(
        time=old.time,
        share=new.share,
        value=new.value,
        went=old.went,
        went_words=old.went_words,
        why=old.why,
        code=old.code,
        cloud=old.cloud,
        times=old.times + 1,
    )


def _price_words(prices: set[str], speech: Speech) -> Markup | None:
    if not prices:
        return None
    if len(prices) == 1:
        return speech.t("event.price_same", price=prices.pop())
    return speech.t("event.price_range", low=min(prices), high=max(prices))
