"""The cloud's pages in a real browser."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.picture.imaging import jpeg_picture
from shared.rendered.scene import Scene, SceneSettings
from tests.helpers.browser import DESK_PX, PHONE_PX
from tests.helpers.services import Running, running_cloud
from tests.unit.test_fleet import report

pytestmark = pytest.mark.e2e

_PAGES = ["/", "/ui/fleet", "/ui/queue", "/ui/models", "/ui/jobs?id=nothing"]
_MOST_BYTES = 150_000


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Running]:
    trouble = {"kind": "disk", "subject": "", "code": "filling", "since": "2026-03-10T11:00:00Z"}
    with running_cloud(tmp_path_factory.mktemp("cloud"), models) as running:
        for name, changes in (("gate", {}), ("yard", {"troubles": [trouble], "watching": 1})):
            told = report(name, **changes).model_dump(mode="json")
            assert running.post("/edges/heartbeat", json=told).status_code == 200
        yield running


@pytest.fixture(scope="module")
def fire(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "fire.jpg"
    path.write_bytes(jpeg_picture(Scene(SceneSettings()).render(40.0).bgr_hwc_u8).encoded)
    return path


@pytest.mark.parametrize("width_px", [PHONE_PX, DESK_PX])
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_stands_without_a_complaint(browser, cloud, width_px, language, theme):
    with browser.sheet(cloud.url, width_px=width_px, language=language, theme=theme) as sheet:
        for path in _PAGES:
            sheet.open(path)
            assert sheet.grave_findings() == [], path
            assert not sheet.is_wider_than_its_window(), path
            assert sheet.loaded_bytes() < _MOST_BYTES, path
        assert (sheet.complaints, sheet.elsewhere) == ([], [])


def test_several_pictures_are_looked_at_where_they_were_dropped(browser, cloud, fire, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"GIF89a")
    with browser.sheet(cloud.url) as sheet:
        sheet.open("/")
        sheet.page.set_input_files("input[type=file]", [str(fire), str(broken)])
        sheet.page.wait_for_selector("#tried .panel:nth-child(2)")
        assert "could not be used" in sheet.text()
        assert sheet.page.locator("#tried .whole img").count() == 1
        assert (sheet.complaints, sheet.elsewhere) == ([], [])


def test_the_fleet_is_up_to_date_without_a_reload(browser, cloud):
    with browser.sheet(cloud.url) as sheet:
        sheet.open("/ui/fleet")
        told = report("late-comer").model_dump(mode="json")
        cloud.post("/edges/heartbeat", json=told)
        sheet.page.wait_for_selector("text=late-comer")
        assert sheet.complaints == []


def test_a_form_posts_without_scripts(browser, cloud, fire):
    with browser.sheet(cloud.url, has_scripts=False) as sheet:
        sheet.open("/")
        sheet.page.set_input_files("input[type=file]", [str(fire)])
        sheet.page.click("button.nojs")
        sheet.page.wait_for_selector("#tried .panel")
        assert sheet.page.locator("#tried .whole img").count() == 1


def test_the_documentation_stands_without_a_complaint(browser, cloud):
    with browser.sheet(cloud.url) as sheet:
        sheet.open("/docs")
        sheet.page.wait_for_selector("text=Find fire and smoke in a picture.")
        sheet.page.wait_for_function(
            "document.querySelector('rapi-doc').shadowRoot.querySelectorAll('select:not([aria-label])').length === 0"
        )
        assert sheet.grave_findings() == []
        assert (sheet.complaints, sheet.elsewhere) == ([], [])


def test_the_sign_in_page_stands_in_both_languages(browser, cloud):
    for language, theme in itertools.product(("en", "zh"), ("dark", "light")):
        for width_px in (PHONE_PX, DESK_PX):
            with browser.sheet(
                cloud.url, language=language, theme=theme, width_px=width_px
            ) as sheet:
                sheet.open("/login")
                assert sheet.grave_findings() == []
                assert not sheet.is_wider_than_its_window()
                assert [c for c in sheet.complaints if "favicon" not in c] == []
