from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import pytest

from edge.replay.score_log import ScoreLog, is_score_log, read_scores
from shared.types import Classification

_AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def write(folder: Path, count: int, *, days: int = 1, keep_days: int = 7) -> None:
    log = ScoreLog(folder, keep_days=keep_days)
    for day in range(days):
        for number in range(count):
            at = _AT + timedelta(days=day, seconds=0.5 * number)
            log.note("gate", at, Classification(fire=0.25, smoke=0.001))
    log.flush()


def test_what_was_written_is_read_back(tmp_path):
    write(tmp_path, 130)
    scores = list(read_scores(tmp_path / "gate" / "2026-03-10.scores"))
    assert len(scores) == 130
    assert (scores[1].camera, scores[1].at) == ("gate", _AT + timedelta(seconds=0.5))
    assert scores[0].classification.fire == pytest.approx(0.25, abs=1e-3)
    assert scores[0].classification.smoke == pytest.approx(0.001, rel=1e-2)


def test_a_frame_takes_eight_bytes(tmp_path):
    write(tmp_path, 1000)
    assert (tmp_path / "gate" / "2026-03-10.scores").stat().st_size == 8 + 8 * 1000


def test_old_days_go(tmp_path):
    write(tmp_path, 70, days=10, keep_days=3)
    ScoreLog(tmp_path, keep_days=3).prune(_AT.date() + timedelta(days=9))
    days = sorted(path.stem for path in (tmp_path / "gate").iterdir())
    assert days[0] == "2026-03-16"


def test_a_record_cut_by_a_crash_is_left_out(tmp_path):
    write(tmp_path, 10)
    path = tmp_path / "gate" / "2026-03-10.scores"
    path.write_bytes(path.read_bytes()[:-3])
    assert len(list(read_scores(path))) == 9


def test_frames_without_a_camera_and_a_flood_of_names_are_not_logged(tmp_path):
    log = ScoreLog(tmp_path, keep_days=7)
    for name in [None, *(f"camera-{n}" for n in range(500))]:
        log.note(name, _AT, Classification(fire=0.1, smoke=0.1))
    log.flush()
    assert len(list(tmp_path.iterdir())) == 64


def test_a_disk_that_cannot_be_written_costs_records_and_nothing_else(tmp_path):
    (tmp_path / "gate").write_text("in the way", encoding="ascii")
    write(tmp_path, 200)
    assert (tmp_path / "gate").read_text(encoding="ascii") == "in the way"


def test_a_disk_that_hangs_holds_no_camera_up(tmp_path, monkeypatch):
    log, is_stuck, go_on = ScoreLog(tmp_path, keep_days=7), Event(), Event()

    def hang(path: Path, records: list[bytes]) -> None:
        is_stuck.set()
        assert go_on.wait(40)

    monkeypatch.setattr(log, "_write", hang)
    log.note("gate", _AT, Classification(fire=0.1, smoke=0.1))
    writer = Thread(target=log.flush)
    writer.start()
    assert is_stuck.wait(40)
    for number in range(200):
        log.note("gate", _AT + timedelta(seconds=number), Classification(fire=0.1, smoke=0.1))
    assert writer.is_alive()
    go_on.set()
    writer.join(40)


def test_another_file_is_not_taken_for_a_log(tmp_path):
    path = tmp_path / "2026-03-10.scores"
    path.write_bytes(b"something else")
    assert is_score_log(path)
    with pytest.raises(ValueError, match="not a score log"):
        list(read_scores(path))


def test_a_record_cut_by_a_crash_shifts_none_that_come_after_it(tmp_path):
    write(tmp_path, 10)
    path = tmp_path / "gate" / "2026-03-10.scores"
    path.write_bytes(path.read_bytes()[:-3])
    write(tmp_path, 10)
    scores = list(read_scores(path))
    assert len(scores) == 19
    assert all(score.classification.fire == pytest.approx(0.25, abs=1e-3) for score in scores)
