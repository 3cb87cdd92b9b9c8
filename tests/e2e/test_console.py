"""The edge's pages in a real browser, with shipped models, rendered cameras and a cloud."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.record.records import Records
from edge.record.types import Mark
from shared.error_code import ErrorCode
from shared.errors import StoreError
from shared.model.manifest import shipped_models
from shared.picture.imaging import jpeg_picture
from shared.rendered.scene import Scene, SceneSettings
from tests.helpers.browser import DESK_PX, PHONE_PX, Browser
from tests.helpers.services import Running, running_cloud, running_edge
from tests.helpers.story import tell_fire

pytestmark = pytest.mark.e2e

_HOSTILE = "<img src=x onerror=alert(1)>🔥\n" + "长" * 120
_CAMERAS = {
    "yard": {
        "source": "sim:?ignite_at_s=100000&width_px=640&height_px=360",
        "fps": 1,
        "title": "Loading yard",
    },
    "hostile": {
        "source": "sim:?seed=2&ignite_at_s=100000&width_px=320&height_px=180",
        "fps": 1,
        "title": _HOSTILE,
    },
    "away": {"source": "rtsp://127.0.0.1:9/none", "title": "Gate"},
}
_PAGES = {
    "now": "/",
    "events": "/ui/events",
    "event": "/ui/events/{event}",
    "budget": "/ui/budget",
    "statistics": "/ui/statistics",
    "health": "/ui/health",
    "settings": "/ui/settings",
    "try": "/ui/try",
}


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
def burning(edge: Running) -> str:
    """Write a fire that goes on, and one that is over; gives the id of the first."""
    records, now = edge.service._kept.records, datetime.now(UTC)
    tell_fire(records, camera="hostile", began_at=now - timedelta(hours=2), is_over=True, seed=3)
    return tell_fire(records, camera="yard", began_at=now - timedelta(seconds=10)).event_id


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
    browser: Browser, edge: Running, burning: str, name: str, language: str, width_px: int
) -> None:
    theme = "light" if language == "zh" else "dark"
    with browser.sheet(edge.url, width_px=width_px, language=language, theme=theme) as sheet:
        sheet.open(_PAGES[name].format(event=burning))
        sheet.page.wait_for_timeout(300)
        assert sheet.page.get_attribute("html", "lang") == ("zh-CN" if language == "zh" else "en")
        standing = "不替代消防报警设备" if language == "zh" else "Does not replace them"
        assert standing in sheet.text()
        assert not sheet.is_wider_than_its_window()
        assert sheet.grave_findings() == []
        assert (sheet.complaints, sheet.elsewhere) == ([], [])
        assert sheet.loaded_bytes() <= 150_000


@pytest.mark.parametrize(("language", "theme"), [("en", "light"), ("zh", "dark")])
def test_no_page_is_hard_to_use_in_the_other_theme(
    browser: Browser, edge: Running, burning: str, language: str, theme: str
) -> None:
    """The pairs of language and theme that the test above leaves out."""
    with browser.sheet(edge.url, language=language, theme=theme) as sheet:
        for path in (*_PAGES.values(), "/ui/events/nothing", "/login"):
            sheet.open(path.format(event=burning))
            assert sheet.grave_findings() == [], path


def test_a_fire_is_red_until_somebody_acknowledges_it(browser: Browser, edge: Running) -> None:
    event = tell_fire(edge.service._kept.records, camera="yard", began_at=datetime.now(UTC), seed=5)
    with browser.sheet(edge.url) as sheet:
        sheet.open("/")
        sheet.page.wait_for_selector("#say.fire")
        assert "fire" in sheet.page.title().lower()
        assert sheet.page.get_attribute("#say", "role") == "alert"
        sheet.page.keyboard.press("a")
        sheet.page.wait_for_selector("#say:not(.fire)")
        assert "Acknowledged by" in sheet.page.inner_text("#say")
        assert sheet.page.is_visible("#tile-yard.fire")
        assert sheet.complaints == []
    assert edge.service._kept.records.event(event.event_id).acknowledged is not None


def test_an_event_is_looked_through_labelled_held_exported_and_undone(
    browser: Browser, edge: Running
) -> None:
    records = edge.service._kept.records
    event = tell_fire(records, camera="yard", began_at=datetime.now(UTC) - timedelta(minutes=9))
    with browser.sheet(edge.url) as sheet:
        sheet.open(f"/ui/events/{event.event_id}")
        first = sheet.page.get_attribute("#stage img", "src")
        assert sheet.page.is_visible("#stage .chip")
        sheet.page.keyboard.press("ArrowRight")
        sheet.page.wait_for_function(
            "old => document.querySelector('#stage img').getAttribute('src') !== old", arg=first
        )
        sheet.page.keyboard.press("Home")
        sheet.page.wait_for_selector("#stage .chip")
        sheet.page.click("label[for=with-heat]")
        sheet.page.wait_for_selector("#stage .over.heat image", state="attached")
        sheet.page.fill("input[name=note]", "wood")
        sheet.page.press("input[name=note]", "Enter")
        assert records.event(event.event_id).mark is None
        sheet.page.click("button[data-key=t]")
        sheet.page.wait_for_selector("button[data-key=t][aria-pressed=true]")
        sheet.page.fill("input[name=note]", "<b>chip pan</b>")
        sheet.page.press("input[name=note]", "Enter")
        sheet.page.wait_for_selector("input[value='<b>chip pan</b>']")
        record = records.event(event.event_id)
        assert (record.mark, record.marked and record.marked.text) == (Mark.TRUE, "<b>chip pan</b>")
        sheet.page.click("body")
        sheet.page.keyboard.press("h")
        sheet.page.wait_for_selector("button[data-key=h][aria-pressed=true]")
        assert records.event(event.event_id).is_held
        with sheet.page.expect_download() as download:
            sheet.page.keyboard.press("e")
        with zipfile.ZipFile(download.value.path()) as bundle:
            assert any(name.endswith(".jpg") for name in bundle.namelist())
        sheet.open("/ui/events")
        assert "True fire: <b>chip pan</b>" in sheet.page.inner_text("main")
        card = f".card[data-event='{event.event_id}']"
        sheet.page.hover(card)
        sheet.page.click(f"{card} button[data-key=f]")
        sheet.page.wait_for_selector(f"{card} .chip >> text=False")
        sheet.page.click("#toast button")
        sheet.page.wait_for_selector(f"{card} .chip >> text=True fire")
        assert records.event(event.event_id).mark is Mark.TRUE
        assert sheet.complaints == []


def test_events_are_filtered_and_a_key_reviews_the_chosen_one(
    browser: Browser, edge: Running, burning: str
) -> None:
    with browser.sheet(edge.url) as sheet:
        sheet.open("/ui/events")
        sheet.page.select_option("select[name=camera]", "hostile")
        sheet.page.wait_for_url("**camera=hostile**")
        assert len(sheet.page.query_selector_all(".card")) == 1
        sheet.page.keyboard.press("o")
        sheet.page.wait_for_selector(".card.done")
        sheet.page.click("button[value=open]")
        sheet.page.wait_for_url("**show=open**")
        assert sheet.page.query_selector_all(".card") == []
        sheet.page.keyboard.press("Enter")
        assert "/ui/events" in sheet.page.url


def test_a_page_says_when_the_evidence_cannot_be_read(
    browser: Browser, edge: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreError(ErrorCode.STORE_UNAVAILABLE, "disk I/O error")

    for name in ("events", "event", "frames"):
        monkeypatch.setattr(Records, name, away)
    with browser.sheet(edge.url) as sheet:
        sheet.open("/ui/events")
        assert "Events cannot be read now" in sheet.text()
        sheet.open("/")
        assert "Events cannot be read now" in sheet.text()
        sheet.open("/ui/health")
        assert "Evidence disk" in sheet.text()
        sheet.open("/ui/events/nothing")
        assert "What to do" in sheet.text()


def test_charts_are_drawn_and_the_counts_are_given_as_a_file(
    browser: Browser, edge: Running, burning: str
) -> None:
    with browser.sheet(edge.url) as sheet:
        sheet.open("/ui/budget")
        sheet.page.wait_for_selector(".chart canvas")
        assert sheet.complaints == []
        sheet.open("/ui/statistics")
        with sheet.page.expect_download() as download:
            sheet.page.keyboard.press("e")
        lines = Path(download.value.path()).read_text().splitlines()
        assert lines[0].startswith("day,camera,events")
        assert any(",yard," in line for line in lines[1:])


def test_a_test_alarm_begins_from_the_settings(browser: Browser, edge: Running) -> None:
    with browser.sheet(edge.url) as sheet:
        sheet.open("/ui/settings")
        sheet.page.select_option("#test select", "yard")
        assert "Loading yard" not in sheet.page.inner_text("#test p")
        sheet.page.click("#test button")
        # It runs, or has ended by now.
        sheet.page.wait_for_selector(":is(#test p, #test .fl):has-text('Loading yard')")


def test_the_wall_lives_and_a_lost_camera_is_never_calm(browser: Browser, edge: Running) -> None:
    with browser.sheet(edge.url) as sheet:
        sheet.open("/")
        picture = sheet.page.get_attribute("#tile-yard img", "src")
        sheet.page.wait_for_function(
            "old => document.querySelector('#tile-yard img').getAttribute('src') !== old",
            arg=picture,
        )
        sheet.page.wait_for_selector("#tile-away.trouble")
        assert sheet.page.inner_text("#vitals .v").startswith("2 of 3")
        assert sheet.page.inner_text("#tile-away .tp").strip().endswith("–")
        assert sheet.complaints == []


def test_hostile_names_are_shown_as_text(browser: Browser, edge: Running, burning: str) -> None:
    with browser.sheet(edge.url) as sheet:
        for path in _PAGES.values():
            sheet.open(path.format(event=burning))
            assert sheet.page.inner_text(".site") == "North <depot>"
        sheet.open("/")
        assert "<img src=x onerror=alert(1)>🔥" in sheet.page.inner_text("#tile-hostile .tname")
        assert sheet.page.query_selector_all("img[src=x]") == []
        assert (sheet.complaints, sheet.elsewhere) == ([], [])


def test_a_picture_goes_through_the_whole_line(browser: Browser, edge: Running, fire: Path) -> None:
    with browser.sheet(edge.url) as sheet:
        sheet.open("/ui/try")
        sheet.page.set_input_files("#try-file input[type=file]", fire)
        sheet.page.wait_for_selector("#tried .say")
        said = sheet.page.inner_text("#tried")
        assert "Decision" in said
        assert "cloud_" in said
        assert len(sheet.page.query_selector_all("#tried .over.heat image")) == 1
        assert len(sheet.page.query_selector_all("#tried .wf .bar")) == 7
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
            sheet.page.wait_for_selector("#tried .say.trouble")
            assert remedy in sheet.page.inner_text("#tried")
            assert "1007" in sheet.page.inner_text("#tried")
            assert sheet.complaints == []


def test_pages_read_and_forms_post_without_scripts(
    browser: Browser, edge: Running, fire: Path
) -> None:
    with browser.sheet(edge.url, has_scripts=False) as sheet:
        sheet.open("/")
        assert "Cameras watching" in sheet.page.inner_text("#vitals")
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
