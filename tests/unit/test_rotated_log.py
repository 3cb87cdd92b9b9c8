"""Log files that do not grow without bound."""

from __future__ import annotations

import json
import os
import time

import pytest

from shared.disk.rotated_log import RotatedLog
from shared.logs import configure_logs, get_logger
from tests.helpers.disks import fill_up, small_disk
from tests.helpers.waiting import wait_until


def _names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_full_file_makes_room_for_a_fresh_one_and_the_oldest_goes(tmp_path):
    log = RotatedLog(tmp_path / "edge.log", max_bytes=10, keep=2)
    for number in range(5):
        log.write(f"line {number}\n")
    log.close()
    assert _names(tmp_path) == ["edge.log", "edge.log.1", "edge.log.2"]
    assert (tmp_path / "edge.log").read_text() == "line 4\n"
    assert (tmp_path / "edge.log.2").read_text() == "line 2\n"


def test_short_lines_share_a_file_and_a_restart_goes_on_in_it(tmp_path):
    for _ in range(2):
        log = RotatedLog(tmp_path / "edge.log", max_bytes=100, keep=2)
        log.write("line\n")
        log.close()
    assert (tmp_path / "edge.log").read_text() == "line\nline\n"


@pytest.mark.parametrize(
    ("left", "found"), [("half", "half\nline\n"), ("whole\n", "whole\nline\n")]
)
def test_half_a_line_that_a_power_cut_left_spoils_no_other(tmp_path, left, found):
    (tmp_path / "edge.log").write_text(left)
    log = RotatedLog(tmp_path / "edge.log", max_bytes=100, keep=1)
    log.write("line\n")
    log.close()
    assert (tmp_path / "edge.log").read_text() == found


def test_half_a_line_that_a_full_disk_left_spoils_no_other(tmp_path, capsys):
    with small_disk(tmp_path / "disk", "1m") as disk:
        log = RotatedLog(disk / "edge.log", max_bytes=10**6, keep=1)
        log.write("first\n")
        fill_up(disk)
        log.write("x" * 100_000 + "\n")  # more than the file's last page takes
        assert "xxx" in capsys.readouterr().err
        (disk / "filler").unlink()
        log.write("last\n")
        log.close()
        lines = (disk / "edge.log").read_text().splitlines()
    assert (lines[0], lines[-1]) == ("first", "last")


def test_nothing_old_is_kept_when_none_is_wanted(tmp_path):
    log = RotatedLog(tmp_path / "edge.log", max_bytes=10, keep=0)
    for number in range(3):
        log.write(f"line {number}\n")
    log.close()
    assert (_names(tmp_path), (tmp_path / "edge.log").read_text()) == (["edge.log"], "line 2\n")


def test_a_line_longer_than_a_file_is_written_whole(tmp_path):
    log = RotatedLog(tmp_path / "edge.log", max_bytes=10, keep=1)
    log.write("x" * 50)
    log.write("y\n")
    log.close()
    assert (tmp_path / "edge.log.1").read_text() == "x" * 50


def test_a_disk_that_cannot_be_written_sends_lines_to_stderr_until_it_can(tmp_path, capsys):
    folder = tmp_path / "logs"
    log = RotatedLog(folder / "edge.log", max_bytes=10, keep=1)
    log.write("line 0\n")
    folder.rename(tmp_path / "away")
    log.write("line 1\n")
    log.write("line 2\n")
    assert "line 1" in capsys.readouterr().err
    (tmp_path / "away").rename(folder)
    log.write("line 3\n")
    log.write("line 4\n")
    log.close()
    assert "line 4" in (folder / "edge.log").read_text()


def test_a_place_that_cannot_be_written_costs_no_line_and_is_used_once_it_can(tmp_path, capsys):
    (tmp_path / "logs").write_text("in the way")
    log = RotatedLog(tmp_path / "logs" / "edge.log", max_bytes=1000, keep=1)
    log.write("line 0\n")
    assert "line 0" in capsys.readouterr().err
    assert str(tmp_path / "logs") in log.trouble
    (tmp_path / "logs").unlink()
    (tmp_path / "logs").mkdir()
    log.write("line 1\n")
    log.write("line 2\n")
    log.close()
    assert log.trouble == ""
    assert (tmp_path / "logs" / "edge.log").read_text() == "line 2\n"


def test_a_disk_that_hangs_sends_lines_to_stderr_and_keeps_no_thread_that_logs(tmp_path, capsys):
    fifo = tmp_path / "edge.log"
    os.mkfifo(fifo)  # whoever opens it for writing waits for a reader
    log = RotatedLog(fifo, max_bytes=1000, keep=1)
    assert "does not answer" in log.trouble
    began_s = time.monotonic()
    for number in range(50):
        log.write(f"line {number}\n")
    assert time.monotonic() - began_s < 20.0  # not its patience fifty times
    assert "line 49" in capsys.readouterr().err
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)  # the disk answers again
    fifo.unlink()
    os.close(reader)

    def is_written() -> bool:
        log.write("line 50\n")
        return fifo.is_file() and "line 50" in fifo.read_text()

    wait_until(is_written)
    assert log.trouble == ""
    log.close()


def test_the_logger_writes_json_into_it(tmp_path):
    log = RotatedLog(tmp_path / "edge.log", max_bytes=10_000, keep=1)
    configure_logs(stream=log)
    try:
        get_logger().info("began", camera="门")
    finally:
        configure_logs()
        log.close()
    assert json.loads((tmp_path / "edge.log").read_text())["camera"] == "门"
