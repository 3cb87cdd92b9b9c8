"""The frame around the edge's pages: navigation with its counts. Ring: rim."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from markupsafe import Markup

from edge.ui.speech import Speech
from shared.ui.page import (
    LANGUAGE_COOKIE,
    THEME_COOKIE,
    THEMES,
    Asked,
    Page,
    PageEntry,
    pick_language,
)
from shared.ui.page import frame_page as frame_any_page

__all__ = ["LANGUAGE_COOKIE", "THEMES", "THEME_COOKIE", "Asked", "frame_page", "speech_for"]
_PAGES = (
    PageEntry(name="now", href="/", icon="eye", key="n"),
    PageEntry(name="events", href="/ui/events", icon="list", key="e"),
    PageEntry(name="budget", href="/ui/budget", icon="coin", key="b"),
    PageEntry(name="statistics", href="/ui/statistics", icon="chart", key="a", is_rare=True),
    PageEntry(name="health", href="/ui/health", icon="pulse", key="h"),
    PageEntry(name="settings", href="/ui/settings", icon="gear", key="s", is_rare=True),
    PageEntry(name="try", href="/ui/try", icon="pic", key="t"),
)


def speech_for(asked: Asked, zone: ZoneInfo, now: datetime) -> Speech:
    """Give the voice in which a page is written."""
    return Speech(language=pick_language(asked), zone=zone, now=now)


def frame_page(
    asked: Asked,
    speech: Speech,
    *,
    title: Markup | str,
    current: str,
    site: str,
    fires: int,
    troubles: int,
    signed_in: str,
    may_change: bool,
) -> Page:
    """Put the frame of a page together; `current` names it in the navigation."""
    return frame_any_page(
        asked,
        speech,
        title=title,
        current=current,
        site=site,
        pages=_PAGES,
        counts={
            "events": (fires, speech.t("page.fires_open", n=fires)),
            "health": (troubles, speech.t("page.troubles", n=troubles)),
        },
        signed_in=signed_in,
        may_change=may_change,
    )
