from __future__ import annotations

import errno
import io
import json
import os

import pytest
import structlog

from shared.logs import LostLines, configure_logs, get_logger, lost_lines, redact
from tests.helpers.logs import FULL, logging_into, logging_to


@pytest.fixture
def lines():
    stream = io.StringIO()
    configure_logs(level="info", pretty=False, stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()


class _Disk(io.StringIO):
    """Takes each line or, while it is full, none."""

    is_full = False

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_disk_that_is_full_costs_lines_and_stops_nobody_who_logs():
    with logging_into(FULL):
        for number in range(2000):  # more than any buffer on the way holds
            get_logger().info("request", number=number)
        assert lost_lines() == LostLines(count=2000, why="No space left on device")


def test_a_reader_of_the_log_that_is_gone_stops_nobody_who_logs():
    reader, writer = os.pipe()
    os.close(reader)
    with logging_into(writer):
        get_logger().info("request")
        assert lost_lines() == LostLines(count=1, why="Broken pipe")


def test_what_is_lost_is_counted_until_the_log_has_told_of_its_gap():
    disk = _Disk()
    with logging_to(disk):
        get_logger().info("before")
        assert lost_lines() is None
        disk.is_full = True
        get_logger().info("lost")
        for _ in range(3):  # to look does not count
            assert lost_lines() == LostLines(count=1, why="No space left on device")
        get_logger().info("lost")
        assert lost_lines() == LostLines(count=2, why="No space left on device")
        disk.is_full = False
        get_logger().info("after")
        assert [lost_lines(), lost_lines()] == [None, None]
    lines = [json.loads(line) for line in disk.getvalue().split()]
    assert [line["event"] for line in lines] == ["before", "after", "log_lines_lost"]
    assert lines[-1]["count"] == 2


def test_a_stream_that_is_closed_loses_nothing_that_anybody_could_read():
    disk = _Disk()
    with logging_to(disk):
        disk.close()
        get_logger().info("the process ends")
        assert lost_lines() is None


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://admin:hunter2@10.0.0.7/live",
        "rtsp://hunter2@10.0.0.7/live",
        "RTSP://admin:hunter2@10.0.0.7",
        "rtsp://admin:p@hunter2@10.0.0.7/live",
        "rtsp://admin:p/hunter2@10.0.0.7/live",
        "rtsp://10.0.0.7/live?user=admin&password=hunter2",
        "rtsp://10.0.0.7/live?token=hunter2&x=1",
        "https://u:hunter2@cloud.example and rtsp://a:hunter2@b",
        "cannot open 'rtsp://admin:hunter2@10.0.0.7/live' (401)",
    ],
)
def test_no_url_shows_its_credentials(url):
    assert "hunter2" not in redact(url)


def test_what_is_around_the_credentials_stays_readable():
    text = "cannot open rtsp://admin:pw@10.0.0.7/live now"
    assert redact(text) == "cannot open rtsp://***@10.0.0.7/live now"


@pytest.mark.parametrize("text", ["", "mail a@b.example", "http://host:80/path", "user:pw@host"])
def test_a_text_without_credentials_in_a_url_is_left_alone(text):
    assert redact(text) == text


@pytest.mark.parametrize(
    "fields",
    [
        {"password": "hunter2"},
        {"camera_password": "hunter2"},
        {"api_key": "hunter2"},
        {"Authorization": "Bearer hunter2"},
        {"detail": "rtsp://u:hunter2@h/x"},
        {"camera": {"password": "hunter2"}},
        {"camera": {"source": "rtsp://u:hunter2@h"}},
        {"cameras": ["rtsp://u:hunter2@h"]},
        {"cameras": ({"url": "rtsp://u:hunter2@h"},)},
        {"cause": OSError("rtsp://u:hunter2@h")},
        {"causes": [OSError("rtsp://u:hunter2@h")]},
    ],
)
def test_no_line_shows_a_secret(lines, fields):
    get_logger().info("something_happened", **fields)
    assert "hunter2" not in json.dumps(lines())


def test_a_stack_trace_shows_no_credentials(lines):
    try:
        raise OSError("rtsp://u:hunter2@h failed")
    except OSError as err:
        get_logger().error("camera_failed", exc_info=err)
    assert "hunter2" not in json.dumps(lines())


def test_an_event_is_one_line_of_json_with_its_time_and_level(lines):
    get_logger().warning("camera_lost", camera="yard", detail="line one\nline two")
    (line,) = lines()
    assert (line["event"], line["level"], line["camera"]) == ("camera_lost", "warning", "yard")
    assert line["at"].endswith("Z")


def test_what_a_peer_wrote_does_not_rule_the_terminal():
    stream = io.StringIO()
    configure_logs(level="info", pretty=True, stream=stream)
    get_logger().info("alert_refused", reason="\x1b]0;taken\a\x9b2J\nall is well\u202e 火 ä")
    structlog.reset_defaults()
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(r"reason=\x1b]0;taken\x07\x9b2J\nall is well\u202e 火 ä")


def test_what_is_below_the_level_is_not_written(lines):
    get_logger().debug("detail")
    assert lines() == []
