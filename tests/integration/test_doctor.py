from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
import tomllib
import zipfile
from email.utils import formatdate
from pathlib import Path
from typing import ClassVar

import pytest
from click.testing import CliRunner

from cloud.cli import main as cloud_main
from cloud.fleet.keys import add_key
from edge.cli import main as edge_main
from edge.config.settings import EdgeSettings
from shared.access.users import add_token
from shared.roles import Role
from tests.helpers.evidence import fill
from tests.helpers.processes import free_port
from tests.helpers.redis_server import redis_server
from tests.helpers.services import running_cloud, running_edge
from tests.helpers.stand_in_clouds import Exchange, answers, stand_in_cloud


def findings(arguments: list[str], main=edge_main) -> tuple[int, dict[str, list[dict[str, str]]]]:
    result = CliRunner().invoke(main, ["doctor", "--json", *arguments])
    found: dict[str, list[dict[str, str]]] = {}
    lines = [
        line for line in result.stdout.splitlines() if line.startswith("{")
    ]  # a service beside us logs, too
    for row in map(json.loads, lines):
        found.setdefault(row["what"], []).append(row)
    return result.exit_code, found


def written(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "edge.toml"
    file.write_text(f'state = "{tmp_path}/state"\n{text}')
    return ["--config", str(file)]


def test_a_healthy_box_passes_every_check(tmp_path, models, monkeypatch):
    monkeypatch.setattr(
        "shared.command.checkup._SLOW_SYNC_S", 40.0
    )  # a busy machine is healthy here
    monkeypatch.setattr("edge.commands.doctor_cloud._SLOW_LINK_S", 40.0)
    with running_cloud(tmp_path / "c", models) as cloud:
        text = f"""
            server.port = 0
            policy.deadline_ms = 40_000
            cloud.url = "{cloud.url}"
            cameras.yard.source = "sim:"
        """
        code, found = findings(written(tmp_path, text))
    states = {what: {row["state"] for row in rows} for what, rows in found.items()}
    assert code == 0
    for what in ("python", "runtime", "model", "disk", "port", "cloud", "clock", "camera"):
        assert states[what] == {"ok"}, found[what]


def test_a_cloud_behind_a_closed_port_fails_with_what_to_do(tmp_path):
    url = f"http://127.0.0.1:{free_port()}"
    code, found = findings(written(tmp_path, f'[server]\nport = 0\n[cloud]\nurl = "{url}"\n'))
    (row,) = found["cloud"]
    assert (code, row["state"]) == (1, "FAIL")
    assert "firewall" in row["remedy"]


def test_a_cloud_whose_name_nobody_knows_is_not_looked_for_behind_a_firewall(tmp_path):
    url = "http://no.such.name.invalid:5001"
    code, found = findings(written(tmp_path, f'[server]\nport = 0\n[cloud]\nurl = "{url}"\n'))
    (row,) = found["cloud"]
    assert (code, row["text"]) == (1, f"{url}: the name is not known")
    assert "getent hosts no.such.name.invalid" in row["remedy"]


@pytest.mark.parametrize(
    ("key", "state", "told"),
    [("", "ok", "takes a picture"), ("A" * 43, "FAIL", "the signature is not right")],
)
def test_a_key_that_the_cloud_does_not_know_is_told_before_a_fire_is(
    tmp_path, models, key, state, told
):
    given = add_key(tmp_path / "c/keys.json", "gate")
    with running_cloud(tmp_path / "c", models) as cloud:
        section = f'[cloud]\nurl = "{cloud.url}"\nedge_id = "gate"\nkey = "{key or given}"\n'
        _, found = findings(written(tmp_path, f"[server]\nport = 0\n{section}"))
        assert cloud.get("/metrics").text.count('route="/infer",status="200"') == 0
    row = found["cloud"][-1]
    assert (row["state"], told in row["text"]) == (state, True)


def test_a_key_that_is_cut_fails_and_is_not_shown(tmp_path, models):
    with running_cloud(tmp_path / "c", models) as cloud:
        section = f'[cloud]\nurl = "{cloud.url}"\nedge_id = "gate"\nkey = "k3y-cut"\n'
        _, found = findings(written(tmp_path, f"[server]\nport = 0\n{section}"))
    row = found["cloud"][-1]
    assert (row["state"], "has 7 characters" in row["text"]) == ("FAIL", True)
    assert "k3y-cut" not in json.dumps(found)


def _takes_a_picture(exchange: Exchange) -> None:
    if exchange.body:
        exchange.reply(400, b'{"err_no": 1006}')
    else:
        exchange.reply(200)


class _ThinLink:
    """A stopwatch over a link of 250 kB/s."""

    stages_s: ClassVar = {"ready": 0.01, "upload": 0.6}

    def __init__(self, clock: object) -> None:
        pass

    def lap(self, stage: str) -> None:
        pass


@pytest.mark.parametrize(
    ("settings", "state"),
    [("", "ok"), ("[policy]\ndeadline_ms = 500\n", "warn")],
)
def test_a_link_too_thin_for_a_picture_is_told_with_the_setting_that_fits(
    tmp_path, monkeypatch, settings, state
):
    monkeypatch.setattr("edge.commands.doctor_cloud.Stopwatch", _ThinLink)
    with stand_in_cloud(_takes_a_picture) as cloud:
        text = f'[server]\nport = 0\n{settings}[cloud]\nurl = "{cloud.url}"\n'
        _, found = findings(written(tmp_path, text))
        row = found["cloud"][-1]
        assert row["state"] == state, row
        if state == "warn":
            advice = re.search(r"cloud\.uplink_bytes_per_s = (\d+)", row["remedy"])
            assert advice
            assert int(advice[1]) == 200_000
            _, found = findings(written(tmp_path, f"{text}uplink_bytes_per_s = {advice[1]}\n"))
            assert found["cloud"][-1]["state"] == "ok"


def test_another_program_on_the_cloud_s_port_is_told_as_that(tmp_path, models):
    with running_edge(tmp_path / "e", models) as other:
        config = written(tmp_path, f'[server]\nport = 0\n[cloud]\nurl = "{other.url}"\n')
        code, found = findings(config)
    assert (code, found["cloud"][-1]["state"]) == (1, "FAIL")
    assert "is no Emberlink cloud, HTTP 404" in found["cloud"][-1]["text"]


def test_cameras_that_want_more_than_the_box_can_look_at_are_told(tmp_path):
    cameras = "".join(f'[cameras.c{number}]\nsource = "push:"\nfps = 30\n' for number in range(60))
    _, found = findings(written(tmp_path, f"[server]\nport = 0\n{cameras}"))
    (row,) = found["model"]
    assert (row["state"], "the cameras want 1800" in row["text"]) == ("warn", True)
    assert "fps" in row["remedy"]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "Free room"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "Make the folder writable"),
    ],
)
def test_what_a_disk_lacks_is_what_the_remedy_gives(tmp_path, monkeypatch, number, remedy):
    def refuses(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("shared.command.checkup.os.fsync", refuses)
    _, found = findings(written(tmp_path, "[server]\nport = 0\n"))
    (row,) = found["disk"]
    assert (row["state"], os.strerror(number) in row["text"]) == ("FAIL", True)
    assert remedy in row["remedy"]


def test_a_slow_disk_is_told_with_what_waits_for_it(tmp_path, monkeypatch):
    sync = os.fsync

    def slow(descriptor: int) -> None:
        time.sleep(0.06)
        sync(descriptor)

    monkeypatch.setattr("shared.command.checkup.os.fsync", slow)
    _, found = findings(written(tmp_path, "[server]\nport = 0\n"))
    (row,) = found["disk"]
    assert (row["state"], "SSD" in row["remedy"]) == ("warn", True)


def _lives_in_the_past(exchange: Exchange) -> None:
    head = b"HTTP/1.1 200 OK\r\nDate: Sat, 01 Jan 2022 00:00:00 GMT\r\nContent-Length: 2\r\n\r\n"
    exchange.send(head + b"{}")


def test_a_clock_that_is_not_the_cloud_s_is_named_with_the_command_that_sets_it(tmp_path):
    with stand_in_cloud(_lives_in_the_past) as old:
        config = written(tmp_path, f'[server]\nport = 0\n[cloud]\nurl = "{old.url}"\n')
        _, found = findings(config)
    (row,) = found["clock"]
    assert (row["state"], "ahead of the cloud's" in row["text"]) == ("warn", True)
    assert "timedatectl" in row["remedy"]


def _answers_late(exchange: Exchange) -> None:
    told = formatdate(usegmt=True).encode()
    time.sleep(3)
    exchange.send(b"HTTP/1.1 200 OK\r\nDate: " + told + b"\r\nContent-Length: 2\r\n\r\n{}")


def test_a_link_that_is_slow_is_no_clock_that_is_wrong(tmp_path):
    with stand_in_cloud(_answers_late) as late:
        config = written(tmp_path, f'[server]\nport = 0\n[cloud]\nurl = "{late.url}"\n')
        _, found = findings(config)
    assert found["clock"][0]["state"] == "ok"
    assert found["cloud"][0]["state"] == "warn"


def test_a_port_that_another_program_holds_fails_and_our_own_service_does_not(tmp_path, models):
    with running_cloud(tmp_path / "c", models) as cloud:
        code, found = findings(written(tmp_path, f"[server]\nport = {cloud.port}\n"))
        assert (code, found["port"][0]["state"]) == (1, "FAIL")
    with running_edge(tmp_path / "e", models) as edge:
        code, found = findings(written(tmp_path, f"[server]\nport = {edge.port}\n"))
        assert (code, found["port"][0]["state"]) == (0, "ok")


def test_a_secret_that_others_can_read_is_named_with_the_command_that_closes_it(tmp_path):
    secret = tmp_path / "key"
    secret.write_text("k" * 43)
    secret.chmod(0o644)
    cloud = f'[cloud]\nurl = "mock:"\nedge_id = "gate"\nkey_file = "{secret}"\n'
    _, found = findings(written(tmp_path, f"[server]\nport = 0\n{cloud}"))
    (row,) = found["secret"]
    assert (row["state"], row["remedy"]) == ("warn", f"chmod 600 {secret}")


def test_a_camera_that_is_away_fails_and_the_other_is_still_checked(tmp_path):
    cameras = (
        f'[cameras.far]\nsource = "rtsp://127.0.0.1:{free_port()}/s"\n'
        '[cameras.yard]\nsource = "sim:"\n'
    )
    code, found = findings(written(tmp_path, f"[server]\nport = 0\n{cameras}"))
    assert code == 1
    assert [row["state"] for row in found["camera"]] == ["FAIL", "ok"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second owner")
def test_a_state_that_cannot_be_written_fails(tmp_path):
    (tmp_path / "state").write_text("a file is in the way")
    code, found = findings(written(tmp_path, "[server]\nport = 0\n"))
    assert (code, found["disk"][0]["state"]) == (1, "FAIL")


def test_the_cloud_has_its_doctor_too(tmp_path):
    file = tmp_path / "cloud.toml"
    file.write_text(f'state = "{tmp_path}/state"\n[server]\nport = 0\n')
    code, found = findings(["--config", str(file)], cloud_main)
    assert code == 0
    assert found["model"][0]["state"] == "ok"


def test_keys_that_are_gone_are_told_apart_from_those_that_the_running_cloud_still_asks_for(
    tmp_path, models
):
    keys = tmp_path / "state" / "keys.json"
    add_key(keys, "gate")
    file = tmp_path / "cloud.toml"
    with running_cloud(tmp_path / "state", models) as cloud:
        file.write_text(f'state = "{tmp_path}/state"\n[server]\nport = {cloud.port}\n')
        _, found = findings(["--config", str(file)], cloud_main)
        assert found["keys"][0]["text"] == "requests must be signed"
        keys.unlink()
        _, found = findings(["--config", str(file)], cloud_main)
    (row,) = found["keys"]
    assert (row["state"], "must be signed for as long as" in row["text"]) == ("warn", True)
    _, found = findings(["--config", str(file)], cloud_main)
    assert found["keys"][0]["text"] == "requests need no signature"


def test_a_redis_that_may_throw_jobs_away_fails_with_the_command_that_forbids_it(tmp_path):
    with redis_server(tmp_path) as server:
        file = tmp_path / "cloud.toml"
        told = f'[engine]\nkind = "redis"\n[redis]\nurl = "{server.url}"\n[server]\nport = 0\n'
        file.write_text(f'state = "{tmp_path}/state"\n{told}')
        _, found = findings(["--config", str(file)], cloud_main)
        assert [line["state"] for line in found["redis"]] == ["ok"]
        server.client().config_set("maxmemory", "100mb")
        server.client().config_set("maxmemory-policy", "volatile-lru")
        code, found = findings(["--config", str(file)], cloud_main)
        checked = CliRunner().invoke(cloud_main, ["check", "--config", str(file)])
    assert code == 1
    (redis,) = found["redis"]
    assert (redis["state"], "volatile-lru" in redis["text"]) == ("FAIL", True)
    assert "config set maxmemory-policy noeviction" in redis["remedy"]
    assert "warn  Redis throws jobs" in checked.output


def test_init_writes_a_file_that_the_service_takes_and_never_touches_one_that_is_there(tmp_path):
    file = tmp_path / "edge.toml"
    arguments = ["init", str(file), "--camera", "gate=rtsp://viewer@10.0.0.5/s", "--cloud", ""]
    assert CliRunner().invoke(edge_main, arguments).exit_code == 0
    settings = EdgeSettings.model_validate(tomllib.loads(file.read_text()))
    assert settings.cameras["gate"].source == "rtsp://viewer@10.0.0.5/s"
    assert settings.cameras["gate"].password_file == tmp_path / "gate.password"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("mine")
    assert CliRunner().invoke(edge_main, arguments).exit_code == 2
    assert file.read_text() == "mine"


def test_init_says_which_secrets_belong_into_which_files(tmp_path):
    (tmp_path / "yard.password").write_text("there already")
    cameras = ["gate=rtsp://viewer@10.0.0.5/s", "yard=http://eye@10.0.0.6/s", "bay=sim:"]
    flags = [part for camera in cameras for part in ("--camera", camera)]
    flags += ["--cloud", "https://cloud.example:5001", "--edge-id", "box-7"]
    told = CliRunner().invoke(edge_main, ["init", str(tmp_path / "edge.toml"), *flags]).output
    wanted = [line for line in told.splitlines() if line.startswith("Write ")]
    assert len(wanted) == 2
    assert f"`emberlink-cloud keys new box-7` into {tmp_path / 'box-7.key'}" in wanted[0]
    assert f"of viewer at camera gate into {tmp_path / 'gate.password'}" in wanted[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--camera", "no-address"],
        ["--camera", "a b=sim:"],
        ["--camera", "a=sim:", "--camera", "a=push:"],
        ["--camera", "gate=rtsp://viewer:secret@10.0.0.5/s"],
        ["--cloud", "ftp://x"],
        ["--cloud", 'http://x"\n[evil]'],
        ["--timezone", "Mars/Base"],
        ["--daily-limit", "lots"],
    ],
)
def test_init_refuses_what_the_service_would_refuse_and_writes_nothing(tmp_path, arguments):
    file = tmp_path / "edge.toml"
    given = arguments if "--cloud" in arguments else [*arguments, "--cloud", ""]
    assert CliRunner().invoke(edge_main, ["init", str(file), *given]).exit_code == 2
    assert not file.exists()


def test_diagnostics_hold_no_secret_and_say_when_nobody_answers(tmp_path):
    secret = "not-for-other-eyes-" + "x" * 30
    config = written(
        tmp_path,
        f'[server]\nport = {free_port()}\n[cloud]\nurl = "mock:"\nedge_id = "gate"\nkey = "{secret}"\n'
        f'[cameras.gate]\nsource = "rtsp://viewer@10.0.0.5/s"\npassword = "{secret}"\n',
    )
    bundle = tmp_path / "d.zip"
    assert CliRunner().invoke(edge_main, ["diagnostics", str(bundle), *config]).exit_code == 0
    with zipfile.ZipFile(bundle) as opened:
        texts = {name: opened.read(name).decode() for name in opened.namelist()}
    assert not any(secret in text for text in texts.values())
    assert "no answer" in texts["answers/readyz.txt"]
    assert "gate" in texts["settings.json"]


def test_diagnostics_hide_a_secret_wherever_the_settings_can_hold_one(tmp_path):
    secret = "not-for-other-eyes-" + "x" * 30
    config = written(
        tmp_path,
        f"""
        [server]
        port = {free_port()}
        [cloud]
        url = "mock:"
        edge_id = "gate"
        key = "{secret}"
        [cameras.gate]
        source = "rtsp://viewer:{secret}@10.0.0.5/s?token={secret}"
        [cameras.yard]
        source = "http://10.0.0.6/snapshot.jpg?user=viewer&pwd={secret}"
        password = "{secret}"
        [alerts.sinks.robot]
        kind = "webhook"
        template = "slack"
        url = "https://hooks.example/services/{secret}"
        [alerts.sinks.home]
        kind = "mqtt"
        host = "127.0.0.1"
        user = "box"
        password = "{secret}"
        [alerts.sinks.siren]
        kind = "command"
        argv = ["/bin/echo", "--token", "{secret}"]
        """,
    )
    bundle = tmp_path / "d.zip"
    done = CliRunner().invoke(edge_main, ["diagnostics", str(bundle), *config])
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(bundle) as opened:
        texts = {name: opened.read(name).decode() for name in opened.namelist()}
    assert [name for name, text in texts.items() if secret in text] == []
    assert "/bin/echo" in texts["settings.json"]
    assert "10.0.0.5" in texts["settings.json"]


def _hangs_mid_body(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nready")
    exchange.stopping.wait(60)


def test_a_service_that_hangs_in_its_answers_is_written_down_as_that(tmp_path, monkeypatch):
    monkeypatch.setattr("shared.command.diagnostics._TIMEOUT_S", 0.3)
    with stand_in_cloud(_hangs_mid_body) as sick:
        config = written(tmp_path, f'[server]\nport = {sick.port}\n[cloud]\nurl = "mock:"\n')
        bundle = tmp_path / "d.zip"
        done = CliRunner().invoke(edge_main, ["diagnostics", str(bundle), *config])
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(bundle) as opened:
        assert "no answer" in opened.read("answers/readyz.txt").decode()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("program", ["edge", "cloud"])
def test_completion_scripts_name_the_program(program, shell):
    script = subprocess.run(
        [sys.executable, "-m", program, "completion", shell],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"emberlink-{program}" in script


def test_each_receiver_of_alerts_is_looked_at_and_its_secrets_are_not_shown(tmp_path):
    secret = tmp_path / "robot.url"
    with stand_in_cloud(answers({})) as receiver:
        secret.write_text(f"{receiver.url}/services/{'s' * 20}")
        secret.chmod(0o644)
        _, found = findings(
            written(
                tmp_path,
                f"""
                [server]
                port = 0
                [alerts.sinks.robot]
                kind = "webhook"
                url_file = "{secret}"
                [alerts.sinks.duty]
                kind = "webhook"
                url = "http://127.0.0.1:{free_port()}/hook"
                [alerts.sinks.far]
                kind = "webhook"
                url = "http://no-such-host.invalid/hook"
                [alerts.sinks.home]
                kind = "mqtt"
                host = "127.0.0.1"
                port = {free_port()}
                [alerts.sinks.siren]
                kind = "command"
                argv = ["/no/such/program"]
                [alerts.sinks.bell]
                kind = "command"
                argv = ["/bin/echo"]
                """,
            )
        )
        assert not receiver.calls  # nobody is alarmed by a check-up
    rows = {row["text"].removeprefix("alerts.sinks.").split(":")[0]: row for row in found["sink"]}
    states = {name: row["state"] for name, row in rows.items()}
    assert states == {
        "robot": "ok",
        "duty": "FAIL",
        "far": "FAIL",
        "home": "FAIL",
        "siren": "FAIL",
        "bell": "ok",
    }
    assert "alerts test duty" in rows["duty"]["remedy"]
    assert "refused" in rows["home"]["text"]
    assert "name is not known" in rows["far"]["text"]
    assert "ssss" not in json.dumps(found)
    mode = found["secret"][-1]
    assert (mode["state"], mode["remedy"]) == ("warn", f"chmod 600 {secret}")


def test_a_settings_file_with_a_secret_in_it_is_for_its_owner_alone(tmp_path):
    key = "k" * 43
    cloud = f'[cloud]\nurl = "mock:"\nedge_id = "gate"\nkey = "{key}"\n'
    config = written(tmp_path, f"[server]\nport = 0\n{cloud}")
    Path(config[1]).chmod(0o644)
    _, found = findings([*config, "--no-cameras"])
    (row,) = found["secret"]
    assert (row["state"], row["remedy"]) == ("warn", f"chmod o= {config[1]}")


def test_diagnostics_hold_the_answers_of_a_box_that_asks_who_is_there(tmp_path, models):
    token = add_token(tmp_path / "state" / "users.json", "screen", Role.VIEWER)
    with running_edge(tmp_path / "state", models, cameras={"yard": {"source": "push:"}}) as edge:
        config = written(tmp_path, f"[server]\nport = {edge.port}\n")
        bundle = tmp_path / "d.zip"
        assert CliRunner().invoke(edge_main, ["diagnostics", str(bundle), *config]).exit_code == 0
        control = (tmp_path / "state" / "control.token").read_text()
    with zipfile.ZipFile(bundle) as opened:
        texts = {name: opened.read(name).decode() for name in opened.namelist()}
    assert '"yard"' in texts["answers/cameras.txt"]
    assert [name for name, text in texts.items() if token in text or control in text] == []


def test_a_box_that_tells_nobody_is_warned(tmp_path):
    _, found = findings(written(tmp_path, "[server]\nport = 0\n"))
    assert [row["state"] for row in found["sink"]] == ["ok", "warn"]


def test_a_check_leaves_no_folder_that_the_service_could_not_write(tmp_path, monkeypatch):
    monkeypatch.setattr("shared.command.checkup._SLOW_SYNC_S", 40.0)
    (tmp_path / "deep").mkdir()
    config = tmp_path / "edge.toml"
    config.write_text(f'state = "{tmp_path}/deep/er/state"\n[server]\nport = 0\n')
    _, found = findings(["--config", str(config)])
    assert found["disk"][0]["state"] == "ok"
    assert list((tmp_path / "deep").iterdir()) == []


def test_the_days_that_the_disk_takes_are_told(tmp_path, models):
    state = tmp_path / "state"
    with running_edge(state, models, cameras={"yard": {"source": "push:"}}) as edge:
        fill(edge.service._kept.records)
    _, found = findings(written(tmp_path, "[server]\nport = 0\n"))
    assert "days left" in found["evidence"][0]["text"]


_ASKED = {
    "bash": "source s; COMP_WORDS=({0}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ));"
    ' _{2}_completion {1}; printf "%s\\n" "${{COMPREPLY[@]}}"',
    "fish": 'source s; complete -C "{0}"',
}


@pytest.mark.parametrize(
    ("shell", "typed", "completed"),
    [
        ("bash", "emberlink-edge run --pol", "--policy"),
        ("fish", "emberlink-cloud keys rem", "remove"),
    ],
)
def test_the_tab_key_completes_commands_and_options(tmp_path, shell, typed, completed):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    name = typed.split()[0]
    program = tmp_path / name
    package = name.removeprefix("emberlink-")
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m {package} "$@"\n')
    program.chmod(0o755)
    script = subprocess.run([program, "completion", shell], capture_output=True, check=True).stdout
    (tmp_path / "s").write_bytes(script)
    asked = _ASKED[shell].format(typed, name, name.replace("-", "_"))
    told = subprocess.run(
        [shell, "-c", f"cd {tmp_path}; {asked}"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": os.getcwd()},
    )
    assert [line.split("\t")[0] for line in told.stdout.splitlines()] == [completed]
