"""The shipped models on real clips and stills: what opens an event, and where it began. Needs the optional data."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.labels import DATA, list_negatives, list_sure_negatives
from bench.origin import Stage, held_stills, trace_composite
from edge.cli import main

CLIPS = DATA / "clips"
pytestmark = pytest.mark.skipif(
    not (CLIPS / "clips.csv").exists(), reason="the optional clips are not there"
)


def rows() -> list[dict[str, str]]:
    if not (CLIPS / "clips.csv").exists():
        return []
    with (CLIPS / "clips.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def replayed(clip: Path) -> list[dict[str, Any]]:
    done = CliRunner().invoke(main, ["replay", str(clip), "--json"])
    assert done.exit_code == 0, done.stderr
    events: list[dict[str, Any]] = json.loads(done.stdout)["events"]
    return events


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["file"])
def test_a_clip_with_fire_opens_an_event_with_its_origin_and_one_without_opens_none(row):
    events = replayed(CLIPS / row["file"])
    assert bool(events) == (row["has_fire"] == "1")
    for event in events:
        assert event["label"] in ("fire", "smoke", "uncertain")
        assert event["grade"] in ("confirmed", "edge_only")
        origin = event["origin"]
        x1, y1, x2, y2 = origin["box_xyxy"]
        assert 0 <= x1 < x2 <= float(row["width"])
        assert 0 <= y1 < y2 <= float(row["height"])
        assert 0 <= origin["at_s"] <= event["first_seen_s"]


def test_a_fire_that_begins_in_view_is_traced_to_within_two_seconds():
    (event,) = replayed(CLIPS / "indoor_battery_ignites.mp4")
    assert abs(event["origin"]["at_s"] - 3.5) <= 2.0


def test_a_minute_of_held_and_swaying_stills_open_at_most_one_event():
    stage = Stage()
    try:
        stills = list_sure_negatives(DATA)[::24]
        assert len(stage.show("stills", list(held_stills(stills, 60.0)))) <= 1
    finally:
        stage.close()


def test_a_rendered_fire_is_traced_to_its_beginning():
    stage = Stage()
    try:
        still = next(p for p in list_negatives(DATA) if p.name.startswith("forklift"))
        found = trace_composite(stage, still, 0)
    finally:
        stage.close()
    assert found.error_s is not None
    assert -1.0 <= found.error_s <= 4.0
