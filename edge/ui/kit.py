"""What every page's view is made of: the request's voice, the frame, safe answers. Ring: rim (Flask)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response, g, render_template, request
from markupsafe import Markup

from edge.box.routes import Status
from edge.config.settings import EdgeSettings
from edge.record.types import MOST_EVENTS_A_PAGE, EventQuery, EventRecord
from edge.routes import Line
from edge.ui.fire_model import is_red
from edge.ui.page import (
    LANGUAGE_COOKIE,
    THEME_COOKIE,
    THEMES,
    Asked,
    frame_page,
    speech_for,
)
from edge.ui.parts import ConsoleParts
from edge.ui.speech import Speech
from edge.ui.words import LANGUAGES
from shared.access.gate import who_says
from shared.errors import FireError
from shared.roles import Need, Visitor
from shared.ui.packing import pack

_T = TypeVar("_T")
_YEAR_S = 365 * 86_400


class Kit:
    """Makes pages for the current request."""

    def __init__(
        self, line: Line, status: Status, parts: ConsoleParts, settings: EdgeSettings
    ) -> None:
        """Keep what to ask."""
        self.line = line
        self.status = status
        self.parts = parts
        self.settings = settings

    def asked(self) -> Asked:
        """Tell how the page should look."""
        return Asked(
            path=request.path if request.method == "GET" else None,
            query=request.args.to_dict(),
            cookies=request.cookies,
            accepted=request.headers.get("Accept-Language", ""),
        )

    def speech(self) -> Speech:
        """Give the voice of the current request."""
        return speech_for(self.asked(), self.settings.policy.zone, self.parts.clock.now_at())

    def title_of(self, camera: str | None) -> str:
        """Name a camera as people know it."""
        section = self.settings.cameras.get(camera or "")
        return (section.title if section else "") or camera or ""

    def visitor(self) -> str:
        """Name who asks."""
        return who_says("console")

    def render(
        self,
        template: str,
        speech: Speech,
        *,
        title: Markup | str,
        current: str,
        status: int = 200,
        **values: Any,
    ) -> Response:
        """Write a page, or a part of one."""
        asked, visitor = self.asked(), current_visitor()
        red = [event for event in calling(self) or () if is_red(event)]
        page = frame_page(
            asked,
            speech,
            title=title,
            current=current,
            site=self.settings.console.site,
            fires=len(red),
            troubles=len(self.parts.supervisor.active()),
            signed_in=visitor.name if visitor is not None and visitor.session else "",
            may_change=visitor is not None and visitor.role.may(Need.CHANGE),
        )
        text = render_template(template, page=page, t=speech.t, speech=speech, **values)
        response = Response(text, status=status, content_type="text/html; charset=utf-8")
        _keep_choice(response, asked.query.get("lang"), LANGUAGES, LANGUAGE_COOKIE)
        _keep_choice(response, asked.query.get("theme"), THEMES, THEME_COOKIE)
        return response


def current_visitor() -> Visitor | None:
    """Tell who asks."""
    visitor: Visitor | None = g.get("visitor")
    return visitor


def calling(kit: Kit) -> tuple[EventRecord, ...] | None:
    """Give the events that want somebody's eyes, asked once a request; None when the store cannot be read."""
    if "calling" not in g:
        query = EventQuery(limit=MOST_EVENTS_A_PAGE, is_calling=True)
        page = or_none(lambda: kit.parts.records.events(query))
        g.calling = None if page is None else page.events
    found: tuple[EventRecord, ...] | None = g.calling
    return found


def or_none(ask: Callable[[], _T]) -> _T | None:
    """Ask something that may be away; a page tells the rest without it."""
    try:
        return ask()
    except FireError:
        return None


def is_fragment() -> bool:
    """Tell whether a script asks for a part of the page."""
    return request.headers.get("HX-Request") == "true"


def secured(response: Response) -> Response:
    """Keep pages out of every cache, and small; what else browsers are told stands in `shared.web.app`."""
    if response.content_type.startswith("text/html"):
        response.headers["Cache-Control"] = "no-store"
        response.headers["Vary"] = "Cookie, Accept-Language, HX-Request"
    return pack(response)


def _keep_choice(response: Response, given: str | None, known: tuple[str, ...], name: str) -> None:
    if given in known:
        response.set_cookie(name, given, max_age=_YEAR_S, samesite="Lax", path="/")
