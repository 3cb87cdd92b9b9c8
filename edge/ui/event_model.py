"""What *Event* shows: the origin first, the frames, every decision, the evidence. Ring: rim, pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from markupsafe import Markup

from edge.classify.locate import HeatMap
from edge.event.fire_event import Origin, Severity
from edge.record.types import EventRecord, FrameRecord, Mark, Said, Signed
from edge.ui.drawing import (
    DrawnBox,
    HeatImage,
    drawn,
    heat_image,
    place_in_words,
)
from edge.ui.fire_model import crop_href, event_words, is_red, severity_class
from edge.ui.speech import Speech
from edge.ui.try_model import Fact
from shared.types import ClockQuality, Detection, Label, Source

_STRIP = 12  # frames side by side; more become too small to see a flame on


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One frame as large as the page allows, with what was found on it."""

    index: int
    frame_id: str
    href: str
    width_px: int
    height_px: int
    time: Markup
    said: Markup
    boxes: tuple[DrawnBox, ...]
    heat: HeatImage | None
    is_origin: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StripFrame:
    """A small frame of the strip; `kind` colours the bar above it, `index` is its place on the slider."""

    index: int
    href: str
    page_href: str
    text: str
    title: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginPanel:
    """When and where it began, or when it opened where that was not traced; `when` has its tenth apart."""

    name: Markup
    when: Markup
    tenth: str
    sentence: Markup
    crop: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventHead:
    """The line at the top of the page."""

    event_id: str
    title: str
    day: str
    kind: str
    words: Markup
    state: Markup
    is_burning: bool
    is_red: bool
    mark: Mark | None
    note: str
    marked: Markup | None
    acknowledged: Markup | None
    is_held: bool
    is_test: bool


def show_head(record: EventRecord, title: str, speech: Speech) -> EventHead:
    """Say what the event is and how it stands."""
    event = record.event
    began_at = record.began_at
    until_at = event.last_seen_at if event.closed_at else speech.now
    span = speech.duration(record.lasted_until(until_at).total_seconds())
    key = "event.burning" if event.closed_at is None else "event.lasted"
    seen, marked = record.acknowledged, record.marked
    return EventHead(
        event_id=event.event_id,
        title=title,
        day=speech.day(began_at.astimezone(speech.zone).date()),
        kind=severity_class(event.severity),
        words=event_words(record, speech),
        state=speech.t(key, span=span, at=speech.moment(event.last_seen_at)),
        is_burning=event.closed_at is None,
        is_red=is_red(record),
        mark=record.mark,
        note=marked.text if marked and record.mark else "",
        marked=_by(marked, speech) if marked and record.mark else None,
        acknowledged=_by(seen, speech) if seen else None,
        is_held=record.is_held,
        is_test=event.is_test,
    )


def _by(signed: Signed, speech: Speech) -> Markup:
    return speech.t("event.by", by=signed.by, at=speech.moment(signed.at))


def show_origin(record: EventRecord, frames: Sequence[FrameRecord], speech: Speech) -> OriginPanel:
    """Say when and where it began, who found that, and how sure the time is; of an untraced one when it opened."""
    origin, event = record.origin, record.event
    at = record.began_at
    frame = next((f for f in frames if f.frame_id == (origin or event).frame_id), None)
    size = (frame.width_px, frame.height_px) if frame else None
    local = at.astimezone(speech.zone)
    return OriginPanel(
        name=speech.t("event.began_at" if origin else "event.opened_at"),
        when=speech.clock(at),
        tenth=f".{local.microsecond // 100_000}",
        sentence=_began(record, size, speech),
        crop=crop_href(record, "zoom"),
        facts=_origin_facts(record, frame, size, speech),
    )


def _began(record: EventRecord, size: tuple[int, int] | None, speech: Speech) -> Markup:
    origin = record.origin
    if origin is None:
        return speech.t("event.not_traced")
    parts = []
    if origin.box is not None and size is not None:
        where = speech.t(place_in_words(origin.box, *size))
        what = "Smoke" if record.event.severity is Severity.SMOKE else "Fire"
        parts.append(speech.t("event.began_where", what=speech.t(f"label.{what}"), where=where))
    later_s = (record.event.opened_at - origin.captured_at).total_seconds()
    if later_s > 0.05:
        parts.append(speech.t("event.alarm_later", span=f"{later_s:.1f}\N{NO-BREAK SPACE}s"))
    if origin.is_earliest_kept:
        parts.append(speech.t("event.may_be_older"))
    return speech.sentences(parts)


def _origin_facts(
    record: EventRecord, frame: FrameRecord | None, size: tuple[int, int] | None, speech: Speech
) -> tuple[Fact, ...]:
    origin = record.origin
    facts = []
    if origin is not None and origin.box is not None and size is not None:
        box = origin.box
        at = speech.t(
            "try.position", x1=round(box.x1), x2=round(box.x2), y1=round(box.y1), y2=round(box.y2)
        )
        of = f"/ {size[0]} × {size[1]} px"
        facts.append(Fact(name=speech.t("event.box"), text=at, faint=of))
    if origin is not None:
        back = _frames_back(origin, record)
        found = speech.t(f"event.found_{origin.method.value}", span=back)
        facts.append(Fact(name=speech.t("event.found_by"), text=found))
        sure = speech.percent(origin.confidence)
        facts.append(Fact(name=speech.t("event.sure"), text=sure))
    if frame is not None:
        is_source = frame.clock_quality is ClockQuality.SOURCE
        clock = speech.t("event.clock_source" if is_source else "event.clock_received")
        facts.append(
            Fact(name=speech.t("event.clock"), text=clock, faint=speech.offset(frame.captured_at))
        )
    if record.reckoned_at is not None:
        day = speech.day(record.reckoned_at.astimezone(speech.zone).date(), with_year=True)
        facts.append(
            Fact(
                name=speech.t("event.reckoned"),
                text=Markup("{} {}").format(day, speech.clock(record.reckoned_at, tenths=True)),
                faint=speech.t("event.reckoned_note"),
            )
        )
    return tuple(facts)


def _frames_back(origin: Origin, record: EventRecord) -> str:
    back_s = (record.event.opened_at - origin.captured_at).total_seconds()
    return f"{max(0.0, back_s):.1f}\N{NO-BREAK SPACE}s"


def first_index(record: EventRecord, frames: Sequence[FrameRecord], wanted: str | None) -> int:
    """Choose the frame that is shown first: the wanted one, else the origin, else the one that opened it."""
    names = [frame.frame_id for frame in frames]
    origin = record.origin.frame_id if record.origin else None
    for name in (wanted, origin, record.event.frame_id):
        if name in names:
            return names.index(name)
    return 0


def show_stage(
    record: EventRecord,
    frames: Sequence[FrameRecord],
    index: int,
    speech: Speech,
    *,
    heat: HeatMap | None,
    with_boxes: bool,
) -> Stage:
    """Show one frame with its boxes; the origin's box stands on the origin's frame."""
    frame, event_id = frames[index], record.event.event_id
    origin = record.origin
    is_origin = origin is not None and frame.frame_id == origin.frame_id
    boxes: tuple[DrawnBox, ...] = ()
    if with_boxes:
        boxes = tuple(
            drawn(d, frame.width_px, frame.height_px, _box_text(d, speech)) for d in found_on(frame)
        )
        if is_origin and origin is not None and origin.box is not None:
            text = speech.t("event.origin_box", p=speech.percent(origin.confidence))
            label = Label.SMOKE if record.event.severity is Severity.SMOKE else Label.FIRE
            seen = Detection(label=label, score=origin.confidence, box=origin.box)
            boxes = (drawn(seen, frame.width_px, frame.height_px, text),)
    return Stage(
        index=index,
        frame_id=frame.frame_id,
        href=frame_href(event_id, frame.frame_id, 960),
        width_px=frame.width_px,
        height_px=frame.height_px,
        time=speech.clock(frame.captured_at, tenths=True),
        said=_said_of(frame, speech),
        boxes=boxes,
        heat=None if heat is None else heat_image(heat),
        is_origin=is_origin,
    )


def frame_href(event_id: str, frame_id: str, width_px: int) -> str:
    """Give the address of a kept frame, scaled down."""
    return f"/ui/events/{event_id}/frames/{frame_id}.jpg?width={width_px}"


def found_on(frame: FrameRecord) -> tuple[Detection, ...]:
    """Give the boxes of a frame: the cloud's where it looked, else the edge's coarse ones."""
    for said in reversed(frame.said):
        if said.source is Source.CLOUD:
            return said.detections
    return frame.said[-1].detections if frame.said else ()


def _box_text(detection: Detection, speech: Speech) -> str:
    return f"{speech.t('label.' + detection.label.value)} {speech.percent(detection.score)}"


def _said_of(frame: FrameRecord, speech: Speech) -> Markup:
    if not frame.said:
        return speech.t("event.not_judged")
    last, first = frame.said[-1], frame.said[0]
    edge = speech.t("event.edge_gave", p=speech.percent(max(first.fire, first.smoke)))
    if last.source is not Source.CLOUD:
        return edge
    return speech.sentences([edge, cloud_said(last, speech, is_long=True)])


def cloud_said(said: Said, speech: Speech, *, is_long: bool = False) -> Markup:
    """Say what the cloud answered."""
    if said.label is Label.NONE:
        words = speech.t("event.no")
    else:
        name = speech.t(f"label.{said.label.value}")
        words = Markup("{} {}").format(name, speech.percent(said.confidence))
    return speech.t("event.cloud_gave", what=words) if is_long else words


def show_strip(
    record: EventRecord, frames: Sequence[FrameRecord], speech: Speech
) -> tuple[StripFrame, ...]:
    """Choose up to twelve frames, evenly, for the strip above the slider."""
    count = min(_STRIP, len(frames))
    chosen = [round(i * (len(frames) - 1) / max(1, count - 1)) for i in range(count)]
    return tuple(_strip_frame(record, frames[i], i, speech) for i in chosen)


def _strip_frame(record: EventRecord, frame: FrameRecord, index: int, speech: Speech) -> StripFrame:
    local = frame.captured_at.astimezone(speech.zone)
    labels = {d.label for d in found_on(frame)}
    kind = "s-fire" if Label.FIRE in labels else "s-smoke" if Label.SMOKE in labels else ""
    event_id = record.event.event_id
    return StripFrame(
        index=index,
        href=frame_href(event_id, frame.frame_id, 160),
        page_href=f"/ui/events/{event_id}?frame={frame.frame_id}",
        text=f":{local:%S}.{local.microsecond // 100_000}",
        title=f"{local:%H:%M:%S}.{local.microsecond // 100_000}",
        kind=kind,
    )


def kept_until(record: EventRecord, keep_days: int, speech: Speech) -> str:
    """Say until when an event is kept, as a date."""
    until_at = record.event.last_seen_at + timedelta(days=keep_days)
    return speech.day(until_at.astimezone(speech.zone).date(), with_year=True)
