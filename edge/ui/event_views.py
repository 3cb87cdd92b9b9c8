"""The pages *Events* and *Event*, and what a person says about an event. Ring: rim."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, request
from markupsafe import Markup

from edge.event.fire_event import Severity
from edge.record.types import EventQuery, EventRecord, FrameRecord, Mark
from edge.ui.action_views import done
from edge.ui.decision_model import MOST_ROWS, show_decisions
from edge.ui.event_model import (
    first_index,
    kept_until,
    show_head,
    show_origin,
    show_stage,
    show_strip,
)
from edge.ui.events_model import DAYS, parse_filters, query_of, show_days
from edge.ui.growth_model import show_growth
from edge.ui.kit import Kit, or_none
from edge.ui.now_views import WIDTHS_PX
from edge.ui.speech import Speech
from edge.ui.thumbs import Thumbnails, crop_around
from edge.ui.told_model import ToldSink, show_told
from shared.error_code import ErrorCode
from shared.errors import FireError, RequestError
from shared.picture.imaging import read_picture
from shared.types import Picture
from shared.ui.speech import with_code

_MOST_NOTE = 500
_SHAPES_PX = {"card": (368, 276), "hero": (264, 198), "zoom": (640, 360)}


def add_events(console: Blueprint, kit: Kit) -> None:
    """Add the list, the page of one event with its stage and its state, and the pictures."""

    @console.get("/ui/events")
    def show_events() -> Response:
        return _list_page(kit)

    @console.get("/ui/events/<event_id>")
    def show_event(event_id: str) -> Response:
        return _event_page(kit, event_id)

    @console.get("/ui/events/<event_id>/state")
    def show_event_state(event_id: str) -> Response:
        speech, record = kit.speech(), kit.parts.records.event(event_id)
        return kit.render(
            "event_live.html",
            speech,
            title="",
            current="events",
            head=show_head(record, kit.title_of(record.event.camera), speech),
            told=_told(kit, record, speech),
            event_id=event_id,
        )

    @console.get("/ui/events/<event_id>/stage")
    def show_event_stage(event_id: str) -> Response:
        record, frames = kit.parts.records.event(event_id), kit.parts.records.frames(event_id)
        speech = kit.speech()
        stage = _stage(kit, record, frames, speech)
        return kit.render("stage.html", speech, title="", current="", **stage)

    _add_pictures(console, kit)
    _add_marks(console, kit)


def _list_page(kit: Kit) -> Response:
    speech = kit.speech()
    filters = parse_filters(request.args.to_dict())
    page = or_none(lambda: kit.parts.records.events(query_of(filters, speech)))
    records = page.events if page else ()
    titles = {name: kit.title_of(name) for name in kit.settings.cameras}
    return kit.render(
        "events.html",
        speech,
        title=speech.t("page.events"),
        current="events",
        filters=filters,
        days=show_days(records, titles, speech),
        is_away=page is None,
        unreadable=[
            with_code(speech.t("events.unreadable_do", event=event_id))
            for event_id in (page.unreadable if page else ())
        ],
        count=len(records),
        cursor=page.cursor if page else None,
        cameras=titles,
        spans=DAYS,
    )


def _event_page(kit: Kit, event_id: str) -> Response:
    speech, records = kit.speech(), kit.parts.records
    record, frames = records.event(event_id), records.frames(event_id)
    title = kit.title_of(record.event.camera)
    newer, older = _neighbours(kit, record)
    return kit.render(
        "event.html",
        speech,
        title=f"{title} {record.event.opened_at.astimezone(speech.zone):%H:%M}",
        current="events",
        head=show_head(record, title, speech),
        damaged=_damage(record, speech),
        told=_told(kit, record, speech),
        origin=show_origin(record, frames, speech),
        strip=show_strip(record, frames, speech),
        growth=show_growth(record, frames, speech),
        decisions=show_decisions(
            frames, speech, most=None if request.args.get("decisions") == "all" else MOST_ROWS
        ),
        kept_until=kept_until(record, kit.settings.evidence.keep_days, speech),
        frames_text=_frames_text(record, frames, speech),
        models=_models(frames),
        newer=newer,
        older=older,
        **_stage(kit, record, frames, speech),
    )


def _damage(record: EventRecord, speech: Speech) -> Markup | None:
    """Number the entries of the journal that nothing on the page is made of."""
    if not record.damaged:
        return None
    numbers = ", ".join(map(str, record.damaged))
    return with_code(speech.t("events.damaged_do", n=numbers))


def _told(kit: Kit, record: EventRecord, speech: Speech) -> tuple[ToldSink, ...]:
    notices = kit.parts.records.alerts(record.event.event_id)
    return show_told(record, notices, kit.settings.alerts.sinks, speech)


def _stage(
    kit: Kit, record: EventRecord, frames: tuple[FrameRecord, ...], speech: Speech
) -> dict[str, Any]:
    asked = request.args
    if not frames:
        return {"stage": None, "event_id": record.event.event_id}
    index = asked.get("at", -1, type=int)
    if not 0 <= index < len(frames):
        index = first_index(record, frames, asked.get("frame"))
    is_chosen = "chosen" in asked  # a form without ticks sends no ticks
    with_boxes = not is_chosen or "boxes" in asked
    with_heat = "heat" in asked
    heat = None
    if with_heat:
        heat = or_none(
            lambda: kit.parts.heat(_picture(kit, record.event.event_id, frames[index].frame_id))
        )
    stage = show_stage(record, frames, index, speech, heat=heat, with_boxes=with_boxes)
    return {
        "stage": stage,
        "frames": len(frames),
        "event_id": record.event.event_id,
        "origin_index": first_index(record, frames, None),
        "shown": {"boxes": with_boxes, "heat": with_heat},
    }


def _picture(kit: Kit, event_id: str, frame_id: str) -> Picture:
    encoded = kit.parts.records.picture(event_id, frame_id)
    return read_picture(encoded, kit.settings.limits.image_limits())


def _neighbours(kit: Kit, record: EventRecord) -> tuple[str | None, str | None]:
    """Find the events right after and right before this one."""
    at, events = record.event.opened_at, kit.parts.records.events
    just_after = at + timedelta(microseconds=1)
    after = EventQuery(limit=1, since=just_after, with_tests=True, is_oldest_first=True)
    before = EventQuery(limit=1, until=at, with_tests=True)
    found = [or_none(lambda q=query: events(q)) for query in (after, before)]  # type: ignore[misc] # bound now
    newer, older = (
        page.events[0].event.event_id if page and page.events else None for page in found
    )
    return newer, older


def _frames_text(record: EventRecord, frames: tuple[FrameRecord, ...], speech: Speech) -> str:
    if not frames:
        return str(speech.t("event.no_frames"))
    began_at = record.began_at
    before_s = max(0.0, (began_at - frames[0].captured_at).total_seconds())
    return str(speech.t("event.n_frames", n=len(frames), span=speech.duration(before_s)))


def _models(frames: tuple[FrameRecord, ...]) -> list[tuple[bool, str, str]]:
    """Name the models that spoke: (is it the cloud's, name and version, hash)."""
    found: dict[tuple[bool, str], str] = {}
    for frame in frames:
        for said in frame.said:
            is_cloud = said.source.value == "cloud"
            found[is_cloud, f"{said.model['name']} {said.model['version']}"] = said.model[
                "sha256_12"
            ]
    return [(is_cloud, name, sha) for (is_cloud, name), sha in sorted(found.items())]


def _add_pictures(console: Blueprint, kit: Kit) -> None:
    thumbs = Thumbnails()

    @console.get("/ui/events/<event_id>/frames/<frame_id>.jpg")
    def event_picture(event_id: str, frame_id: str) -> Response:
        width_px = request.args.get("width", 480, type=int)
        if width_px not in WIDTHS_PX:
            raise FireError(ErrorCode.HTTP_NOT_FOUND, f"widths are {WIDTHS_PX}")
        small = thumbs.get(frame_id, _picture(kit, event_id, frame_id), width_px)
        response = Response(small, content_type="image/jpeg")
        response.headers["Cache-Control"] = "private, max-age=3600"
        return response

    @console.get("/ui/events/<event_id>/origin.jpg")
    def origin_picture(event_id: str) -> Response:
        size_px = _SHAPES_PX.get(request.args.get("shape", "card"))
        if size_px is None:
            raise FireError(ErrorCode.HTTP_NOT_FOUND, f"shapes are {sorted(_SHAPES_PX)}")
        record = kit.parts.records.event(event_id)
        seen = record.origin or record.event

        def make() -> bytes:
            picture = _picture(kit, event_id, seen.frame_id)
            is_smoke = record.event.severity is Severity.SMOKE
            return crop_around(picture, seen.box, size_px=size_px, is_smoke=is_smoke)

        key = (f"{event_id} {seen.frame_id} {seen.box}", str(size_px))  # a box may still change
        response = Response(thumbs.made(key, make), content_type="image/jpeg")
        response.headers["Cache-Control"] = "private, max-age=3600"
        return response


def _add_marks(console: Blueprint, kit: Kit) -> None:
    @console.post("/ui/events/<event_id>/label")
    def label_event(event_id: str) -> Response:
        form, speech = request.form, kit.speech()
        given = form.get("mark", "")
        if given and given not in list(Mark):
            raise RequestError(ErrorCode.REQUEST_FIELD_INVALID, f"mark {given[:20]!r}")
        mark = Mark(given) if given else None
        record = kit.parts.records.event(event_id)
        before, said = record.mark, record.marked
        kept = said.text if said and mark else ""  # a key on a card has no word to say
        note = form.get("note", kept)[:_MOST_NOTE]
        kit.parts.records.label(event_id, mark, by=kit.visitor(), note=note)
        if mark is not None and record.acknowledged is None:
            kit.parts.acknowledge(event_id, by=kit.visitor())  # who says what it was has seen it
        words = speech.t("page.done_unlabel")
        if mark is not None:
            words = speech.t("page.done_label", mark=speech.t(f"mark.{mark.value}"))
        return done(
            kit, words, back=_back(event_id), undo=(event_id, before.value if before else "")
        )

    @console.post("/ui/events/<event_id>/hold")
    def hold_event(event_id: str) -> Response:
        is_held, speech = request.form.get("held") == "1", kit.speech()
        why = request.form.get("why", "")[:_MOST_NOTE]
        kit.parts.records.hold(event_id, is_held=is_held, by=kit.visitor(), why=why)
        words = speech.t("page.done_hold" if is_held else "page.done_unhold")
        return done(kit, words, back=_back(event_id))


def _back(event_id: str) -> str:
    return "/ui/events" if request.form.get("back") == "list" else f"/ui/events/{event_id}"
