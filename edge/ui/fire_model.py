"""What a burning camera shows beside its picture: where and when it began, who decided. Ring: rim, pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from edge.box.live import Look
from edge.event.fire_event import Severity
from edge.record.types import EventRecord
from edge.ui.drawing import coverage, place_in_words
from edge.ui.speech import Speech
from shared.types import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class FireFact:
    """A line beside the picture."""

    name: Markup
    text: Markup | str
    small: Markup | str


@dataclass(frozen=True, slots=True, kw_only=True)
class FireTile:
    """What the hero of the wall shows beside the live picture."""

    event_id: str
    crop: str
    facts: tuple[FireFact, ...]


def is_red(event: EventRecord) -> bool:
    """Tell whether an event keeps the wall red: a fire that nobody has acknowledged."""
    return event.event.severity is Severity.FIRE and event.acknowledged is None


def severity_class(severity: Severity) -> str:
    """Give the CSS class of a severity."""
    return "doubt" if severity is Severity.UNCERTAIN else severity.value


def event_words(event: EventRecord, speech: Speech) -> Markup:
    """Say what an event is, and whether anybody checked it."""
    severity, grade = event.event.severity, event.event.grade
    if severity is Severity.UNCERTAIN:
        return speech.t("now.chip_uncertain")
    who = "confirmed" if grade.value == "confirmed" else "edge"
    return speech.t(f"now.chip_{severity.value}_{who}")


def show_fire(record: EventRecord, look: Look | None, title: str, speech: Speech) -> FireTile:
    """Put together what stands beside the live picture of a fire."""
    picture = look.frame.picture if look else None
    size = (picture.width_px, picture.height_px) if picture else None
    facts = [_began(record, size, speech), _decided(record, look, speech)]
    boxes = [d.box for d in look.verdict.detections] if look and look.verdict else []
    if boxes and size:
        share = max(coverage(box, *size) for box in boxes)
        size_words = speech.t("now.covers", share=speech.percent(share))
        facts.insert(1, FireFact(name=speech.t("now.size"), text=size_words, small=""))
    return FireTile(
        event_id=record.event.event_id,
        crop=crop_href(record, "hero"),
        facts=tuple(facts),
    )


def crop_href(record: EventRecord, shape: str) -> str:
    """Give the address of the view on where it began; `shape` is card, hero or zoom."""
    frame_id = record.origin.frame_id if record.origin else record.event.frame_id
    return f"/ui/events/{record.event.event_id}/origin.jpg?shape={shape}&frame={frame_id}"


def _began(record: EventRecord, size: tuple[int, int] | None, speech: Speech) -> FireFact:
    origin = record.origin
    if origin is None:
        return FireFact(
            name=speech.t("now.opened"),
            text=speech.moment(record.event.opened_at),
            small=speech.t("now.not_traced"),
        )
    small: Markup | str = ""
    if origin.box is not None and size is not None:
        small = speech.t(place_in_words(origin.box, *size))
    return FireFact(name=speech.t("now.began"), text=speech.moment(origin.captured_at), small=small)


def _decided(record: EventRecord, look: Look | None, speech: Speech) -> FireFact:
    what = speech.t(f"label.{record.event.severity.value}")
    peak = speech.percent(record.event.peak)
    verdict = look.verdict if look else None
    if verdict is not None and verdict.source is Source.CLOUD:
        said = speech.t("now.by_cloud", what=what, p=speech.percent(verdict.confidence))
        small = speech.t("now.edge_said", p=speech.percent(verdict.edge.presence))
        return FireFact(name=speech.t("now.decided"), text=said, small=small)
    if record.event.grade.value == "confirmed":
        said = speech.t("events.by_cloud", p=peak)  # the peak may be the edge's
        return FireFact(name=speech.t("now.decided"), text=said, small="")
    said = speech.t("now.by_edge", what=what, p=peak)
    return FireFact(name=speech.t("now.decided"), text=said, small=speech.t("now.cloud_not_asked"))
