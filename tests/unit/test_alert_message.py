from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from edge.alert.message import AlertStep, Language, Place, as_dict, place_of, sample, text, title
from edge.event.evidence import Grade
from edge.event.fire_event import Severity
from shared.types import Box

_REAL = replace(
    sample("gate"),
    is_test=False,
    zone="pumps",
    link="https://box.example/ui/events/1",
    is_traced=True,
    grade=Grade.CONFIRMED,
)


def test_a_message_tells_what_where_when_and_how_sure() -> None:
    said = text(_REAL, Language.EN)
    assert said.splitlines() == [
        "Fire on camera gate / pumps, upper left of the picture",
        "Began (traced back): 2026-01-01 12:00:00 UTC",
        "Grade: confirmed by the cloud's detector, probability up to 97%",
        "Box: 80, 60 – 240, 200 px",
        "https://box.example/ui/events/1",
        "Emberlink box. Supplements listed fire alarms; never replaces one.",
    ]


def test_the_guide_shows_every_field_of_a_message() -> None:
    guide = (Path(__file__).parents[2] / "docs/alerts.md").read_text(encoding="utf-8")
    shown = json.loads(guide.partition("```json\n")[2].partition("```")[0])["data"]
    assert shown.keys() == as_dict(_REAL, Language.EN).keys() | {"snapshot_base64"}


def test_the_same_is_said_in_chinese() -> None:
    said = text(_REAL, Language.ZH).splitlines()
    assert said[0] == "明火：摄像机 gate / pumps，画面左上"
    assert said[1].startswith("起火时间（回溯）：2026-01-01 12:00:00")
    assert "云端检测模型已核实" in said[2]
    assert said[-1].endswith("不替代消防报警设备。")


def test_people_read_the_cameras_title_and_the_sites_time_and_programs_its_name_and_utc() -> None:
    at = _REAL.began_at.astimezone(ZoneInfo("Asia/Shanghai"))
    alert = replace(_REAL, camera_title="Pump house", zone=None, began_at=at)
    assert title(alert, is_chinese=False) == "Fire on camera Pump house, upper left of the picture"
    assert "Began (traced back): 2026-01-01 20:00:00 UTC+08:00" in text(alert, Language.EN)
    fields = as_dict(alert, Language.EN)
    assert (fields["camera"], fields["camera_title"]) == ("gate", "Pump house")
    assert fields["began_at"] == "2026-01-01T12:00:00+00:00"


def test_both_languages_stand_one_after_the_other() -> None:
    both = text(_REAL, Language.BOTH)
    assert both == text(_REAL, Language.EN) + "\n\n" + text(_REAL, Language.ZH)


def test_every_step_and_severity_has_its_words() -> None:
    seen = set()
    for step in AlertStep:
        for severity in Severity:
            for is_chinese in (False, True):
                alert = replace(_REAL, step=step, severity=severity)
                seen.add(title(alert, is_chinese=is_chinese))
    assert len(seen) == len(AlertStep) * len(Severity) * 2


def test_the_end_and_who_acknowledged_are_told() -> None:
    over = replace(
        _REAL,
        step=AlertStep.CLOSED,
        closed_at=datetime(2026, 1, 1, 12, 9, tzinfo=UTC),
        acknowledged_by="anna",
    )
    assert "Not seen since: 2026-01-01 12:09:00 UTC" in text(over, Language.EN)
    assert "Acknowledged by: anna" in text(over, Language.EN)
    assert "接警人：anna" in text(over, Language.ZH)


def test_a_test_says_so_first_in_every_text() -> None:
    alert = replace(_REAL, is_test=True)
    fields = as_dict(alert, Language.BOTH)
    assert fields["title_en"].startswith("TEST, no real fire")
    assert fields["title_zh"].startswith("【测试，并非真实火情】")
    assert fields["type"] == "fire.test.opened"


def test_places_are_named_by_thirds() -> None:
    size = (300, 300)
    at = {
        (50, 50): Place.UPPER_LEFT,
        (150, 150): Place.MIDDLE,
        (250, 50): Place.UPPER_RIGHT,
        (50, 250): Place.LOWER_LEFT,
        (250, 250): Place.LOWER_RIGHT,
    }
    for (x, y), place in at.items():
        assert place_of(Box(x1=x - 5, y1=y - 5, x2=x + 5, y2=y + 5), size) is place
    assert place_of(None, size) is None
    assert place_of(Box(x1=0, y1=0, x2=1, y2=1), None) is None


@given(*[st.floats(-1e6, 1e6)] * 4)
def test_a_box_anywhere_has_a_place(x1: float, y1: float, x2: float, y2: float) -> None:
    assert place_of(Box(x1=x1, y1=y1, x2=x2, y2=y2), (640, 480)) in Place
