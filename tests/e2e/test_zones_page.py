"""The zone editor in a real browser: drawn, saved, refused, removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.browser import chromium
from tests.helpers.pictures import calm_jpeg
from tests.helpers.services import running_edge

pytestmark = pytest.mark.e2e


def test_a_zone_is_drawn_on_a_still_saved_and_removed(tmp_path: Path, models: Path) -> None:
    with (
        running_edge(tmp_path, models, cameras={"yard": {"source": "push:"}}) as edge,
        chromium() as browser,
        browser.sheet(edge.url) as sheet,
    ):
        page, zones = sheet.page, edge.service._zones
        assert edge.show("/joint_predict?camera=yard", calm_jpeg()).status_code == 200
        sheet.open("/ui/settings?camera=yard")
        for x, y in ((20, 20), (200, 20), (200, 120), (20, 120), (10, 10)):
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
