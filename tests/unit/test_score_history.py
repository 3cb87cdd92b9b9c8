from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.replay.score_history import read_history
from edge.replay.score_log import ScoreLog
from shared.types import Classification

_NOW = datetime(2026, 3, 10, 14, 0, tzinfo=UTC)


def write(folder: Path, camera: str, hours: float, *, every_s: float = 30.0) -> None:
    log = ScoreLog(folder, keep_days=7)
    begins_at = _NOW - timedelta(hours=hours)
    for number in range(int(3600 * hours / every_s)):
        at = begins_at + timedelta(seconds=number * every_s)
        log.note(camera, at, Classification(fire=0.1, smoke=0.0))
    log.flush()


def test_a_day_of_all_cameras_is_one_recording_in_order_of_time(tmp_path):
    write(tmp_path, "gate", 30.0)
    write(tmp_path, "yard", 2.0)
    history = read_history(tmp_path, until=_NOW, most_frames=10_000)
    moments = list(history.recording.moments)
    assert (history.frames, history.cameras) == (24 * 120 + 2 * 120, 2)
    assert len(moments) == history.frames
    assert [m.at_s for m in moments] == sorted(m.at_s for m in moments)
    assert {m.frame.camera for m in moments} == {"gate", "yard"}
    assert history.begins_at == _NOW - timedelta(days=1)
    assert history.recording.length_s == pytest.approx(86_400 - 30)
    assert (history.recorded_s, history.share) == (86_400, 1.0)


def test_a_fuller_day_than_wanted_is_played_from_each_of_its_hours(tmp_path):
    write(tmp_path, "gate", 24.0)
    history = read_history(tmp_path, until=_NOW, most_frames=720)
    moments = list(history.recording.moments)
    assert history.share == 0.25
    assert len(moments) == pytest.approx(720, abs=24)
    assert history.recording.length_s == pytest.approx(21_600)
    steps = [b.at_s - a.at_s for a, b in itertools.pairwise(moments)]
    assert max(steps) <= 30.0


def test_time_in_which_nothing_was_recorded_is_not_called_recorded(tmp_path):
    write(tmp_path, "gate", 0.5)
    log = ScoreLog(tmp_path, keep_days=7)
    log.note("gate", _NOW - timedelta(hours=20), Classification(fire=0.1, smoke=0.0))
    log.flush()
    history = read_history(tmp_path, until=_NOW, most_frames=10_000)
    assert history.recorded_s == 31 * 60
    assert history.recording.length_s > 19 * 3600


def test_a_box_that_recorded_nothing_has_an_empty_history(tmp_path):
    history = read_history(tmp_path, until=_NOW, most_frames=10_000)
    assert (history.frames, history.recorded_s, list(history.recording.moments)) == (0, 0.0, [])
