"""The frame around every page: language, theme, navigation with its counts, clock. Ring: rim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from markupsafe import Markup

from shared.ui.speech import Speech
from shared.ui.words import LANGUAGES

LANGUAGE_COOKIE = "emberlink_language"
THEME_COOKIE = "emberlink_theme"
THEMES = ("dark", "light")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageEntry:
    """A page of the navigation; `key` opens it after G, `is_rare` keeps it off the phone's bar."""

    name: str
    href: str
    icon: str
    key: str
    is_rare: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NavLink:
    """One entry of the navigation; `key` opens it after G, `count` is shown when it is not 0."""

    name: str
    href: str
    icon: str
    key: str
    text: Markup
    is_current: bool
    is_rare: bool
    count: int
    count_text: Markup | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the frame shows; `signed_in` names who signed in, if anybody did; `may_change`: not only look."""

    title: Markup | str
    language: str
    theme: str | None
    site: str
    links: tuple[NavLink, ...]
    clock: Markup
    now_s: float
    other_language_url: str
    other_theme_url: str
    signed_in: str
    may_change: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request says about how its page should look: path, query, cookies, preferred languages.

    `path` is None where the request was a form's: its page has another address.
    """

    path: str | None
    query: Mapping[str, str]
    cookies: Mapping[str, str]
    accepted: str


def pick_language(asked: Asked) -> str:
    """Choose by the query, the cookie, and what the browser prefers."""
    for given in (asked.query.get("lang"), asked.cookies.get(LANGUAGE_COOKIE)):
        if given in LANGUAGES:
            return given
    return "zh" if asked.accepted.lower().startswith("zh") else "en"


def pick_theme(asked: Asked) -> str | None:
    """Choose by the query and the cookie; None follows the system."""
    for given in (asked.query.get("theme"), asked.cookies.get(THEME_COOKIE)):
        if given in THEMES:
            return given
    return None


def frame_page(
    asked: Asked,
    speech: Speech,
    *,
    title: Markup | str,
    current: str,
    site: str,
    pages: Sequence[PageEntry],
    counts: Mapping[str, tuple[int, Markup | str]],
    signed_in: str,
    may_change: bool,
) -> Page:
    """Put the frame of a page together; `current` names it in the navigation, `counts` are numbers by page."""
    theme = pick_theme(asked)
    links = tuple(
        NavLink(
            name=entry.name,
            href=entry.href,
            icon=entry.icon,
            key=entry.key,
            text=speech.t(f"page.{entry.name}"),
            is_current=entry.name == current,
            is_rare=entry.is_rare,
            count=counts.get(entry.name, (0, ""))[0],
            count_text=counts.get(entry.name, (0, ""))[1],
        )
        for entry in pages
    )
    own = next((link.href for link in links if link.is_current), "/")
    return Page(
        title=title,
        language=speech.language,
        theme=theme,
        site=site,
        links=links,
        clock=_clock(speech),
        now_s=speech.now.timestamp(),
        other_language_url=_with(asked, own, lang="en" if speech.is_chinese else "zh"),
        other_theme_url=_with(asked, own, theme="dark" if theme == "light" else "light"),
        signed_in=signed_in,
        may_change=may_change,
    )


def _clock(speech: Speech) -> Markup:
    return speech.clock(speech.now).replace("<time ", Markup('<time class="clock" '), 1)


def _with(asked: Asked, own: str, **changed: str) -> str:
    """Give the page's own address with another language or theme."""
    kept = {k: v for k, v in asked.query.items() if k not in ("lang", "theme")}
    return f"{asked.path or own}?{urlencode({**kept, **changed})}"
