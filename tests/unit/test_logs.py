from __future__ import annotations

import contextlib
import io
import json
import os

import pytest
import structlog

from shared.logs import configure_logs, get_logger, redact


@pytest.fixture
def lines():
    stream = io.StringIO()
    configure_logs(level="info", pretty=False, stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()


@pytest.fixture
def full_disk():
    with open("/dev/full", "w", buffering=1, encoding="utf-8") as stream:
        yield stream
        with contextlib.suppress(OSError):
            stream.close()


def test_a_disk_that_is_full_costs_lines_and_stops_nobody_who_logs(full_disk):
    configure_logs(pretty=False, stream=full_disk)
    try:
        for number in range(2000):  # more than any buffer on the way holds
            get_logger().info("request", number=number)
    finally:
        structlog.reset_defaults()


def test_a_reader_of_the_log_that_is_gone_stops_nobody_who_logs():
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", buffering=1, encoding="utf-8") as stream:
        configure_logs(pretty=False, stream=stream)
        try:
            get_logger().info("request")
        finally:
            structlog.reset_defaults()
            with contextlib.suppress(OSError):
                stream.close()


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
