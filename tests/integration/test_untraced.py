"""Events that were left without an origin, as the next start finds them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from edge.origin.untraced import untraced
from edge.record.chain import row_hash
from tests.helpers.evidence import fill, open_records


def _change_frames(folder: Path, event_id: str, before: str, after: str) -> None:
    with sqlite3.connect(folder / "records.sqlite3") as db:
        db.execute(
            "UPDATE journal SET line=replace(line, ?, ?) WHERE event_id=? AND kind='frame'",
            (before, after, event_id),
        )
    db.close()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{", "("),
        ('"width_px"', '"width"'),
        ('"reason":"', '"reason":"x'),
        ('"policy":"', '"policy":"x'),
    ],
)
def test_an_event_whose_frames_are_damaged_costs_no_other_its_trace_and_no_box_its_start(
    tmp_path, before, after
):
    with open_records(tmp_path) as records:
        fill(records, "damaged", is_traced=False)
        fill(records, "sound", is_traced=False)
        _change_frames(tmp_path, "damaged", before, after)
        assert [event.event_id for event, _ in untraced(records)] == ["sound"]


def test_a_frame_that_another_version_wrote_otherwise_is_left_out_and_numbered(tmp_path):
    with open_records(tmp_path) as records:
        fill(records)
        _change_frames(tmp_path, "event", '"width_px"', '"width"')
        with sqlite3.connect(tmp_path / "records.sqlite3") as db:
            rows = db.execute("SELECT seq, line FROM journal WHERE kind='frame'").fetchall()
            hashed = [(row_hash(line), seq) for seq, line in rows]
            db.executemany("UPDATE journal SET row_sha256=? WHERE seq=?", hashed)
        db.close()
        assert records.frames("event") == ()
        assert records.event("event").damaged == tuple(seq for seq, _ in rows)
