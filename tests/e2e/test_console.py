"""The edge's pages in a real browser, with shipped models, rendered cameras and a cloud."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.imaging import jpeg_picture
from shared.manifest import shipped_models
from shared.scene import Scene, SceneSettings
from tests.helpers.browser import DESK_PX, PHONE_PX, Browser, chromium
from tests.helpers.services import Running, running_cloud, running_edge

pytestmark = pytest.mark.e2e

_HOSTILE = "<img src=x onerror=alert(1)>🔥\n" + "长" * 120
_CAMERAS = {
    "yard": {"source": "sim:?ignite_at_s=100000", "title": "Loading yard"},
    "hostile": {"source": "sim:?seed=2&ignite_at_s=100000", "title": _HOSTILE},
    "away": {"source": "rtsp://127.0.0.1:9/none", "title": "Gate"},
}
_PAGES = {"now": "/", "health": "/ui/health", "try": "/ui/try"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("console")
    with (
        running_cloud(folder / "cloud", shipped_models()) as cloud,
        running_edge(
            folder / "edge",
            shipped_models(),
            cloud.url,
            model={"variant": None},
            policy={"name": "price"},
            cameras=_CAMERAS,
            console={"site": "North <depot>"},
        ) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def fire(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a rendered fire as a JPEG file."""
    path = tmp_path_factory.mktemp("pictures") / "fire.jpg"
    path.write_bytes(jpeg_picture(Scene(SceneSettings()).render(40.0).bgr_hwc_u8).encoded)
    return path


@pytest.mark.parametrize("width_px", [PHONE_PX, DESK_PX])
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", list(_PAGES))
def test_a_page_stands_in_both_languages_at_phone_and_desk_width(
    browser: Browser, edge: Running, name: str, language: str, width_px: int
) -> None:
    theme = "light" if language == "zh" else "dark"
    with browser.sheet(edge.url, width_px=width_px, language=language, theme=theme) as sheet:
        sheet.open(_PAGES[name])
        sheet.page.wait_for_timeout(300)
        assert sheet.page.get_attribute("html", "lang") == ("zh-CN" if language == "zh" else "en")
        standing = "不替代消防报警设备" if language == "zh" else "Does not replace them"
        assert standing in sheet.text()
        assert not sheet.is_wider_than_its_window()
        assert sheet.grave_findings() == []
        assert (sheet.complaints, sheet.elsewhere) == ([], [])
        assert sheet.loaded_bytes() <= 150_000


def test_the_wall_lives_and_a_lost_camera_is_never_calm(browser: Browser, edge: Running) -> None:
    with browser.sheet(edge.url) as sheet:
        sheet.open("/")
        picture = sheet.page.get_attribute("#tile-yard img", "src")
        sheet.page.wait_for_function(
            "old => document.querySelector('#tile-yard img').getAttribute('src') !== old",
            arg=picture,
            timeout=15_000,
        )
        sheet.page.wait_for_selector("#tile-away.trouble", timeout=15_000)
        assert "2 of 3 cameras watching" in sheet.page.inner_text("#say")
        assert sheet.page.inner_text("#tile-away .tp").strip().endswith("–")
        assert sheet.complaints == []


def test_hostile_names_are_shown_as_text(browser: Browser, edge: Running) -> None:
    with browser.sheet(edge.url) as sheet:
        for path in _PAGES.values():
            sheet.open(path)
            assert sheet.page.inner_text(".site") == "North <depot>"
        sheet.open("/")
        assert "<img src=x onerror=alert(1)>🔥" in sheet.page.inner_text("#tile-hostile .tname")
        assert sheet.page.query_selector_all("img[src=x]") == []
        assert (sheet.complaints, sheet.elsewhere) == ([], [])


def test_a_picture_goes_through_the_whole_line(browser: Browser, edge: Running, fire: Path) -> None:
    with browser.sheet(edge.url) as sheet:
        sheet.open("/ui/try")
        sheet.page.set_input_files("#try-file input[type=file]", fire)
        sheet.page.wait_for_selector("#tried .say", timeout=20_000)
        said = sheet.page.inner_text("#tried")
        assert "Decision" in said
        assert "cloud_" in said
        assert len(sheet.page.query_selector_all("#tried .over.heat image")) == 1
        assert len(sheet.page.query_selector_all("#tried .wf .bar")) == 5
        sheet.page.keyboard.press("h")
        assert "is-bare" in str(sheet.page.get_attribute("[data-overlay=h]", "class"))
        assert sheet.grave_findings() == []
        assert (sheet.complaints, sheet.elsewhere) == ([], [])


def test_a_broken_upload_is_explained_with_its_remedy(
    browser: Browser, edge: Running, fire: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(fire.read_bytes()[:4000])
    for language, remedy in (("en", "Get it again from where it came"), ("zh", "请从来源重新获取")):
        with browser.sheet(edge.url, language=language) as sheet:
            sheet.open("/ui/try")
            sheet.page.set_input_files("#try-file input[type=file]", broken)
            sheet.page.wait_for_selector("#tried .say.trouble", timeout=20_000)
            assert remedy in sheet.page.inner_text("#tried")
            assert "1007" in sheet.page.inner_text("#tried")
            assert sheet.complaints == []


def test_pages_read_and_forms_post_without_scripts(
    browser: Browser, edge: Running, fire: Path
) -> None:
    with browser.sheet(edge.url, has_scripts=False) as sheet:
        sheet.open("/")
        assert "cameras watching" in sheet.page.inner_text("#say")
        sheet.open("/ui/try")
        sheet.page.set_input_files("#try-file input[type=file]", fire)
        sheet.page.click("#try-file button")
        assert "Decision" in sheet.page.inner_text("#tried")
        sheet.page.click("[lang=zh-CN][hreflang]")
        assert sheet.page.get_attribute("html", "lang") == "zh-CN"
        sheet.open("/ui/health")
        assert "运行状况" in sheet.page.inner_text("h1")


def test_the_theme_is_remembered_without_a_flash(browser: Browser, edge: Running) -> None:
    with browser.sheet(edge.url, theme="dark") as sheet:
        sheet.open("/")
        sheet.page.click("[data-theme-toggle]")
        assert sheet.page.get_attribute("html", "data-theme") == "light"
        sheet.open("/ui/health")
        assert 'data-theme="light"' in sheet.page.content().split("<head>")[0]


def test_keys_open_pages_and_help_and_are_off_in_fields(browser: Browser, edge: Running) -> None:
    with browser.sheet(edge.url) as sheet:
        sheet.open("/")
        sheet.page.keyboard.press("?")
        assert sheet.page.is_visible("#keys")
        sheet.page.keyboard.press("Escape")
        sheet.page.keyboard.press("g")
        sheet.page.keyboard.press("t")
        sheet.page.wait_for_url("**/ui/try")
        sheet.page.focus("select[name=camera]")
        sheet.page.keyboard.press("g")
        sheet.page.keyboard.press("h")
        sheet.page.wait_for_timeout(200)
        assert sheet.page.url.endswith("/ui/try")
