"""The routes of events and their evidence: parse, call, format. Ring: rim."""

from __future__ import annotations

import contextlib
import hashlib
import re
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from io import BufferedRandom
from typing import Annotated, Any, BinaryIO, Protocol

from flask import Flask, Response, request, send_file
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from edge import answers
from edge.alert.notice import Notice
from edge.event.evidence import Grade
from edge.event.fire_event import Severity
from edge.record.types import (
    MOST_EVENTS_A_PAGE,
    EventPage,
    EventQuery,
    EventRecord,
    FrameRecord,
    Mark,
)
from edge.record.wire import event_answer, frame_answer, notice_answer
from shared.access.gate import who_says
from shared.error_code import ErrorCode
from shared.errors import RequestError
from shared.types import MediaType
from shared.web import app as web
from shared.web import arguments
from shared.web.language import is_chinese
from shared.web.openapi import EMPTY, Reply, describes

_TAG = "Events and evidence"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_PICTURE = Reply(text="The picture.", media_types=("image/jpeg", "image/png"))
_PNG_MAGIC = b"\x89PNG"
_Moment = Annotated[
    AwareDatetime, Field(ge=datetime(1970, 1, 2, tzinfo=UTC), le=datetime(2200, 1, 1, tzinfo=UTC))
]
_Name = Annotated[str, Field(min_length=1, max_length=64)]


class Events(Protocol):
    """The evidence store, as the routes see it. Every call may raise FireError."""

    def events(self, query: EventQuery) -> EventPage:
        """Give a page of events."""
        ...

    def event(self, event_id: str) -> EventRecord:
        """Give one event."""
        ...

    def frames(self, event_id: str) -> tuple[FrameRecord, ...]:
        """Give the frames of an event in time order."""
        ...

    def alerts(self, event_id: str) -> tuple[Notice, ...]:
        """Tell who was told of it."""
        ...

    def picture(self, event_id: str, frame_id: str) -> bytes:
        """Give a frame's picture."""
        ...

    def export(self, event_id: str, target: BinaryIO, *, is_chinese: bool) -> None:
        """Write the zip of an event."""
        ...

    def label(self, event_id: str, mark: Mark | None, *, by: str, note: str = "") -> None:
        """Keep what a person says it was."""
        ...

    def hold(self, event_id: str, *, is_held: bool, by: str, why: str) -> None:
        """Keep it from being deleted, or let it go."""
        ...


class Acknowledges(Protocol):
    """Whoever is told that a person has seen an event: the store, and whoever would go on calling people."""

    def __call__(self, event_id: str, *, by: str) -> None:
        """Take it in."""
        ...


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    req_id: str | None = None


class EventArguments(_Arguments):
    """What `GET /events` may be asked."""

    limit: int = Field(default=50, ge=1, le=MOST_EVENTS_A_PAGE)
    cursor: str | None = Field(default=None, max_length=400)
    camera: _Name | None = None
    severity: Severity | None = None
    grade: Grade | None = None
    is_reviewed: bool | None = None
    since: _Moment | None = None
    until: _Moment | None = None
    with_tests: bool = False


class FrameArguments(_Arguments):
    """What `GET /events/<id>/frames` may be asked; the cursor is the number of frames to pass over."""

    limit: int = Field(default=200, ge=1, le=200)
    cursor: int = Field(default=0, ge=0, le=10_000_000)


class Acknowledgement(_Arguments):
    """What `POST /events/<id>/acknowledge` takes."""

    by: _Name = "api"


class Labelling(_Arguments):
    """What `POST /events/<id>/label` takes; `mark` null takes a label back."""

    mark: Mark | None
    note: str = Field(default="", max_length=2000)
    by: _Name = "api"


class Holding(_Arguments):
    """What `POST /events/<id>/hold` takes."""

    is_held: bool
    why: str = Field(default="", max_length=2000)
    by: _Name = "api"


def add_event_routes(app: Flask, events: Events, acknowledge: Acknowledges) -> None:
    """Add what is asked and said about events."""
    _add_reading(app, events)
    _add_picture(app, events)
    _add_export(app, events)
    _add_actions(app, events, acknowledge)


def _add_reading(app: Flask, events: Events) -> None:
    @app.get("/events")
    @describes(
        "List events, newest first.", tag=_TAG, result=answers.EventsAnswer, query=EventArguments
    )
    def list_events() -> Response:
        asked = arguments.validated(EventArguments, request.args.to_dict())
        page = events.events(EventQuery(**asked.model_dump(exclude={"req_id"})))
        shown = [event_answer(record, is_chinese=is_chinese()) for record in page.events]
        beside = {"cursor": page.cursor, "unreadable": list(page.unreadable)}
        return web.success({"events": shown, **beside})

    @app.get("/events/<event_id>")
    @describes("Tell one event, its origin first.", tag=_TAG, result=answers.EventAnswer)
    def one_event(event_id: str) -> Response:
        return _answer(events, event_id)

    @app.get("/events/<event_id>/frames")
    @describes(
        "List the frames of an event.", tag=_TAG, result=answers.FramesAnswer, query=FrameArguments
    )
    def list_frames(event_id: str) -> Response:
        asked = arguments.validated(FrameArguments, request.args.to_dict())
        frames = events.frames(event_id)
        end = asked.cursor + asked.limit
        shown = [
            frame_answer(event_id, frame, is_chinese=is_chinese())
            for frame in frames[asked.cursor : end]
        ]
        return web.success({"frames": shown, "cursor": end if end < len(frames) else None})

    @app.get("/events/<event_id>/alerts")
    @describes(
        "Tell who was told of an event, and what came of it.", tag=_TAG, result=answers.AlertsAnswer
    )
    def list_alerts(event_id: str) -> Response:
        return web.success(
            {"alerts": [notice_answer(notice) for notice in events.alerts(event_id)]}
        )


def _add_picture(app: Flask, events: Events) -> None:
    @app.get("/events/<event_id>/frames/<frame_id>")
    @describes(
        "Give a picture, with its ETag.",
        tag=_TAG,
        says={200: _PICTURE, 206: replace(_PICTURE, text="A part of it."), 304: EMPTY},
        headers={
            "If-None-Match": "The ETag of a picture that you have.",
            "Range": "Bytes of it, to go on after a break.",
        },
    )
    def one_frame(event_id: str, frame_id: str) -> Response:
        picture = events.picture(event_id, frame_id)
        media_type = MediaType.PNG if picture.startswith(_PNG_MAGIC) else MediaType.JPEG
        response = Response(picture, content_type=media_type.value)
        response.add_etag()
        response.cache_control.private = True
        response.cache_control.max_age = 3600
        response.make_conditional(request, accept_ranges=True, complete_length=len(picture))
        return response


def _add_export(app: Flask, events: Events) -> None:
    @app.get("/events/<event_id>/export")
    @describes(
        "Pack an event for somebody else: report, pictures, journal, and a program that checks them.",
        tag=_TAG,
        says={
            200: Reply(text="The zip.", media_types=("application/zip",)),
            206: Reply(text="A part of it.", media_types=("application/zip",)),
            304: EMPTY,
        },
        headers={
            "If-None-Match": "The ETag of a zip that you have.",
            "If-Range": "The ETag of the zip whose rest is asked for.",
            "Range": "Bytes of the zip, to go on after a break.",
        },
    )
    def export_event(event_id: str) -> Response:
        events.event(event_id)  # an unknown one is told before anything is packed
        packed = _packed(events, event_id)
        size_bytes = packed.tell()
        packed.seek(0)
        tag = hashlib.file_digest(packed, "sha256").hexdigest()
        packed.seek(0)
        name = f"emberlink-{_UNSAFE.sub('_', event_id)}.zip"
        response = send_file(
            packed, mimetype="application/zip", as_attachment=True, download_name=name
        )
        response.content_length = size_bytes
        # The same event packs to the same bytes; one that went on must not be pieced together.
        response.set_etag(tag)
        response.make_conditional(request, accept_ranges=True, complete_length=size_bytes)
        return response


def _add_actions(app: Flask, events: Events, acknowledge: Acknowledges) -> None:
    @app.post("/events/<event_id>/acknowledge")
    @describes(
        "Say that somebody has seen it.", tag=_TAG, result=answers.EventAnswer, body=Acknowledgement
    )
    def acknowledge_event(event_id: str) -> Response:
        said = arguments.validated(Acknowledgement, _body())
        acknowledge(event_id, by=who_says(said.by))
        return _answer(events, event_id)

    @app.post("/events/<event_id>/label")
    @describes("Say what it was.", tag=_TAG, result=answers.EventAnswer, body=Labelling)
    def label_event(event_id: str) -> Response:
        said = arguments.validated(Labelling, _body())
        events.label(event_id, said.mark, by=who_says(said.by), note=said.note)
        return _answer(events, event_id)

    @app.post("/events/<event_id>/hold")
    @describes(
        "Keep it from being deleted, or let it go.",
        tag=_TAG,
        result=answers.EventAnswer,
        body=Holding,
    )
    def hold_event(event_id: str) -> Response:
        said = arguments.validated(Holding, _body())
        events.hold(event_id, is_held=said.is_held, by=who_says(said.by), why=said.why)
        return _answer(events, event_id)


def _answer(events: Events, event_id: str) -> Response:
    return web.success(event_answer(events.event(event_id), is_chinese=is_chinese()))


def _packed(events: Events, event_id: str) -> BufferedRandom:
    """Pack an event into a file without a name; an hour of pictures is too much for memory."""
    with contextlib.ExitStack() as undo:
        packed = undo.enter_context(tempfile.TemporaryFile())
        events.export(event_id, packed, is_chinese=is_chinese())
        undo.pop_all()  # closed with the answer
        return packed


def _body() -> dict[str, Any]:
    """An acknowledgement needs no body; a button that posts a form sends one of another type, which is refused."""
    if not request.content_length:
        return {}
    media_type = arguments.media_type_of(request.content_type)
    if media_type != "application/json":
        raise RequestError(ErrorCode.REQUEST_CONTENT_TYPE, f"got {media_type or 'none'}")
    values = arguments.parse_json_object(request.get_data(cache=False))
    web.take_req_id(values)
    return values
