"""A real browser, Debian's Chromium, that notices what a page must not do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

PHONE_PX, DESK_PX = 390, 1440
_PATIENCE_MS = (
    100_000  # a browser beside ten other programs is slow, and no slower page than any other
)


@dataclass
class Sheet:
    """A page in the browser; collects what it complained about and where it went."""

    page: Any
    base_url: str
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Go to a page and wait until it stands."""
        self.page.goto(self.base_url + path, wait_until="load")

    def text(self) -> str:
        """Give what a person reads on it."""
        return str(self.page.inner_text("body"))

    def is_wider_than_its_window(self) -> bool:
        """Tell whether a person would have to scroll sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))

    def loaded_bytes(self) -> int:
        """Sum what was transferred, without pictures."""
        script = """() => performance.getEntriesByType('resource').concat(
            performance.getEntriesByType('navigation')).filter(e => !/\\.jpg|^data:/.test(e.name))
            .reduce((sum, e) => sum + e.transferSize, 0)"""
        return int(self.page.evaluate(script))

    def grave_findings(self) -> list[str]:
        """Run axe-core; name its serious and critical findings."""
        from axe_playwright_python.sync_playwright import Axe  # test-only package

        found = Axe().run(self.page).response["violations"]
        return [
            f"{v['id']}: {v['help']}: {[n['html'][:160] for n in v['nodes']][:3]}"
            for v in found
            if v["impact"] in ("serious", "critical")
        ]


class Browser:
    """Opens sheets of any width, language and theme."""

    def __init__(self, chromium: Any) -> None:
        """Keep the browser."""
        self._chromium = chromium

    @contextmanager
    def sheet(
        self,
        base_url: str,
        *,
        width_px: int = DESK_PX,
        language: str = "en",
        theme: str = "dark",
        has_scripts: bool = True,
    ) -> Iterator[Sheet]:
        """Give a page with cookies of its own."""
        context = self._chromium.new_context(
            viewport={"width": width_px, "height": 900 if width_px > 700 else 844},
            locale="zh-CN" if language == "zh" else "en-GB",
            color_scheme=theme,
            java_script_enabled=has_scripts,
            accept_downloads=True,
        )
        try:
            context.set_default_timeout(_PATIENCE_MS)
            page = context.new_page()
            sheet = Sheet(page=page, base_url=base_url)
            _listen(sheet)
            yield sheet
        finally:
            context.close()


def find_chromium() -> str | None:
    """Tell where Debian's Chromium is."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser, or skip where there is none."""
    path = find_chromium()
    if path is None:
        pytest.skip("chromium is not installed")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield Browser(browser)
        finally:
            browser.close()


def _listen(sheet: Sheet) -> None:
    own = urlsplit(sheet.base_url).netloc

    def note_console(message: Any) -> None:
        if message.type in ("error", "warning"):
            sheet.complaints.append(message.text)

    def note_request(request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != own:
            sheet.elsewhere.append(request.url)

    sheet.page.on("console", note_console)
    sheet.page.on("pageerror", lambda error: sheet.complaints.append(str(error)))
    sheet.page.on("request", note_request)
