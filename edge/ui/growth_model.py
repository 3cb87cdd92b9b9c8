"""How a fire grew, as a small chart on the axis of the frames. Ring: rim, pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from edge.event.fire_event import Severity
from edge.record.types import EventRecord, FrameRecord
from edge.ui.drawing import coverage
from edge.ui.event_model import found_on
from edge.ui.speech import Speech
from shared.types import Label, Source

_NEAR = 22.0  # per cent of the width within which words of two marks would touch on a phone
_STEPS = (
    0.04,
    0.1,
    0.2,
    0.4,
    0.6,
    0.8,
    1.0,
)  # heights of the axis, halves whole; the lowest that holds the curve


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One line in a box of 1000 × 100, its kind, its name and where that stands in per cent.

    `is_point`: it was seen on one frame alone, so that the line has no length.
    """

    kind: str
    path: str
    is_point: bool
    name: Markup
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A vertical line with words below, at per cent of the width; `anchor` keeps them inside the chart.

    Words of lines that stand close to each other go into rows of their own, 0 being the highest.
    """

    x: float
    words: Markup
    is_origin: bool
    anchor: str
    row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gridline:
    """A height with its name, in per cent from the top."""

    y: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """The whole chart and the sentence that says the same."""

    curves: tuple[Curve, ...]
    marks: tuple[Mark, ...]
    rows: int
    grid: tuple[Gridline, ...]
    label: Markup


_Series = dict[str, list[float | None]]


def show_growth(
    record: EventRecord, frames: Sequence[FrameRecord], speech: Speech
) -> Growth | None:
    """Draw which share of the picture fire and smoke cover, frame by frame; None where no box is known."""
    series = _series(record, frames)
    known = [v for values in series.values() for v in values if v is not None]
    if not known:
        return None
    top = next((s for s in _STEPS if s >= max(known)), 1.0)
    curves = tuple(
        _curve(kind, values, top, speech)
        for kind, values in series.items()
        if any(v is not None for v in values)
    )
    marks = _marks(record, frames, speech)
    return Growth(
        curves=curves,
        marks=marks,
        rows=1 + max((mark.row for mark in marks), default=0),
        grid=tuple(
            Gridline(y=round(100 * (1 - share), 1), text=speech.percent(share * top))
            for share in (0.0, 0.5, 1.0)
        ),
        label=_label(series, speech),
    )


def _series(record: EventRecord, frames: Sequence[FrameRecord]) -> _Series:
    """Take the cloud's box where it looked, else the traced one, else the edge's coarse one."""
    traced = {p.frame_id: p.box for p in record.origin.growth} if record.origin else {}
    traced_kind = "smoke" if record.event.severity is Severity.SMOKE else "fire"
    series: _Series = {"smoke": [], "fire": []}
    for frame in frames:
        size = (frame.width_px, frame.height_px)
        by_cloud = any(said.source is Source.CLOUD for said in frame.said)
        shares: dict[str, float] = {}
        if frame.frame_id in traced and not by_cloud:
            shares[traced_kind] = coverage(traced[frame.frame_id], *size)
        else:
            for found in found_on(frame):
                kind = "smoke" if found.label is Label.SMOKE else "fire"
                shares[kind] = max(shares.get(kind, 0.0), coverage(found.box, *size))
        for kind, values in series.items():
            values.append(min(1.0, shares[kind]) if kind in shares else None)
    return series


def frame_x(index: int, count: int) -> float:
    """Place a frame on the axis that strip, slider and curve share, in per cent."""
    return 100 * (index + 0.5) / count


def _curve(kind: str, values: Sequence[float | None], top: float, speech: Speech) -> Curve:
    best = max(range(len(values)), key=lambda i: values[i] or 0.0)
    places = [
        f"{10 * frame_x(index, len(values)):.1f} {100 * (1 - value / top):.1f}"
        for index, value in enumerate(values)
        if value is not None
    ]
    is_point = len(places) == 1
    return Curve(
        kind=kind,
        path="M" + "L".join(places) + ("h0" if is_point else ""),
        is_point=is_point,
        name=speech.t(f"label.{kind}"),
        x=round(min(92.0, frame_x(best, len(values))), 1),
        y=round(100 * (1 - (values[best] or 0.0) / top), 1),
    )


def _marks(record: EventRecord, frames: Sequence[FrameRecord], speech: Speech) -> tuple[Mark, ...]:
    names = [frame.frame_id for frame in frames]
    found: list[tuple[int, str]] = []
    if record.origin and record.origin.frame_id in names:
        found.append((names.index(record.origin.frame_id), "event.mark_origin"))
    yes = next((i for i, f in enumerate(frames) if _is_yes(f)), None)
    if yes is not None:
        found.append((yes, "event.mark_yes"))
    if record.event.frame_id in names and names.index(record.event.frame_id) != yes:
        found.append((names.index(record.event.frame_id), "event.mark_alarm"))
    places = [frame_x(index, len(names)) for index, _ in found]
    return tuple(
        Mark(
            x=round(x, 2),
            words=speech.t(key),
            is_origin=key == "event.mark_origin",
            anchor="end" if x > 100 - _NEAR else "start" if x < _NEAR else "middle",
            row=row,
        )
        for x, row, (_, key) in zip(places, rows_of(places), found, strict=True)
    )


def rows_of(places: Sequence[float]) -> list[int]:
    """Give each mark, at per cent of the width, the highest row in which no words stand near it."""
    rows: list[int] = []
    for number, x in enumerate(places):
        near = {rows[i] for i in range(number) if abs(places[i] - x) < _NEAR}
        rows.append(next(row for row in range(number + 1) if row not in near))
    return rows


def _is_yes(frame: FrameRecord) -> bool:
    return any(said.source is Source.CLOUD and said.label is not Label.NONE for said in frame.said)


def _label(series: _Series, speech: Speech) -> Markup:
    parts = []
    for kind, values in series.items():
        known = [v for v in values if v is not None]
        if known:
            said = {"first": speech.percent(known[0]), "most": speech.percent(max(known))}
            parts.append(speech.t("event.grew", what=speech.t(f"label.{kind}"), **said))
    return speech.sentences(parts)
