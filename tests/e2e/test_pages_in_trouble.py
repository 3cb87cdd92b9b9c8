"""Pages that stay open while a session, the service or its disk goes away; broken pictures; a magnified desk."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.record.records import Records
from shared.access.users import add_user
from shared.error_code import ErrorCode
from shared.errors import StoreError
from shared.roles import Role
from tests.helpers.browser import PHONE_PX, Browser, Sheet
from tests.helpers.pictures import calm_jpeg, fire_jpeg
from tests.helpers.processes import free_port
from tests.helpers.services import Running, running_cloud, running_edge
from tests.helpers.story import tell_fire

pytestmark = pytest.mark.e2e

_PASSWORD = "a horse that is correct"
_CAMERAS = {"yard": {"source": "push:"}}
_EDGE_PAGES = (
    *("/", "/ui/events", "/ui/events/{event}", "/ui/budget", "/ui/statistics", "/ui/health"),
    *("/ui/settings", "/ui/try", "/login", "/errors", "/errors/damaged-picture"),
)
_CLOUD_PAGES = ("/", "/ui/fleet", "/ui/queue", "/ui/models", "/ui/jobs", "/errors")
_STILL_PAGES = ("/ui/statistics", "/ui/settings", "/ui/try")
_HALF_A_DESK_PX = 720


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Running]:
    with running_cloud(tmp_path_factory.mktemp("cloud"), models) as running:
        yield running


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Running]:
    with running_edge(tmp_path_factory.mktemp("edge"), models, cameras=_CAMERAS) as running:
        assert running.show("/joint_predict?camera=yard", calm_jpeg()).status_code == 200
        yield running


def burning(edge: Running) -> str:
    """Write a fire that goes on; gives its id."""
    began_at = datetime.now(UTC) - timedelta(seconds=10)
    return tell_fire(edge.service._kept.records, camera="yard", began_at=began_at).event_id


def sign_in(sheet: Sheet) -> None:
    sheet.page.fill("input[name=name]", "anna")
    sheet.page.fill("input[name=password]", _PASSWORD)
    with sheet.page.expect_navigation():
        sheet.page.click("form button")


def test_a_page_that_outlives_its_session_asks_to_sign_in_and_comes_back(
    browser: Browser, tmp_path: Path, models: Path
) -> None:
    add_user(tmp_path / "users.json", "anna", Role.ADMIN, _PASSWORD)
    with (
        running_edge(tmp_path, models, cameras=_CAMERAS) as edge,
        browser.sheet(edge.url, language="zh") as sheet,
    ):
        page, event = sheet.page, burning(edge)
        sheet.open(f"/login?next=/ui/events/{event}")
        sign_in(sheet)
        page.context.clear_cookies()
        page.wait_for_selector("p[role=status]:has-text('登录已过期')")
        assert sheet.grave_findings() == []
        sign_in(sheet)
        assert page.url.endswith(event)
        page.context.clear_cookies()
        page.keyboard.press("t")
        page.wait_for_selector("p[role=status]:has-text('登录已过期')")
        assert edge.service._kept.records.event(event).mark is None


def test_a_page_says_that_the_service_is_away_and_goes_on_when_it_is_back(
    browser: Browser, tmp_path: Path, models: Path
) -> None:
    settings = {"cameras": _CAMERAS, "server": {"port": free_port()}}
    with contextlib.ExitStack() as open_pages:
        with running_edge(tmp_path, models, **settings) as edge:
            event = burning(edge)
            now, story = (
                open_pages.enter_context(browser.sheet(edge.url, theme="light")) for _ in range(2)
            )
            now.open("/")
            story.open(f"/ui/events/{event}")
            was = now.page.inner_text("#say h1")
        for sheet in (now, story):
            sheet.page.wait_for_selector(".offline", state="visible")
            assert "last known state" in sheet.page.inner_text(".offline")
            assert sheet.grave_findings() == []
        assert now.page.inner_text("#say h1") == was
        greyed = "getComputedStyle(document.querySelector('#say')).filter"
        assert now.page.evaluate(greyed) == "none"
        with running_edge(tmp_path, models, **settings):
            for sheet in (now, story):
                sheet.page.wait_for_selector(".offline", state="hidden")


@pytest.mark.parametrize("path", ["/ui/events", "/ui/budget", *_STILL_PAGES])
def test_a_page_that_shows_nothing_live_tells_of_a_fire_and_of_a_service_that_is_away(
    browser: Browser, tmp_path: Path, models: Path, path: str
) -> None:
    with contextlib.ExitStack() as open_page:
        with running_edge(tmp_path, models, cameras=_CAMERAS) as edge:
            sheet = open_page.enter_context(browser.sheet(edge.url))
            sheet.open(path)
            assert sheet.page.is_hidden("#count-events")
            burning(edge)
            sheet.page.wait_for_selector("#count-events", state="visible")
        sheet.page.wait_for_selector(".offline", state="visible")
        assert "last known state" in sheet.page.inner_text(".offline")


@pytest.mark.parametrize("path", ["/", "/ui/models", "/ui/jobs"])
def test_a_page_of_the_cloud_tells_that_the_cloud_is_away(
    browser: Browser, tmp_path: Path, models: Path, path: str
) -> None:
    with contextlib.ExitStack() as open_page:
        with running_cloud(tmp_path, models) as cloud:
            sheet = open_page.enter_context(browser.sheet(cloud.url, language="zh"))
            sheet.open(path)
        sheet.page.wait_for_selector(".offline", state="visible")
        assert "未连接" in sheet.page.inner_text(".offline")


def test_a_page_that_loads_slowly_goes_by_the_right_time(browser: Browser, edge: Running) -> None:
    late_s = 8.0

    def late(route: Any) -> None:
        time.sleep(late_s)
        route.continue_()

    with browser.sheet(edge.url) as sheet:
        sheet.page.route("**/console.js*", late)
        sheet.open("/")
        sheet.page.wait_for_timeout(1500)
        seen = "[document.querySelector('time.clock').textContent, Date.now() / 1000]"
        shown, at_s = sheet.page.evaluate(seen)
    local = datetime.fromtimestamp(at_s, UTC).astimezone()
    hours, minutes, seconds = map(int, shown.split(":"))
    behind_s = (local.hour - hours) * 3600 + (local.minute - minutes) * 60 + local.second - seconds
    assert behind_s % 86_400 < late_s / 2  # the ages of the pictures go by the same clock


def test_a_label_that_cannot_be_kept_says_so_in_the_page(
    browser: Browser, edge: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise StoreError(ErrorCode.STORE_UNAVAILABLE, "disk I/O error")

    burning(edge)
    for language, remedy in (("en", "Check the state folder"), ("zh", "请检查状态目录")):
        with browser.sheet(edge.url, language=language) as sheet:
            sheet.open("/ui/events")
            with monkeypatch.context() as broken:
                broken.setattr(Records, "label", away)
                sheet.page.keyboard.press("f")
                sheet.page.wait_for_selector("#toast .toast.trouble")
            assert remedy in sheet.page.inner_text("#toast")
            assert sheet.grave_findings() == []


def test_an_open_event_shows_what_another_person_does(browser: Browser, edge: Running) -> None:
    event = burning(edge)
    with browser.sheet(edge.url) as sheet:
        sheet.open(f"/ui/events/{event}")
        assert "Still burning" in sheet.page.inner_text("#event-state")
        edge.service._kept.records.acknowledge(event, by="somebody else")
        sheet.page.wait_for_selector("#event-ack:has-text('somebody else')")
        assert (sheet.complaints, sheet.elsewhere) == ([], [])


def broken_pictures() -> dict[str, bytes]:
    """Give bytes that are no usable picture, by the number of the error that they make."""
    return {
        "1010": fire_jpeg() + bytes(9_000_000),
        "1007": fire_jpeg()[:-300],
        "1006": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "1006 ": b"",
        "1008": cv2.imencode(".png", np.zeros((6000, 6000), np.uint8))[1].tobytes(),
        "1009": cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes(),
    }


@pytest.mark.parametrize("console", ["edge", "cloud"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_picture_that_cannot_be_used_is_told_with_its_remedy(
    browser: Browser, request: pytest.FixtureRequest, console: str, language: str
) -> None:
    service: Running = request.getfixturevalue(console)
    with browser.sheet(service.url, language=language, width_px=PHONE_PX) as sheet:
        sheet.open("/ui/try" if console == "edge" else "/")
        for number, content in broken_pictures().items():
            file = {"name": "x.jpg", "mimeType": "image/jpeg", "buffer": content}
            sheet.page.set_input_files("#try-file input[type=file]", file)
            code = sheet.page.wait_for_selector(f"#tried code:text-is('{number.strip()}')")
            assert code is not None
            said = sheet.page.inner_text("#tried")
            assert ("处理办法" if language == "zh" else "What to do:") in said
            if language == "zh":
                assert sheet.page.locator("#tried p:has-text('处理办法') [lang=en]").count() == 0
            assert not sheet.is_wider_than_its_window()
            sheet.page.evaluate("document.querySelector('#tried').textContent = ''")
        assert sheet.grave_findings() == []
        assert (sheet.complaints, sheet.elsewhere) == ([], [])


@pytest.mark.parametrize("console", ["edge", "cloud"])
def test_boxes_lie_on_the_picture_also_of_a_narrow_one(
    browser: Browser, request: pytest.FixtureRequest, console: str
) -> None:
    service: Running = request.getfixturevalue(console)
    narrow = cv2.imencode(".jpg", np.full((4001, 17), 90, np.uint8))[1].tobytes()
    with browser.sheet(service.url) as sheet:
        sheet.open("/ui/try" if console == "edge" else "/")
        file = {"name": "x.jpg", "mimeType": "image/jpeg", "buffer": narrow}
        sheet.page.set_input_files("#try-file input[type=file]", file)
        sheet.page.wait_for_selector("#tried .whole img")
        picture = sheet.page.locator("#tried .whole img").last.bounding_box()
        over = sheet.page.locator("#tried .whole .over").last.bounding_box()
        assert picture is not None
        assert picture["height"] < 900
        assert over == pytest.approx(picture, abs=1)


def test_every_page_fits_a_desk_at_twice_its_size(
    browser: Browser, edge: Running, cloud: Running
) -> None:
    event = burning(edge)
    for service, paths in ((edge, _EDGE_PAGES), (cloud, _CLOUD_PAGES)):
        with browser.sheet(service.url, width_px=_HALF_A_DESK_PX, theme="light") as sheet:
            for path in paths:
                sheet.open(path.format(event=event))
                assert not sheet.is_wider_than_its_window(), path
                assert sheet.grave_findings() == [], path


def test_nothing_is_hard_to_use_while_a_dialog_or_a_message_is_open(
    browser: Browser, edge: Running, cloud: Running
) -> None:
    burning(edge)
    for theme in ("dark", "light"):
        for service in (edge, cloud):
            with browser.sheet(service.url, theme=theme) as sheet:
                sheet.open("/")
                sheet.page.keyboard.press("?")
                assert sheet.grave_findings() == []
        with browser.sheet(edge.url, theme=theme) as sheet:
            sheet.open("/ui/events")
            sheet.page.keyboard.press("f")
            sheet.page.wait_for_selector("#toast .toast")
            assert sheet.grave_findings() == []
