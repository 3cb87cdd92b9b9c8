"""`emberlink-edge replay`: what a policy would have done with recordings."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.replay.score_log import ScoreLog
from shared.types import Classification
from tests.helpers.pictures import calm_jpeg, fire_jpeg, unsure_jpeg
from tests.helpers.videos import write_video

_KEYS = {"source", "policy", "frames", "forwarded", "cost", "exhausted_at", "reasons", "events"}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A folder that plays as ten seconds: calm, then unsure, then a fire."""
    folder = tmp_path / "yard"
    folder.mkdir()
    frames = [calm_jpeg()] * 8 + [unsure_jpeg()] * 4 + [fire_jpeg()] * 8
    for number, jpeg in enumerate(frames):
        (folder / f"{number:03d}.jpg").write_bytes(jpeg)
    return folder


def run(models: Path, *arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["replay", *map(str, arguments), "--models", str(models)])
    return done.exit_code, done.stdout, done.stderr


def lines(models: Path, *arguments: object) -> list[dict]:
    code, out, err = run(models, *arguments, "--json")
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


def test_one_line_a_source_tells_frames_cost_and_reasons(recording, models):
    (told,) = lines(models, recording, "--policy", "fixed", "--daily-limit", 1_000_000)
    assert set(told) == _KEYS
    assert (told["frames"], told["forwarded"], told["cost"]) == (20, 4, 0.08)
    assert told["reasons"] == {"edge_confident": 16, "cloud_routine": 4}


def test_the_fire_is_an_event_with_its_second(recording, models):
    (told,) = lines(models, recording, "--policy", "edge_only")
    (event,) = told["events"]
    assert (event["label"], event["grade"]) == ("fire", "edge_only")
    assert 4.0 <= event["first_seen_s"] <= 8.0


def test_a_fire_the_cloud_agrees_with_is_confirmed(recording, models):
    (told,) = lines(models, recording, "--policy", "always", "--daily-limit", 1_000_000)
    assert [event["grade"] for event in told["events"]] == ["confirmed"]


def test_the_limit_is_pro_rated_over_the_recording(recording, models):
    (told,) = lines(
        models, recording, "--policy", "always", "--daily-limit", 86_400, "--start", "08:00"
    )
    assert told["forwarded"] == 10
    assert told["exhausted_at"].startswith(str(datetime.now(UTC).date()))
    assert "T08:00:05" in told["exhausted_at"]


def test_nothing_is_sent_without_a_limit(recording, models):
    (told,) = lines(models, recording, "--policy", "price", "--daily-limit", 0)
    assert told["forwarded"] == 0


def test_labels_give_false_alarms_and_accuracy(recording, models, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("file,first_fire_second\nyard,\n", encoding="utf-8")
    (told,) = lines(models, recording, "--policy", "edge_only", "--labels", labels)
    assert told["false_alarms"] == 1
    assert told["accuracy"] < 1.0


def test_policies_are_compared_side_by_side_with_the_oracle(recording, models, tmp_path):
    labels, plot = tmp_path / "labels.csv", tmp_path / "plot.png"
    labels.write_text("file,first_fire_second\nyard,4.0\n", encoding="utf-8")
    pytest.importorskip("matplotlib", reason="--plot needs the extra `plots`")
    code, out, err = run(
        models, recording, "--compare", "fixed,price", "--labels", labels, "--plot", plot
    )
    assert code == 0, err
    table = out[out.index("policy ") :].splitlines()
    assert [row.split()[0] for row in table] == ["policy", "fixed", "price", "oracle"]
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_score_log_gives_forwards_and_cost_but_no_answers(models, tmp_path):
    log = ScoreLog(tmp_path / "scores", keep_days=7)
    for number in range(120):
        at = datetime(2026, 3, 10, 12, tzinfo=UTC) + timedelta(seconds=number)
        log.note("gate", at, Classification(fire=0.5 if number % 10 == 0 else 0.001, smoke=0.0))
    log.flush()
    path = tmp_path / "scores" / "gate" / "2026-03-10.scores"
    (told,) = lines(models, path, "--policy", "fixed", "--daily-limit", 1_000_000)
    assert (told["frames"], told["forwarded"], told["events"]) == (120, 12, [])


def test_a_folder_of_score_logs_is_played_log_by_log(models, tmp_path):
    log = ScoreLog(tmp_path / "scores", keep_days=7)
    for camera in ("gate", "yard"):
        at = datetime(2026, 3, 10, 12, tzinfo=UTC)
        log.note(camera, at, Classification(fire=0.5, smoke=0.0))
    log.flush()
    told = lines(models, tmp_path / "scores", "--policy", "fixed")
    assert [Path(line["source"]).parent.name for line in told] == ["gate", "yard"]
    assert [line["frames"] for line in told] == [1, 1]


def test_the_labels_of_a_folder_are_those_of_its_videos(models, tmp_path):
    folder, labels = tmp_path / "clips", tmp_path / "clips.csv"
    folder.mkdir()
    for name in ("calm.avi", "fire.avi"):
        write_video(folder / name)
    labels.write_text("file,first_fire_second\ncalm.avi,\nfire.avi,0.5\n", encoding="utf-8")
    told = lines(models, folder, "--policy", "edge_only", "--labels", labels, "--fps", 10)
    assert {Path(line["source"]).name: line["accuracy"] for line in told} == {
        "calm.avi": 0.5,
        "fire.avi": 1.0,
    }


def test_a_folder_with_nothing_to_play_is_refused(models, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = run(models, tmp_path / "empty")
    assert code == 2
    assert "holds no video, picture or score log" in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--compare", "fixed,nonsense"], "price, fixed, sliding_window, always, edge_only"),
        (["--start", "25:99"], "HH:MM"),
        (["--labels", "/nowhere.csv"], "first_fire_second"),
        (["--cloud", "ftp://cloud"], "http://"),
        (["--plot", "cost.png"], "--plot needs --labels"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused_with_what_is_allowed(
    recording, models, arguments, named
):
    code, _, err = run(models, recording, *arguments)
    assert code == 2
    assert named in err
