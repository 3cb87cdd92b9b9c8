"""What both command lines say to a mistake: the cause, what to do about it, a status; never a stack trace."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cloud.cli
import edge.cli
from tests.helpers.pictures import calm_jpeg
from tests.helpers.stand_in_clouds import answers, dead_url, stand_in_cloud

_PROGRAMS = {"edge": edge.cli.main, "cloud": cloud.cli.main}

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/nonexistent")

    def command(program: str, line: str, typed: str = "") -> Result:
        result = CliRunner().invoke(_PROGRAMS[program], line.split(), input=typed)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        return result

    return command


@pytest.mark.parametrize("program", ["edge", "cloud"])
@pytest.mark.parametrize("command", ["check", "run", "doctor", "users list", "tokens list"])
@pytest.mark.parametrize(
    ("content", "cause", "remedy"),
    [
        (None, "No such file or directory", "--config"),
        (b"port = = 1", "at line 1", "quotes"),
        (b"\xff\xfe\x00", "UTF-8", "UTF-8"),
        (b"surprise = 1", "surprise: is not a known setting", "docs/settings.md"),
        (b"[server]\nport = 70000", "server.port", "docs/settings.md"),
    ],
)
def test_a_file_of_settings_that_cannot_be_used(
    run, tmp_path, program, command, content, cause, remedy
):
    if content is not None:
        (tmp_path / "it.toml").write_bytes(content)
    result = run(program, f"{command} --config it.toml")
    assert result.exit_code == 2
    told, _, what_to_do = result.output.partition("what to do: ")
    assert cause in told
    assert "[Errno" not in told
    assert remedy in what_to_do


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        ("outbox ls --state none", "--state"),
        ("outbox retry x --state none", "--state"),
        ("outbox drop x --state none", "--state"),
        ("evidence ls --state none", "--state"),
        ("evidence show x --state none", "--state"),
        ("evidence verify --state none", "--state"),
        ("evidence export x --state none", "--state"),
        ("evidence hold x --state none", "--state"),
        ("evidence prune --state none", "--state"),
        ("calibrate --state none", "--state"),
        ("state backup out --state none", "--state"),
        ("alerts test duty", "--config"),
        ("sample none/fire.jpg", "FILE"),
        ("diagnostics none/d.zip", "FILE"),
        ("init taken --cloud=", "never overwritten"),
        ("init none/edge.toml --cloud=", "FILE"),
        ("init new.toml --cloud= --camera gate", "init --help"),
        ("init new.toml --cloud= --daily-limit lots", "init --help"),
        ("init new.toml --cloud=ftp://x", "init --help"),
        ("run --source gate", "--source gate=rtsp://"),
        ("classify taken --models none", "--models"),
        ("replay taken --plot x.png", "--plot"),
        ("replay taken --labels none", "first_fire_second"),
        ("replay taken --cloud ftp:x", "https://"),
        ("replay empty", "videos"),
        ("classify empty", "folders"),
        ("tokens add x --role viewer --state taken", "service's user"),
        ("tokens add a/b --role viewer", "A-Za-z0-9"),
    ],
)
def test_a_command_that_cannot_be_carried_out_says_what_to_do_and_leaves_nothing(
    run, tmp_path, command, remedy
):
    (tmp_path / "taken").write_bytes(calm_jpeg())
    (tmp_path / "empty").mkdir()
    result = run("edge", command)
    assert result.exit_code == 2
    assert remedy in result.output.partition("what to do: ")[2]
    assert "pydantic" not in result.output
    assert {path.name for path in tmp_path.iterdir()} == {"taken", "empty"}
    assert (tmp_path / "taken").read_bytes() == calm_jpeg()


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("edge", "run --port abc"),
        ("edge", "sample fire.jpg --at nan"),
        ("edge", "sample fire.jpg --at inf"),
        ("edge", "replay taken --fps 0"),
        ("edge", "replay taken --fps nan"),
        ("edge", "replay taken --start 99:99"),
        ("edge", "replay taken --compare a,b"),
        ("edge", "classify taken --video-fps nan"),
        ("edge", "evidence size --picture lots"),
        ("cloud", "detect taken --video-fps nan"),
        ("cloud", "detect taken --device tpu"),
        ("cloud", "keys new"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(run, tmp_path, program, command):
    (tmp_path / "taken").write_bytes(calm_jpeg())
    result = run(program, command)
    assert result.exit_code == 2
    assert f"Usage: emberlink-{program} {command.split()[0]}" in result.output
    assert "Error: " in result.output


def test_a_source_without_a_frame_ends_a_replay_with_1(run, tmp_path, models):
    (tmp_path / "notes.txt").write_text("no picture")
    assert run("edge", f"replay notes.txt --models {models}").exit_code == 1


@pytest.mark.parametrize("command", ["selftest", "reload"])
def test_a_service_that_does_not_run_is_told_from_one_that_is_another(run, command):
    with dead_url() as url:
        nobody = run("edge", f"{command} --port {url.rpartition(':')[2]}")
    with stand_in_cloud(answers([])) as other:
        stranger = run("edge", f"{command} --port {other.port}")
    assert (nobody.exit_code, stranger.exit_code) == (2, 2)
    assert "nothing listens there" in nobody.output
    assert "is no Emberlink edge" in stranger.output
    assert "systemctl status" in nobody.output.partition("what to do: ")[2]


@pytest.mark.parametrize(
    ("program", "command", "nothing"),
    [
        ("edge", "users list", "nobody may sign in"),
        ("edge", "tokens list", "no program has a token"),
        ("cloud", "keys list", "no edge has a key"),
    ],
)
def test_an_empty_list_says_so_and_where_it_looked_and_prints_nothing_for_scripts(
    run, program, command, nothing
):
    result = run(program, f"{command} --state mistyped")
    assert (result.exit_code, result.stdout) == (0, "")
    assert nothing in result.stderr
    assert "mistyped/" in result.stderr


@pytest.mark.parametrize(
    ("program", "command"),
    [("edge", "users"), ("edge", "tokens"), ("cloud", "users"), ("cloud", "keys")],
)
def test_taking_away_from_a_folder_that_is_not_there_says_where_and_makes_none(
    run, tmp_path, program, command
):
    result = run(program, f"{command} remove anna --state mistyped")
    assert (result.exit_code, result.stdout) == (1, "")
    assert " in mistyped/" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("program", "command"),
    [("edge", "users list"), ("cloud", "users list"), ("cloud", "keys list")],
)
def test_a_damaged_file_of_secrets_names_itself_and_its_repair(run, tmp_path, program, command):
    state = tmp_path / "state"
    state.mkdir()
    for name in ("users.json", "keys.json"):
        (state / name).write_text('{"secret-inside')
    result = run(program, f"{command} --state state")
    assert result.exit_code == 2
    assert ".json" in result.output
    assert "move it away" in result.output.partition("what to do: ")[2]
    assert "secret-inside" not in result.output


@pytest.mark.parametrize("command", ["outbox ls", "evidence ls", "evidence prune", "calibrate"])
def test_a_database_of_zeros_is_told_from_a_disk_that_cannot_be_written(run, tmp_path, command):
    for name in ("outbox.sqlite3", "evidence/records.sqlite3"):
        path = tmp_path / "state" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(4096))
    result = run("edge", f"{command} --state state")
    assert result.exit_code == 2
    assert "put a backup back" in result.output.partition("what to do: ")[2]


@pytest.mark.parametrize("command", ["check", "doctor"])
def test_a_redis_that_is_away_is_named_with_the_reason(run, tmp_path, command):
    with dead_url() as url:
        place = url.removeprefix("http://")
        toml = f'[engine]\nkind = "redis"\n[redis]\nurl = "redis://:not-shown@{place}"\n'
        (tmp_path / "it.toml").write_text(toml)
        result = run("cloud", f"{command} --config it.toml")
    assert result.exit_code == (2 if command == "check" else 1)
    assert "Redis at 127.0.0.1: Connection refused" in result.output
    assert "not-shown" not in result.output


@pytest.mark.parametrize("program", ["edge", "cloud"])
@pytest.mark.parametrize(
    ("library", "raises", "remedy"),
    [
        ("cv2", "ImportError('libGL.so.1: cannot open shared object file')", "apt-get install"),
        ("onnxruntime", "ModuleNotFoundError('No module named onnxruntime')", "emberlink[edge]"),
    ],
)
def test_a_library_that_is_missing_is_named_with_what_to_install(
    tmp_path, program, library, raises, remedy
):
    (tmp_path / f"{library}.py").write_text(f"raise {raises}")
    found = os.pathsep.join([str(tmp_path), str(Path(edge.cli.__file__).parents[1])])
    result = subprocess.run(
        [sys.executable, "-m", program, "doctor"],
        env={**os.environ, "PYTHONPATH": found},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert (result.returncode, result.stdout) == (2, "")
    told, _, what_to_do = result.stderr.partition("what to do: ")
    assert told.startswith("error 9003")
    assert "Traceback" not in result.stderr
    assert remedy in what_to_do
