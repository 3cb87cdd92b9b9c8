"""The two commands as a person calls them, with real (tiny) models."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from click.testing import CliRunner, Result

import cloud.cli
import edge.cli
from shared.picture.imaging import read_picture
from shared.types import ImageLimits
from tests.helpers.pictures import calm_jpeg, colour_bgr, fire_jpeg, png
from tests.helpers.videos import write_video

_CLASSIFY_KEYS = {"file", "fire", "smoke", "confidence", "label", "latency_ms"}
_DETECT_KEYS = {"file", "width", "height", "detections", "latency_ms"}
_ENVIRONMENT = {"CREDENTIALS_DIRECTORY": "/nonexistent"}
_SECRET = "hunter2-is-not-shown"

Command = Callable[..., Result]


def _run(main: Any, *arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], env=_ENVIRONMENT)


@pytest.fixture
def classify(models: Path) -> Command:
    return lambda *arguments: _run(edge.cli.main, "classify", *arguments, "--models", models)


@pytest.fixture
def detect(models: Path) -> Command:
    return lambda *arguments: _run(cloud.cli.main, "detect", *arguments, "--models", models)


def _lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(fire_jpeg())
    (folder / "b.png").write_bytes(png(colour_bgr(red=90, blue=120)))
    (folder / "sub" / "c.JPEG").write_bytes(calm_jpeg())
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_classify_prints_exactly_what_was_promised(classify, pictures):
    (line,) = _lines(classify(pictures / "a.jpg", "--json"))
    assert line.keys() == _CLASSIFY_KEYS
    assert (line["file"], line["label"]) == (str(pictures / "a.jpg"), "fire")


def test_detect_prints_exactly_what_was_promised(detect, pictures):
    (line,) = _lines(detect(pictures / "a.jpg", "--json"))
    assert line.keys() == _DETECT_KEYS
    assert set(line["detections"][0]) == {"label", "score", "box_xyxy"}


def test_boxes_are_in_pixels_of_the_file(detect, tmp_path):
    (tmp_path / "a.jpg").write_bytes(fire_jpeg(width_px=1600, height_px=1200))
    (line,) = _lines(detect(tmp_path / "a.jpg", "--json"))
    assert (line["width"], line["height"]) == (1600, 1200)
    assert line["detections"][0]["box_xyxy"] == pytest.approx([0, 0, 800, 600], abs=20)


@pytest.mark.parametrize("command", ["classify", "detect"])
def test_a_folder_gives_a_line_for_each_picture_in_it(request, command, pictures):
    lines = _lines(request.getfixturevalue(command)(pictures, "--json"))
    names = [Path(line["file"]).name for line in lines]
    assert names == ["a.jpg", "b.png", "c.JPEG"]


@pytest.mark.parametrize("command", ["classify", "detect"])
def test_a_video_gives_a_line_for_each_moment(request, command, tmp_path):
    video = write_video(tmp_path / "a.avi", frames=20, fps=10.0)
    lines = _lines(request.getfixturevalue(command)(video, "--json", "--video-fps", "2"))
    assert [line["at_s"] for line in lines] == [0.0, 0.5, 1.0, 1.5]


def test_a_video_shows_when_the_fire_began(classify, tmp_path):
    video = write_video(tmp_path / "a.avi", frames=20, fps=10.0)
    lines = _lines(classify(video, "--json", "--video-fps", "2"))
    assert [line["label"] for line in lines] == ["none", "none", "fire", "fire"]


@pytest.mark.parametrize("command", ["classify", "detect"])
@pytest.mark.parametrize(
    ("name", "content", "err_no"),
    [
        ("a.jpg", b"not a picture", 1006),
        ("a.jpg", fire_jpeg()[:-300], 1007),
        ("a.mp4", b"x", 1007),
        ("a.mp4", fire_jpeg()[:200], 1007),  # FFmpeg opens it and finds no frame
        ("gone.jpg", None, 9003),
        ("gone.mp4", None, 9003),
    ],
)
def test_a_file_that_cannot_be_used_has_a_line_and_the_others_go_on(
    request, command, pictures, tmp_path, name, content, err_no
):
    bad = tmp_path / name
    if content is not None:
        bad.write_bytes(content)
    result = request.getfixturevalue(command)(bad, pictures / "a.jpg", "--json")
    wrong, right = _lines(result)
    assert wrong.keys() == {"file", "err_no", "err_msg", "detail"}
    assert wrong["err_no"] == err_no
    assert "err_no" not in right
    assert result.exit_code == 1


def test_when_all_is_well_the_status_is_nought(classify, pictures):
    assert classify(pictures).exit_code == 0


def test_text_for_a_person_names_file_and_verdict(classify, pictures):
    assert classify(pictures / "a.jpg").stdout.startswith(f"{pictures}/a.jpg: fire ")


@pytest.mark.parametrize("command", ["classify", "detect"])
def test_annotated_pictures_are_saved_one_for_each(request, command, pictures, tmp_path):
    (pictures / "a.png").write_bytes(png(colour_bgr(red=240, blue=20)))  # the stem of another
    result = request.getfixturevalue(command)(pictures, "--save", tmp_path / "out")
    saved = list((tmp_path / "out").iterdir())
    assert result.exit_code == 0
    assert len(saved) == 4
    for path in saved:
        assert read_picture(path.read_bytes(), ImageLimits()).width_px == 320


def test_saving_twice_replaces_what_was_saved(classify, pictures, tmp_path):
    for _ in range(2):
        classify(pictures, "--save", tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_a_saved_picture_shows_the_boxes(detect, pictures, tmp_path):
    detect(pictures / "a.jpg", "--save", tmp_path / "out")
    (saved,) = (tmp_path / "out").iterdir()
    before, after = cv2.imread(str(pictures / "a.jpg")), cv2.imread(str(saved))
    assert before.shape == after.shape
    assert abs(before.astype(int) - after).max() > 50


def test_a_folder_to_save_in_that_cannot_be_made_is_explained(classify, pictures, tmp_path):
    (tmp_path / "out").write_text("a file")
    result = classify(pictures / "a.jpg", "--save", tmp_path / "out")
    assert result.exit_code == 2
    assert "what to do" in result.output


@pytest.mark.parametrize("fps", ["0", "-1", "soon"])
def test_an_impossible_rate_is_refused(classify, pictures, fps):
    assert classify(pictures, "--video-fps", fps).exit_code == 2


def test_models_that_are_not_there_are_explained(pictures, tmp_path):
    result = _run(edge.cli.main, "classify", pictures / "a.jpg", "--models", tmp_path)
    assert result.exit_code == 2
    assert "error 2001" in result.output
    assert "Traceback" not in result.output


def _check(main: Any, tmp_path: Path, toml: str) -> Result:
    path = tmp_path / "service.toml"
    path.write_text(toml, encoding="utf-8")
    return _run(main, "check", "--config", path)


def test_check_approves_of_what_is_right(tmp_path, models):
    toml = f"models = '{models}'\n[cameras.yard]\nsource = 'sim:'\n[cloud]\nurl = 'http://c:5001'"
    result = _check(edge.cli.main, tmp_path, toml)
    assert result.exit_code == 0, result.output
    assert "camera yard" in result.output
    assert "http://c:5001" in result.output


def test_check_of_the_cloud_approves_of_what_is_right(tmp_path, models):
    result = _check(cloud.cli.main, tmp_path, f"models = '{models}'")
    assert result.exit_code == 0, result.output
    assert "cloud-detector" in result.output


@pytest.mark.parametrize("main", [edge.cli.main, cloud.cli.main])
def test_check_tells_all_problems_and_ends_with_2(tmp_path, main):
    toml = "surprise = 1\n[server]\nport = 70000\n[limits]\nmax_batch = 0"
    result = _check(main, tmp_path, toml)
    assert result.exit_code == 2
    for name in ("surprise", "server.port", "limits.max_batch"):
        assert name in result.output


def test_check_shows_no_password(tmp_path, models):
    toml = (
        f"models = '{models}'\n[cameras.yard]\nsource = 'rtsp://admin:{_SECRET}@10.0.0.7/'\n"
        f"[cameras.gate]\nsource = 'rtsp://admin@10.0.0.7/'\npassword = '{_SECRET}'"
    )
    result = _check(edge.cli.main, tmp_path, toml)
    assert result.exit_code == 0, result.output
    assert _SECRET not in result.output


def test_check_names_a_camera_that_is_not_there(tmp_path, models):
    toml = f"models = '{models}'\n[cameras.yard]\nsource = '/nowhere'"
    result = _check(edge.cli.main, tmp_path, toml)
    assert result.exit_code == 2
    assert "/nowhere" in result.output


@pytest.mark.parametrize(
    "url",
    [
        f"rtsp://admin:{_SECRET}@10.0.0.7/live",
        f"rtsp://admin:{_SECRET}@x@10.0.0.7/live",
        f"rtsp://10.0.0.7/live?user=admin&password={_SECRET}",
    ],
)
def test_a_password_on_the_command_line_is_refused_and_not_repeated(tmp_path, models, url):
    result = _run(
        edge.cli.main, "run", "--state", tmp_path, "--models", models, "--source", f"yard={url}"
    )
    assert result.exit_code == 2
    assert "EMBERLINK_EDGE__CAMERAS__YARD__PASSWORD" in result.output
    assert _SECRET not in result.output


@pytest.mark.parametrize("source", ["yard", "yard=", "=sim:", "Yard=sim:", "a b=sim:"])
def test_a_source_needs_a_plain_name_and_an_address(tmp_path, models, source):
    result = _run(edge.cli.main, "run", "--state", tmp_path, "--models", models, "--source", source)
    assert result.exit_code == 2
    assert re.search("^error 900[13]: ", result.output)


def test_a_port_that_is_taken_is_explained(tmp_path, models):
    program = "from edge.cli import main; main()"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = ["run", "--state", tmp_path, "--models", models, "--port", port]
        command = [sys.executable, "-c", program, *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr
    assert "Traceback" not in result.stderr


def test_sample_writes_a_picture(tmp_path):
    result = _run(edge.cli.main, "sample", tmp_path / "fire.jpg")
    assert result.exit_code == 0, result.output
    assert read_picture((tmp_path / "fire.jpg").read_bytes(), ImageLimits()).width_px == 1280


def test_sample_tells_when_it_cannot_write(tmp_path):
    result = _run(edge.cli.main, "sample", tmp_path / "no" / "such" / "folder" / "fire.jpg")
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.mark.parametrize("main", [edge.cli.main, cloud.cli.main])
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"]])
def test_help_and_version_are_there(main, arguments):
    assert _run(main, *arguments).exit_code == 0


@pytest.mark.parametrize("main", [edge.cli.main, cloud.cli.main])
def test_the_list_of_commands_says_of_each_what_its_own_help_begins_with(main):
    for name, row in main.commands.items():
        command = row.load()
        assert command.name == name
        assert command.get_short_help_str(limit=200) == row.short_help


@pytest.mark.parametrize(
    ("program", "arguments", "told"),
    [
        ("edge", ["--help"], "diagnostics"),
        ("edge", ["--version"], "emberlink-edge, version"),
        ("edge", ["completion", "bash"], "_EMBERLINK_EDGE_COMPLETE"),
        ("edge", ["evidence", "ls"], "Name the state folder"),
        ("edge", ["users", "list"], "nobody"),
        ("edge", ["init", "--help"], "edge.toml"),
        ("cloud", ["--help"], "detect"),
        ("cloud", ["keys", "list"], "no edge has a key"),
    ],
)
def test_a_command_that_needs_no_pictures_loads_no_library_for_them(
    tmp_path, program, arguments, told
):
    code = (
        f"import sys; from click.testing import CliRunner; from {program}.cli import main\n"
        "print(CliRunner().invoke(main, sys.argv[1:], prog_name='emberlink-edge').output)\n"
        "print(*{'cv2', 'flask', 'numpy', 'onnxruntime', 'requests'} & {*sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={"PYTHONPATH": str(Path(edge.cli.__file__).parents[1])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told in done.stdout
    assert done.stderr.strip() == ""
