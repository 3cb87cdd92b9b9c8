"""Cameras that give one picture a request, on real sockets."""

from __future__ import annotations

import hashlib
import itertools
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

import edge.capture.snapshot
from edge.capture.open_source import open_source
from edge.capture.shot import CameraAddress, Pace, Shot
from shared.errors import CameraError
from shared.types import ImageLimits
from tests.helpers.pictures import calm_jpeg, fire_jpeg
from tests.helpers.services import running_edge
from tests.helpers.stand_in_clouds import Answer, Exchange, StandIn, dead_url, hangs, stand_in_cloud
from tests.helpers.waiting import wait_until

_SECRET = "hunter2-is-not-shown"
_LIMITS = ImageLimits(max_bytes=300_000)
_JPEG = fire_jpeg()


def _picture(sent: Exchange, body: bytes = _JPEG, **headers: str) -> None:
    sent.reply(200, body, "image/jpeg", **headers)


def _shots(url: str, count: int, password: str | None = None, fps: float = 30.0) -> list[Shot]:
    source = open_source(CameraAddress(url=url, password=password), fps, _LIMITS)
    return list(itertools.islice(source.shots(Pace()), count))


@contextmanager
def _camera(answer: Answer) -> Iterator[StandIn]:
    with stand_in_cloud(answer) as camera:
        yield camera


def test_a_snapshot_is_asked_for_at_the_camera_s_rate():
    number = itertools.count()
    with _camera(lambda sent: _picture(sent, calm_jpeg(width_px=64 + next(number)))) as camera:
        started_s = time.monotonic()
        shots = _shots(f"{camera.url}/still.jpg?channel=1", 4, fps=5.0)
        took_s = time.monotonic() - started_s
    assert [shot.picture.width_px for shot in shots] == [64, 65, 66, 67]
    assert 0.55 <= took_s < 10.0
    assert camera.calls[0].head.startswith(b"GET /still.jpg?channel=1 HTTP/1.1\r\n")


# --- login -----------------------------------------------------------------------------------------------------


def _wants_basic(sent: Exchange) -> None:
    if sent.header("Authorization") == "Basic b3A6aHVudGVyMi1pcy1ub3Qtc2hvd24=":
        _picture(sent)
    else:
        sent.reply(401, WWW_Authenticate='Basic realm="camera"')


def _wants_digest(sent: Exchange) -> None:
    fields = dict(re.findall(r'(\w+)="?([^",]+)"?', sent.header("Authorization") or ""))

    def hashed(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    secret, request = hashed(f"op:cam:{_SECRET}"), hashed("GET:/still.jpg")
    parts = [fields.get(name, "") for name in ("nonce", "nc", "cnonce", "qop")]
    if fields.get("response") == hashed(":".join([secret, *parts, request])):
        _picture(sent)
    else:
        sent.reply(401, WWW_Authenticate='Digest realm="cam", nonce="n0nce", qop="auth"')


@pytest.mark.parametrize("wants", [_wants_basic, _wants_digest])
def test_a_camera_that_wants_a_password_gets_it_when_it_asks(wants):
    with _camera(wants) as camera:
        url = camera.url.replace("//", "//op@") + "/still.jpg"
        assert len(_shots(url, 3, _SECRET)) >= 1
        assert "Authorization" not in camera.calls[0].head.decode()
        assert len(camera.calls) <= 4  # the login is remembered


def test_a_user_s_name_may_be_chinese():
    def wants_digest(sent: Exchange) -> None:
        if 'username="值班"'.encode() in sent.head:
            _picture(sent)
        else:
            sent.reply(401, WWW_Authenticate='Digest realm="cam", nonce="n0nce"')

    with _camera(wants_digest) as camera:
        assert len(_shots(camera.url.replace("//", "//%E5%80%BC%E7%8F%AD@"), 1, _SECRET)) == 1


@pytest.mark.parametrize("wants", [_wants_basic, _wants_digest])
def test_a_wrong_password_is_said_to_be_wrong(wants):
    with _camera(wants) as camera, pytest.raises(CameraError, match="does not accept"):
        _shots(camera.url + "/still.jpg", 1, "wrong")


def test_a_camera_that_wants_a_password_we_do_not_have_says_so():
    with _camera(_wants_basic) as camera, pytest.raises(CameraError, match="wants a password"):
        _shots(camera.url, 1)


def test_no_redirect_takes_the_password_elsewhere():
    with _camera(_picture) as thief:

        def redirects(sent: Exchange) -> None:
            sent.reply(302, Location=thief.url)

        with _camera(redirects) as camera, pytest.raises(CameraError, match="HTTP 302"):
            _shots(camera.url.replace("//", f"//op:{_SECRET}@"), 1)
        assert thief.calls == []


# --- capture times ---------------------------------------------------------------------------------------------


def _stamp(at: datetime) -> str:
    return format_datetime(at.astimezone(UTC), usegmt=True)


def test_the_age_that_the_camera_tells_counts_whatever_its_clock_says():
    wrong_at = datetime(2009, 1, 1, tzinfo=UTC)  # a camera that was never set
    told = {"Last_Modified": _stamp(wrong_at), "Date": _stamp(wrong_at + timedelta(seconds=7))}
    age = timedelta(seconds=7)
    with _camera(lambda sent: _picture(sent, **told)) as camera:
        asked_at = datetime.now(UTC)
        (shot,) = _shots(camera.url, 1)
        got_at = datetime.now(UTC)
    assert shot.captured_at is not None
    assert asked_at - age <= shot.captured_at <= got_at - age


def test_a_time_stamp_of_ustreamer_is_the_capture_time():
    at = datetime.now(UTC) - timedelta(seconds=3)
    with _camera(lambda sent: _picture(sent, X_Timestamp=str(at.timestamp()))) as camera:
        (shot,) = _shots(camera.url, 1)
    assert shot.captured_at is not None
    assert abs(shot.captured_at - at) < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"Last_Modified": "yesterday"},
        {"Last_Modified": "Mon, 01 Jan 2035 00:00:00 GMT"},
        {"Last_Modified": "Mon, 01 Jan 2001 00:00:00 GMT"},
        {"X_Timestamp": "nan"},
        {"X_Timestamp": "1e300"},
    ],
)
def test_a_time_that_cannot_be_right_is_not_believed(told):
    with _camera(lambda sent: _picture(sent, **told)) as camera:
        (shot,) = _shots(camera.url, 1)
    assert shot.captured_at is None


def test_a_picture_that_the_camera_gives_again_is_no_new_frame():
    at, number = datetime.now(UTC), itertools.count()
    bodies = [_JPEG, _JPEG, _JPEG, calm_jpeg()]

    def answer(sent: Exchange) -> None:
        _picture(sent, bodies[min(next(number), 3)], Last_Modified=_stamp(at), Date=_stamp(at))

    with _camera(answer) as camera:
        first, second = _shots(camera.url, 2)
        assert len(camera.calls) == 4
    assert (first.picture.encoded, second.picture.encoded) == (_JPEG, calm_jpeg())
    assert second.captured_at is None  # another picture with the same time: the time means nothing


# --- cameras that go mad ---------------------------------------------------------------------------------------


def _endless(sent: Exchange) -> None:
    sent.send(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n")
    while not sent.stopping.is_set():
        sent.send(b"\xff\xd8\xff" + b"x" * 65_536)


def _drips(sent: Exchange) -> None:
    sent.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not sent.stopping.wait(0.05):
        sent.send(b"x")


def _torn(sent: Exchange) -> None:
    length = len(_JPEG)
    sent.send(
        f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode() + _JPEG[: length // 2]
    )


def _streams(sent: Exchange) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n"
    sent.send(head)
    while not sent.stopping.wait(0.05):
        sent.send(b"--b\r\nContent-Type: image/jpeg\r\n\r\n" + _JPEG + b"\r\n")


def _many_challenges(sent: Exchange) -> None:
    lines = "".join(f"WWW-Authenticate: Digest {n}\r\n" for n in range(90))
    sent.send(f"HTTP/1.1 401 X\r\n{lines}\r\n".encode())


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (_endless, "sends more than 300000 bytes"),
        (_streams, "sends a stream of pictures"),
        (_torn, "cannot be reached"),
        (_many_challenges, "does not accept the password"),
        (lambda sent: sent.reply(200, b"<html>login</html>"), "sends no usable picture"),
        (lambda sent: sent.reply(200, b""), "sends no usable picture"),
        (lambda sent: sent.reply(503), "answers HTTP 503"),
        (lambda sent: sent.send(b"\0" * 100), "cannot be reached"),
        (lambda sent: sent.send(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500), "cannot be reached"),
    ],
)
def test_a_camera_that_goes_mad_is_an_error_that_says_how(monkeypatch, answer, says):
    monkeypatch.setattr(edge.capture.snapshot, "_WITHIN_S", 40.0)
    with _camera(answer) as camera, pytest.raises(CameraError, match=says):
        _shots(camera.url, 1, _SECRET)


@pytest.mark.parametrize("answer", [_drips, hangs])
def test_a_camera_that_does_not_end_its_answer_is_an_error_within_the_deadline(monkeypatch, answer):
    monkeypatch.setattr(edge.capture.snapshot, "_WITHIN_S", 1.0)
    with _camera(answer) as camera:
        started_s = time.monotonic()
        with pytest.raises(CameraError, match="gave no picture in 1 s"):
            _shots(camera.url, 1, _SECRET)
    assert time.monotonic() - started_s < 15.0


def test_an_address_where_nobody_is_is_an_error():
    with dead_url() as url, pytest.raises(CameraError, match="cannot be reached"):
        _shots(url, 1)


def test_a_source_that_is_stopped_ends_between_two_pictures():
    pace, got = Pace(), threading.Event()

    def read(url: str) -> None:
        for _ in open_source(CameraAddress(url=url), 0.01, _LIMITS).shots(pace):
            got.set()

    with _camera(_picture) as camera:
        reading = threading.Thread(target=read, args=(camera.url,))
        reading.start()
        assert got.wait(40)
        pace.end()
        reading.join(40)
    assert not reading.is_alive()


def test_what_a_camera_calls_its_pictures_does_not_matter():
    with _camera(lambda sent: sent.reply(200, _JPEG, "text/html")) as camera:
        assert _shots(camera.url, 1)[0].picture.media_type == "image/jpeg"


# --- in the service --------------------------------------------------------------------------------------------


def test_a_snapshot_camera_is_watched_and_its_password_shown_nowhere(tmp_path, models, capfd):
    password_file = tmp_path / "password"
    password_file.write_text(_SECRET)
    with _camera(_wants_digest) as camera:
        source = camera.url.replace("//", "//op@") + "/still.jpg"
        section = {"source": source, "password_file": password_file, "fps": 10}
        with running_edge(tmp_path / "e", models, cameras={"yard": section}) as edge:

            def row() -> dict[str, object]:
                return edge.get("/cameras").json()["result"]["cameras"][0]

            wait_until(lambda: row()["received"])
            assert row()["state"] == "watching"
            assert row()["clock_quality"] == "received"
            shown = [edge.get(path).text for path in ("/cameras", "/troubles", "/readyz")]
    assert _SECRET not in "".join([*shown, *capfd.readouterr()])


def test_a_camera_whose_pictures_change_their_size_each_time_opens_its_event(tmp_path, models):
    numbers = itertools.count()

    def answer(sent: Exchange) -> None:
        number = next(numbers)
        _picture(
            sent, fire_jpeg(width_px=320 + 16 * (number % 9), height_px=160 + 8 * (number % 7))
        )

    with _camera(answer) as camera:
        section = {"source": f"{camera.url}/still.jpg", "fps": 10}
        with running_edge(tmp_path, models, cameras={"yard": section}) as edge:
            wait_until(lambda: edge.get("/events").json()["result"]["events"])
            (event,) = edge.get("/events").json()["result"]["events"]
            wait_until(lambda: edge.get(f"/events/{event['event_id']}").json()["result"]["origin"])
