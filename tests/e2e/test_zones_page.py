"""The zone editor in a real browser: drawn, saved, refused, removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.browser import Browser, Sheet
from tests.helpers.pictures import calm_jpeg
from tests.helpers.services import Running, running_edge

pytestmark = pytest.mark.e2e


def test_a_zone_is_drawn_on_a_still_saved_and_removed(
    browser: Browser, tmp_path: Path, models: Path
) -> None:
    with (
        running_edge(tmp_path, models, cameras={"yard": {"source": "push:"}}) as edge,
        browser.sheet(edge.url) as sheet,
    ):
        page, zones = sheet.page, edge.service._kept.zones
        assert edge.show("/joint_predict?camera=yard", calm_jpeg()).status_code == 200
        sheet.open("/ui/settings?camera=yard")
        for x, y in ((20, 20), (200, 20), (200, 120), (20, 120), (100, 60)):
            page.click("[data-zones] img", position={"x": x, "y": y}, force=True)
        page.click("[data-zone-undo]")
        page.fill(".zrow input[name=name]", "stove")
        page.select_option(".zrow select", "watch")
        page.fill(".zrow input[name=threshold]", "0.7")
        with page.expect_navigation():
            page.click("[data-zone-save]")
        held = zones.zones("yard")["stove"]
        assert (held.kind.value, held.threshold, len(held.points)) == ("watch", 0.7, 4)
        assert "Saved on this page as version" in sheet.text()
        page.click("[data-zone-next]")
        for x, y in ((20, 20), (200, 120), (200, 20), (20, 120)):
            page.click("[data-zones] img", position={"x": x, "y": y}, force=True)
        page.click("[data-zone-save]")
        page.wait_for_selector("#toast .toast.trouble")
        assert "crosses itself" in page.inner_text("#toast")
        page.click(".zrow:last-child [data-zone-remove]")
        page.click(".zrow:last-child [data-zone-remove]")
        with page.expect_navigation():
            page.click("[data-zone-save]")
        assert zones.zones("yard") == {}
        assert sheet.grave_findings() == []
        assert [c for c in sheet.complaints if "400" not in c] == []


_CAMERA = {
    "source": "push:",
    "zones": {"door": {"kind": "ignore", "points": [[0.2, 0.2], [0.6, 0.2], [0.6, 0.6]]}},
}


@pytest.fixture
def editor(browser: Browser, tmp_path: Path, models: Path) -> Iterator[tuple[Sheet, Running]]:
    """Open the editor of a camera that has one zone in the configuration."""
    with (
        running_edge(tmp_path, models, cameras={"yard": _CAMERA}) as edge,
        browser.sheet(edge.url) as sheet,
    ):
        assert edge.show("/joint_predict?camera=yard", calm_jpeg()).status_code == 200
        sheet.open("/ui/settings?camera=yard")
        yield sheet, edge
        assert sheet.complaints == []


def corners(sheet: Sheet) -> list[tuple[float, float]]:
    """Give the corners of the first zone as the form would send them."""
    text = sheet.page.input_value(".zrow input[name=points]")
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]


def drag(sheet: Sheet, handle: str, to: tuple[float, float]) -> None:
    """Take a handle with the pointer and let it go at a share of the picture."""
    page = sheet.page
    held, picture = (
        page.locator(handle).bounding_box(),
        page.locator("[data-zones] img").bounding_box(),
    )
    page.mouse.move(held["x"] + held["width"] / 2, held["y"] + held["height"] / 2)
    page.mouse.down()
    page.mouse.move(
        picture["x"] + to[0] * picture["width"], picture["y"] + to[1] * picture["height"], steps=4
    )
    page.mouse.up()


def test_corners_are_dragged_added_and_undone_and_versions_come_back(editor) -> None:
    sheet, edge = editor
    page, zones = sheet.page, edge.service._kept.zones
    page.click("[data-zones] polygon")
    assert page.locator(".corners .corner").count() == 3
    assert sheet.grave_findings() == []
    drag(sheet, ".corner[data-i='0']", (0.1, 0.3))
    assert corners(sheet)[0] == pytest.approx((0.1, 0.3), abs=0.005)
    drag(sheet, ".middle[data-i='2']", (0.2, 0.9))
    assert corners(sheet)[3] == pytest.approx((0.2, 0.9), abs=0.005)
    with page.expect_navigation():
        page.click("[data-zone-save]")
    assert len(zones.zones("yard")["door"].points) == 4
    page.click("[data-zones] polygon")
    drag(sheet, ".corner[data-i='1']", (2.0, -1.0))
    assert corners(sheet)[1] == (1.0, 0.0)
    page.click("[data-zone-undo]")
    assert corners(sheet)[1] == (0.6, 0.2)
    assert page.is_disabled("[data-zone-undo]")
    page.click("[data-zone-remove]")
    with page.expect_navigation():
        page.click("[data-zone-save]")
    assert zones.zones("yard") == {}
    page.click("summary:has-text('2 saved versions')")
    with page.expect_navigation():
        page.click("a:has-text('Take a look')")
    assert "save to let these hold again" in sheet.text()
    with page.expect_navigation():
        page.click("[data-zone-save]")
    assert len(zones.zones("yard")["door"].points) == 4


def test_corners_are_moved_added_and_removed_with_keys_alone(editor) -> None:
    sheet, _edge = editor
    page = sheet.page
    page.focus(".zrow input[name=name]")
    page.focus(".corner[data-i='0']")
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowDown"):
        page.keyboard.press(key)
    assert corners(sheet)[0] == (0.21, 0.25)
    assert "21 % from the left, 25 % from the top" in page.get_attribute(
        ".corner[data-i='0']", "aria-label"
    )
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert len(corners(sheet)) == 4
    page.keyboard.press("ArrowUp")
    assert corners(sheet)[1] == pytest.approx((0.405, 0.22), abs=0.001)
    page.keyboard.press("Delete")
    page.keyboard.press("Delete")
    assert len(corners(sheet)) == 3
    for _ in range(3):
        page.keyboard.press("Control+z")
    assert corners(sheet) == [(0.21, 0.25), (0.6, 0.2), (0.6, 0.6)]
    page.keyboard.press("Control+z")
    assert corners(sheet)[0] == (0.2, 0.2)
