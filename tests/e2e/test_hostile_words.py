"""Names, notes and ids that mean harm are text on every page of both consoles, and break no layout on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from edge.record.types import Mark
from shared.access.users import add_user
from shared.roles import Role
from tests.helpers.browser import PHONE_PX, Browser, Sheet
from tests.helpers.services import Running, running_cloud, running_edge
from tests.helpers.story import tell_fire
from tests.unit.test_fleet import report

pytestmark = pytest.mark.e2e

_MARKUP = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">{{7*7}}🔥\n"
_LONG = (_MARKUP + "W" * 10_000)[:10_000]
_TITLE = (_MARKUP + "W" * 200)[:200]
_NAME = "w" * 64
_PASSWORD = "a horse that is correct"
_PAGES = [
    "/",
    "/ui/events",
    "/ui/events/{event}",
    "/ui/budget",
    "/ui/statistics",
    "/ui/health",
    f"/ui/settings?camera={_NAME}",
    "/ui/try",
]
_QUERIES = [
    "/ui/events?camera={q}&severity={q}&day={q}",
    "/ui/events/{q}",
    "/ui/statistics?day={q}&camera={q}",
    "/ui/settings?camera={q}",
    "/ui/try?camera={q}",
    "/?lang={q}&theme={q}",
    "/login?next={q}",
    "/errors/{q}",
]
_CLOUD_PAGES = ["/", "/ui/fleet", "/ui/queue", "/ui/models", "/ui/jobs?id={q}"]


@dataclass(frozen=True)
class World:
    """An edge whose every name means harm, and the event that it shows."""

    edge: Running
    event: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[World]:
    state = tmp_path_factory.mktemp("hostile")
    add_user(state / "users.json", _NAME, Role.ADMIN, _PASSWORD)
    zone = {"kind": "watch", "points": [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]}
    with running_edge(
        state,
        models,
        cloud={"endpoints": [f"https://{'w' * 60}.{'w' * 60}.example:5001/{'w' * 80}"]},
        cameras={_NAME: {"source": "push:", "title": _TITLE, "zones": {_NAME: zone}}},
        console={"site": (_MARKUP + "W" * 64)[:64]},
    ) as edge:
        records = edge.service._kept.records
        event = tell_fire(records, camera=_NAME, began_at=datetime.now(UTC) - timedelta(minutes=1))
        records.acknowledge(event.event_id, by=_NAME)
        records.label(event.event_id, Mark.OTHER, by=_NAME, note=_LONG)
        yield World(edge=edge, event=event.event_id)


@pytest.fixture
def sheet(browser: Browser, world: World) -> Iterator[Sheet]:
    """Sign in as the user with the longest name."""
    with browser.sheet(world.edge.url, width_px=PHONE_PX, theme="light") as opened:
        opened.open("/login")
        opened.page.fill("input[name=name]", _NAME)
        opened.page.fill("input[name=password]", _PASSWORD)
        with opened.page.expect_navigation():
            opened.page.click("form button")
        yield opened


def assert_is_text(sheet: Sheet, path: str) -> None:
    assert sheet.page.title() != "taken", path
    assert sheet.page.locator("img[src='x']").count() == 0, path
    assert not sheet.is_wider_than_its_window(), path


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_of_the_edge_shows_hostile_names_as_text(sheet, world, language):
    for path in _PAGES:
        where = path.format(event=world.event)
        sheet.open(f"{where}{'&' if '?' in where else '?'}lang={language}")
        assert_is_text(sheet, where)
        assert "49🔥" not in sheet.text(), where
        assert sheet.grave_findings() == [], where
    sheet.open("/")
    assert "<script>document.title" in sheet.text()
    sheet.open(f"/ui/events/{world.event}")
    assert "onerror=" in sheet.text()
    assert sheet.complaints == []


def test_what_a_query_says_is_text_or_nothing(sheet):
    for path in _QUERIES:
        sheet.open(path.format(q=quote(_LONG[:2_000], safe="")))
        assert_is_text(sheet, path)


def test_a_note_that_is_typed_is_cut_and_shown_as_text(sheet, world):
    sheet.open(f"/ui/events/{world.event}")
    sheet.page.fill("input[name=note]", _LONG.replace("\n", " "))
    sheet.page.click("button[data-key=f]")
    sheet.page.wait_for_selector("button[data-key=f][aria-pressed=true]")
    sheet.open("/ui/events")
    assert_is_text(sheet, "/ui/events")
    assert "<img src=x onerror" in sheet.text()
    marked = world.edge.service._kept.records.event(world.event).marked
    assert marked is not None
    assert len(marked.text) in (499, 500)


def test_every_page_of_the_cloud_shows_hostile_reports_as_text(browser, tmp_path, models):
    trouble = {"kind": "camera", "subject": _TITLE, "code": "late", "since": "2026-03-10T11:00:00Z"}
    model = {"name": _TITLE, "version": _TITLE, "sha256_12": "<b>x</b>"}
    told = report(_NAME, version=_TITLE, policy=_TITLE, model=model, troubles=[trouble] * 50)
    with running_cloud(tmp_path, models) as cloud:
        sent = cloud.post("/edges/heartbeat", json=told.model_dump(mode="json"))
        assert sent.status_code == 200
        with browser.sheet(cloud.url, width_px=PHONE_PX) as sheet:
            for path in _CLOUD_PAGES:
                where = path.format(q=quote(_LONG[:2_000], safe=""))
                sheet.open(where)
                assert_is_text(sheet, path)
                assert sheet.grave_findings() == [], path
            sheet.open("/ui/fleet")
            assert "<script>document.title" in sheet.text()
