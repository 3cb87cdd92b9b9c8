"""The edge's pages as they are sent, and what their forms change."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.record.types import Mark
from shared.types import Classification, Label, Source
from tests.helpers.clock import FakeClock
from tests.helpers.evidence import verdict
from tests.helpers.frames import frame
from tests.helpers.services import Running, running_edge
from tests.helpers.story import tell_fire

_CAMERAS = 64
_HISTORY = 120
_MOST_BYTES = 40_000


@pytest.fixture
def edge(tmp_path: Path, models: Path) -> Iterator[Running]:
    with running_edge(tmp_path / "edge", models) as running:
        yield running


def test_the_pages_of_64_cameras_are_small_on_the_wire(tmp_path: Path, models: Path) -> None:
    cameras = {f"cam{n}": {"source": str(tmp_path), "fps": 1} for n in range(_CAMERAS)}
    clock = FakeClock()
    with running_edge(tmp_path / "edge", models, clock=clock, cameras=cameras) as edge:
        live, client = edge.service._live, edge.service.app.test_client()
        draw = random.Random(0)
        for turn in range(_HISTORY):
            for camera in cameras:
                seen = Classification(fire=draw.random() ** 6, smoke=0.0)
                taken = frame(f"f{turn}", camera)
                live.note(taken, verdict(taken, edge=seen, source=Source.EDGE, label=Label.NONE))
            clock.advance(1.0)
        for path in ("/", "/ui/now", "/ui/settings", "/ui/health"):
            packed = client.get(path, headers={"Accept-Encoding": "br, gzip"})
            assert packed.headers["Content-Encoding"] == "gzip"
            assert int(packed.headers["Content-Length"]) == len(packed.data) < _MOST_BYTES, path
            assert "Accept-Encoding" in packed.headers["Vary"]


def test_who_cannot_unpack_gets_the_page_as_it_is(edge: Running) -> None:
    for accepted in ("identity", "gzip;q=0", ""):
        page = edge.get("/ui/health", headers={"Accept-Encoding": accepted})
        assert "Content-Encoding" not in page.headers
        assert page.text.startswith("<!doctype html>")
    assert edge.get("/ui/health").headers["Content-Encoding"] == "gzip"


def test_a_word_about_an_event_stays_until_another_is_said(edge: Running) -> None:
    records = edge.service._kept.records
    event_id = tell_fire(records, began_at=datetime.now(UTC), is_over=True).event_id

    def say(**fields: str) -> tuple[Mark | None, str]:
        form = edge.post(f"/ui/events/{event_id}/label", data=fields, allow_redirects=False)
        assert form.status_code == 303
        record = records.event(event_id)
        return record.mark, record.marked.text if record.marked else ""

    assert say(mark="true", note="chip pan") == (Mark.TRUE, "chip pan")
    assert say(mark="false", back="list") == (Mark.FALSE, "chip pan")
    assert say(mark="true") == (Mark.TRUE, "chip pan")
    assert say(mark="true", note="") == (Mark.TRUE, "")
    assert say(mark="") == (None, "")


def test_the_event_before_and_the_event_after_are_a_key_away(edge: Running) -> None:
    records, now = edge.service._kept.records, datetime.now(UTC)
    ids = [
        tell_fire(records, began_at=now - timedelta(hours=ago), is_over=True).event_id
        for ago in (1, 2, 3, 4)
    ]
    page = edge.get(f"/ui/events/{ids[2]}").text
    keys = dict(re.findall(r'href="/ui/events/(\w+)" data-key="([jk])"', page))
    assert keys == {ids[1]: "k", ids[3]: "j"}
