from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from shared.access.secret_file import WatchedFile
from shared.access.users import add_token, read_users
from shared.error_code import ErrorCode
from shared.errors import ConfigError
from shared.roles import Role
from tests.helpers.clock import FakeClock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "users.json"
    path.write_text("first")
    return path


def test_a_changed_file_counts_after_a_second(file):
    clock = FakeClock()
    watched = WatchedFile(file, Path.read_text, clock)
    file.write_text("second")
    assert watched.value() == "first"
    clock.advance(1.1)
    assert watched.value() == "second"


def test_nobody_is_told_the_old_while_another_one_s_look_is_under_way(tmp_path, monkeypatch):
    monkeypatch.setattr("shared.access.secret_file._PATIENCE_S", 60.0)
    path, clock, is_reading = tmp_path / "secrets", FakeClock(), threading.Event()
    path.write_text("old")

    def read(at: Path) -> str:
        text = at.read_text()
        if text == "new":
            is_reading.set()
            time.sleep(0.2)  # long enough for the other one to ask meanwhile
        return text

    watched = WatchedFile(path, read, clock)
    path.write_text("new")
    clock.advance(1)
    first = threading.Thread(target=watched.value)
    first.start()
    assert is_reading.wait(60)
    assert watched.value() == "new"
    first.join()
    watched.close()


def test_a_file_that_was_not_ours_to_read_is_read_once_it_is(file):
    clock, closed = FakeClock(), []

    def read(path: Path) -> str:
        if closed:
            raise ConfigError(ErrorCode.CONFIG_INVALID, "permission denied")
        return path.read_text()

    watched = WatchedFile(file, read, clock)
    file.write_text("second")
    closed.append(True)
    clock.advance(1.1)
    assert watched.value() == "first"
    closed.clear()
    file.chmod(0o640)  # its content stays as it was
    clock.advance(1.1)
    assert watched.value() == "second"


def test_a_file_that_vanishes_changes_nothing_and_is_told_until_it_is_back(file):
    clock = FakeClock()
    with closing(WatchedFile(file, Path.read_text, clock)) as watched:
        file.unlink()
        clock.advance(1.1)
        assert watched.trouble() == f"{file}: it is gone"
        assert watched.value() == "first"
        file.write_text("second")
        clock.advance(1.1)
        assert (watched.trouble(), watched.value()) == (None, "second")


def test_a_file_that_never_was_is_no_trouble(tmp_path):
    clock = FakeClock()
    with closing(WatchedFile(tmp_path / "users.json", lambda path: path.name, clock)) as watched:
        clock.advance(1.1)
        assert watched.trouble() is None


def test_commands_that_change_the_file_at_the_same_time_lose_nothing(tmp_path):
    path = tmp_path / "state" / "users.json"

    def add(number: int) -> None:
        add_token(path, f"program-{number}", Role.VIEWER)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(24)))
    assert len(read_users(path).tokens) == 24
