"""What every page's view is made of: the request's voice and the frame. Ring: rim (Flask)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import tzlocal
from flask import Response, g, render_template, request
from markupsafe import Markup

from cloud.config import CloudSettings
from cloud.engine import House
from cloud.fleet.fleet import Fleet
from cloud.metrics import CloudMetrics
from shared.clock import Clock
from shared.roles import Need, Visitor
from shared.ui.page import (
    LANGUAGE_COOKIE,
    THEME_COOKIE,
    THEMES,
    Asked,
    PageEntry,
    frame_page,
    pick_language,
)
from shared.ui.speech import Speech
from shared.ui.words import COMMON, LANGUAGES, TROUBLES, Words
from shared.watch.supervise import Supervisor

FOLDER = Path(__file__).parent
_YEAR_S = 365 * 86_400
_PAGES = (
    PageEntry(name="try", href="/", icon="pic", key="t"),
    PageEntry(name="fleet", href="/ui/fleet", icon="edge", key="f"),
    PageEntry(name="queue", href="/ui/queue", icon="pulse", key="q"),
    PageEntry(name="models", href="/ui/models", icon="cloud", key="m"),
    PageEntry(name="jobs", href="/ui/jobs", icon="list", key="j"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleParts:
    """Whom the pages ask."""

    house: House
    fleet: Fleet
    metrics: CloudMetrics
    supervisor: Supervisor
    settings: CloudSettings
    clock: Clock


class Kit:
    """Makes pages for the current request."""

    def __init__(self, parts: ConsoleParts) -> None:
        """Keep the parts, and read the words."""
        self.parts = parts
        self.words = Words([COMMON, TROUBLES, FOLDER / "words.toml"])
        self._zone = ZoneInfo(tzlocal.get_localzone_name())

    def speech(self) -> Speech:
        """Give the voice of the current request, with times in this machine's zone."""
        return Speech(
            words=self.words,
            language=pick_language(_asked()),
            zone=self._zone,
            now=self.parts.clock.now_at(),
        )

    def render(
        self, template: str, speech: Speech, *, current: str, status: int = 200, **values: Any
    ) -> Response:
        """Write a page, or a part of one."""
        asked, visitor = _asked(), _visitor()
        silent = self.parts.fleet.count(is_silent=True)
        troubles = len(self.parts.supervisor.active())
        page = frame_page(
            asked,
            speech,
            title=speech.t(f"page.{current}") if current else "",
            current=current,
            site="cloud",
            pages=_PAGES,
            counts={
                "fleet": (silent, speech.t("page.silent", n=silent)),
                "queue": (troubles, speech.t("page.troubles", n=troubles)),
            },
            signed_in=visitor.name if visitor is not None and visitor.session else "",
            may_change=visitor is not None and visitor.role.may(Need.CHANGE),
        )
        text = render_template(template, page=page, t=speech.t, speech=speech, **values)
        response = Response(text, status=status, content_type="text/html; charset=utf-8")
        _keep_choice(response, asked.query.get("lang"), LANGUAGES, LANGUAGE_COOKIE)
        _keep_choice(response, asked.query.get("theme"), THEMES, THEME_COOKIE)
        response.headers["Vary"] = "Cookie, Accept-Language, HX-Request"
        return response


def is_fragment() -> bool:
    """Tell whether a script asks for a part of the page."""
    return request.headers.get("HX-Request") == "true"


def named(speech: Speech, name: str, otherwise: str) -> Markup:
    """Say a word of the catalogue, or what stands for it."""
    return speech.known(name, otherwise)


def _visitor() -> Visitor | None:
    found: Visitor | None = g.get("visitor")
    return found


def _asked() -> Asked:
    return Asked(
        path=request.path if request.method == "GET" else None,
        query=request.args.to_dict(),
        cookies=request.cookies,
        accepted=request.headers.get("Accept-Language", ""),
    )


def _keep_choice(response: Response, given: str | None, known: tuple[str, ...], name: str) -> None:
    if given in known:
        response.set_cookie(name, given, max_age=_YEAR_S, samesite="Lax", path="/")
