"""Cameras over RTSP, from a real server, whole and broken; and a server by hand that hangs in the handshake."""

from __future__ import annotations

import itertools
import os
import re
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import edge.capture.video
from bench.rtsp import Mount, RtspServer, encode_film, missing, rtsp_server
from edge.capture.open_source import open_source
from edge.capture.rtsp_probe import why_no_stream
from edge.capture.shot import CameraAddress, Pace, Shot
from shared.errors import CameraError
from shared.picture.imaging import decode, jpeg_picture
from shared.rendered.scene import Scene, SceneSettings
from shared.types import ClockQuality, ImageLimits
from tests.helpers.services import Running, running_edge
from tests.helpers.stand_in_clouds import dead_url, stand_in_cloud
from tests.helpers.videos import write_video
from tests.helpers.waiting import wait_until

_needs_server = pytest.mark.skipif(missing() is not None, reason=str(missing()))
_SECRET = "hunter2-is-not-shown"
_LIMITS = ImageLimits()


def _film(path: Path, width_px: int, height_px: int, seconds: int = 3) -> Path:
    scene = Scene(SceneSettings(width_px=width_px, height_px=height_px))
    return encode_film(path, [scene.render(i / 10).bgr_hwc_u8 for i in range(10 * seconds)], 10)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    return {
        "film": _film(folder / "film.mp4", 320, 192),
        "wide": _film(folder / "wide.mp4", 640, 368),
    }


@pytest.fixture(scope="module")
def server(films: dict[str, Path]) -> Iterator[RtspServer]:
    film, wide = films["film"], films["wide"]
    mounts = {
        "/good": Mount(file=film),
        "/corrupt": Mount(file=film, fault="corrupt"),
        "/resize": Mount(file=film, fault="resize", second=wide),
        "/stall": Mount(file=film, fault="stall"),
        "/end": Mount(file=film, fault="end"),
    }
    with rtsp_server(mounts) as running:
        yield running


def _shots(url: str, count: int, fps: float = 10.0, password: str | None = None) -> list[Shot]:
    source = open_source(CameraAddress(url=url, password=password), fps, _LIMITS)
    return list(itertools.islice(source.shots(Pace()), count))


@_needs_server
def test_a_stream_is_read_at_the_wanted_rate(server):
    source = open_source(CameraAddress(url=server.url("/good")), 2.0, _LIMITS)
    started_s = time.monotonic()
    shots = source.shots(Pace())
    next(shots)
    sizes = {(s.picture.width_px, s.picture.height_px) for s in itertools.islice(shots, 6)}
    assert sizes == {(320, 192)}
    assert time.monotonic() - started_s > 2.0


@_needs_server
def test_a_stream_that_wants_a_password_gets_it(films):
    mounts = {"/good": Mount(file=films["film"])}
    with rtsp_server(mounts, user="op", password=_SECRET) as server:
        assert len(_shots(server.url("/good", "op"), 2, password=_SECRET)) == 2
        with pytest.raises(CameraError, match="cannot be opened: user, password or path"):
            _shots(server.url("/good", "op"), 1, password="wrong")


@_needs_server
def test_a_path_that_the_camera_does_not_have_is_named_as_that(server):
    with pytest.raises(CameraError, match="cannot be opened: it knows no such path"):
        _shots(server.url("/nowhere"), 1)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"RTSP/1.0 403 Forbidden\r\n\r\n", "its user may not look"),
        (b"RTSP/1.0 500 Oops\r\n\r\n", "it answers with 500"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks no RTSP"),
        (b"", "speaks no RTSP"),
    ],
)
def test_what_listens_where_a_camera_should_be_is_told(answer, told):
    with stand_in_cloud(lambda exchange: exchange.send(answer)) as other:
        assert told in why_no_stream(f"rtsp://127.0.0.1:{other.port}/s")


@pytest.mark.parametrize("scheme", ["rtsp", "http", "RTSPS"])
@pytest.mark.parametrize("at", [b"OPTIONS", b"DESCRIBE"])
def test_no_camera_sends_us_and_its_password_elsewhere(at, scheme):
    with stand_in_cloud(lambda exchange: exchange.reply(404)) as thief:

        def answer(asked: bytes) -> bytes:
            number = re.search(rb"CSeq: \d+", asked)
            assert number is not None
            if not asked.startswith(at):
                return b"RTSP/1.0 200 OK\r\n" + number[0] + b"\r\nPublic: DESCRIBE\r\n\r\n"
            target = f"{scheme}://127.0.0.1:{thief.port}/x".encode()
            return b"RTSP/1.0 302 Found\r\n" + number[0] + b"\r\nLocation: " + target + b"\r\n\r\n"

        with _camera(answer) as url, pytest.raises(CameraError, match="sends us on to") as refused:
            _shots(url.replace("//", "//op@"), 1, password=_SECRET)
        assert thief.calls == []
    assert f"{thief.port}/x" in refused.value.detail
    assert _SECRET not in refused.value.detail


@pytest.mark.parametrize(
    ("head", "session", "media"),
    [
        (b"", b"", b"a=control:%s/track1\r\n"),
        (b"", b"a=control:%s\r\n", b"a=control:track1\r\n"),
        (b"Content-Base: %s/\r\n", b"", b"a=control:track1\r\n"),
    ],
)
def test_a_description_that_names_another_host_leads_nobody_there(head, session, media):
    """FFmpeg asks for such a track where it has logged in: nothing to refuse, unless that changes."""
    asked_for = []
    with stand_in_cloud(lambda exchange: exchange.reply(404)) as thief:
        elsewhere = f"rtsp://127.0.0.1:{thief.port}".encode()
        described = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\n" + session
        described += b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n" + media
        described = described.replace(b"%s", elsewhere)

        def answer(asked: bytes) -> bytes:
            method, number = asked.split(b" ")[0], re.search(rb"CSeq: \d+\r\n", asked)
            assert number is not None
            if method == b"SETUP":
                asked_for.append(asked.split(b" ")[1])
                return b"RTSP/1.0 404 No\r\n" + number[0] + b"\r\n"
            if b"Authorization" not in asked:
                asks = b'WWW-Authenticate: Basic realm="x"\r\n\r\n'
                return b"RTSP/1.0 401 No\r\n" + number[0] + asks
            base = head.replace(b"%s", elsewhere) + b"Content-Type: application/sdp\r\n"
            length = b"Content-Length: %d\r\n\r\n" % len(described)
            return b"RTSP/1.0 200 OK\r\n" + number[0] + base + length + described

        with _camera(answer) as url, pytest.raises(CameraError, match="cannot be opened"):
            _shots(url.replace("//", "//op@"), 1, password=_SECRET)
        assert asked_for == [elsewhere + b"/track1"]
        assert thief.calls == []


@contextmanager
def _camera(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """Answer request by request, as a camera does, whoever connects."""

    class Talk(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while asked := self.request.recv(4096):
                self.request.sendall(answer(asked))

    class Listener(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Listener(("127.0.0.1", 0), Talk) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"rtsp://127.0.0.1:{listener.server_address[1]}/live"
        finally:
            listener.shutdown()
            thread.join(40)


def test_a_camera_that_is_not_there_is_told_apart_from_one_that_refuses():
    with dead_url() as url:
        told = why_no_stream(url.replace("http", "rtsp") + "/s")
    assert told == "Connection refused"
    assert why_no_stream("rtsp://no.such.name.invalid/s") == "the name is not known"


@_needs_server
def test_a_stream_with_corrupt_packets_is_read_on(server):
    shots = _shots(server.url("/corrupt"), 15)
    assert {(s.picture.width_px, s.picture.height_px) for s in shots} == {(320, 192)}


@_needs_server
def test_a_stream_that_changes_its_size_is_read_on_in_the_first_one(server):
    source = open_source(CameraAddress(url=server.url("/resize")), 2.0, _LIMITS)
    shots = list(itertools.islice(source.shots(Pace()), 14))  # 7 s: the size changes at 3 and 6
    pixels = [decode(shot.picture).bgr_hwc_u8.astype(np.int16) for shot in shots]
    assert {each.shape for each in pixels} == {(192, 320, 3)}
    changes = [float(np.abs(a - b).mean()) for a, b in itertools.pairwise(pixels)]
    assert max(changes) > 4  # the other film is another picture
    assert all(50 < each.mean() < 80 for each in pixels)  # and no decoder's grey or green


@_needs_server
@pytest.mark.parametrize("path", ["/stall", "/end"])
def test_a_stream_that_falls_silent_is_an_error_within_its_time(server, path, monkeypatch):
    monkeypatch.setattr(edge.capture.video, "_READ_TIMEOUT_MS", 1_500)
    started_s = time.monotonic()
    with pytest.raises(CameraError, match="stopped sending"):
        _shots(server.url(path), 1000)
    assert time.monotonic() - started_s < 20.0


@contextmanager
def _by_hand(answer: bytes, *, then_hangs: bool) -> Iterator[str]:
    """Accept connections, answer whatever is asked with the same bytes, and hang or hang up."""
    stopping = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)

        def serve() -> None:
            taken = []
            while not stopping.is_set():
                try:
                    sock, _ = listener.accept()
                except TimeoutError:
                    continue
                if answer:
                    sock.recv(4096)
                    sock.sendall(answer)
                taken.append(sock) if then_hangs else sock.close()
            for sock in taken:
                sock.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"rtsp://127.0.0.1:{listener.getsockname()[1]}/live"
        finally:
            stopping.set()
            thread.join(40)


_HUGE = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 2000000000\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "then_hangs"),
    [
        (b"", True),
        (b"", False),
        (b"RTSP/1.0 200", True),
        (_HUGE, True),
        (b"\0" * 4096, True),
        (b"RTSP/1.0 200 OK\r\n" + b"A: b\r\n" * 9999, False),
        (b"HTTP/1.1 400 No\r\n\r\n", False),
    ],
)
def test_a_server_that_tears_the_handshake_is_an_error_within_its_time(
    monkeypatch, answer, then_hangs
):
    monkeypatch.setattr(edge.capture.video, "_OPEN_TIMEOUT_MS", 1_000)
    with _by_hand(answer, then_hangs=then_hangs) as url:
        started_s = time.monotonic()
        with pytest.raises(CameraError, match="cannot be opened"):
            _shots(url, 1)
    assert time.monotonic() - started_s < 15.0


def test_a_stream_that_hangs_while_it_is_opened_keeps_no_other_out(tmp_path, monkeypatch):
    monkeypatch.setattr(edge.capture.video, "_OPEN_TIMEOUT_MS", 40_000)
    monkeypatch.setattr(edge.capture.video, "sent_elsewhere", lambda bare_url: None)
    monkeypatch.setattr(edge.capture.video, "why_no_stream", lambda bare_url: "it hung")
    is_asked, may_answer = threading.Event(), threading.Event()

    def hang(asked: bytes) -> bytes:
        is_asked.set()
        may_answer.wait(50)
        return b"RTSP/1.0 404 No\r\nCSeq: 1\r\n\r\n"

    def open_hanging() -> None:
        with pytest.raises(CameraError, match="cannot be opened"):
            _shots(url, 1)

    with _camera(hang) as url:
        hanging = threading.Thread(target=open_hanging)
        hanging.start()
        try:
            assert is_asked.wait(40)
            assert len(_shots(str(write_video(tmp_path / "film.avi")), 2)) == 2
            assert hanging.is_alive()
        finally:
            may_answer.set()
            hanging.join(40)


def test_a_box_that_is_stopped_while_a_stream_is_opened_ends_as_one_that_was_stopped(
    tmp_path, models
):
    visits = threading.Semaphore(0)
    may_answer = threading.Event()

    def hang(asked: bytes) -> bytes:
        visits.release()
        may_answer.wait(50)
        return b""

    log = tmp_path / "log"
    with _camera(hang) as url, log.open("wb") as out:
        command = ["edge", "run", "--state", tmp_path / "state", "--models", models, "--port", "0"]
        given = {**os.environ, "EMBERLINK_EDGE__MODEL__VARIANT": "fp32"}
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--source", f"gate={url}"], stderr=out, env=given
        )
        try:
            assert visits.acquire(timeout=50)  # the look before
            assert visits.acquire(timeout=50)  # FFmpeg
            process.terminate()
            assert process.wait(50) == 0, log.read_text(encoding="utf-8")
        finally:
            may_answer.set()
            process.kill()
            process.wait()


# --- in the service --------------------------------------------------------------------------------------------


def _rows(running: Running) -> dict[str, dict[str, Any]]:
    rows = running.get("/cameras").json()["result"]["cameras"]
    return {row["name"]: row for row in rows}


@_needs_server
def test_cameras_that_break_change_nothing_for_the_others(tmp_path, models, server, monkeypatch):
    monkeypatch.setattr(edge.capture.video, "_OPEN_TIMEOUT_MS", 2_000)
    monkeypatch.setattr(edge.capture.video, "_READ_TIMEOUT_MS", 2_000)
    names = ("good", "corrupt", "resize", "stall", "end")
    with _by_hand(b"", then_hangs=True) as dead_url:
        sources = {name: server.url(f"/{name}") for name in names} | {"dead": dead_url}
        cameras = {name: {"source": url, "fps": 5} for name, url in sources.items()}
        with running_edge(tmp_path, models, cameras=cameras) as running:
            wait_until(
                lambda: all(
                    row["received"] for row in _rows(running).values() if row["name"] != "dead"
                )
            )
            wait_until(lambda: _rows(running)["dead"]["state"] == "lost")
            before = _rows(running)["good"]["received"]
            wait_until(lambda: _rows(running)["good"]["received"] >= before + 15)  # 3 s of them
            good = _rows(running)["good"]
            troubles = running.get("/troubles").json()["result"]["troubles"]
    assert (good["state"], good["clock_quality"]) == ("watching", ClockQuality.RECEIVED.value)
    assert "dead" in {t["subject"] for t in troubles}
    assert "good" not in {t["subject"] for t in troubles}


# --- pictures of unusual form ----------------------------------------------------------------------------------


class _Device:
    """Stands in for an opened `cv2.VideoCapture` that delivers what a test gives it."""

    def __init__(self, *pixels: Any) -> None:
        self._pixels = list(pixels)

    def grab(self) -> bool:
        return bool(self._pixels)

    def retrieve(self) -> tuple[bool, Any]:
        pixels = self._pixels.pop(0)
        if isinstance(pixels, Exception):
            raise pixels
        return pixels is not None, pixels

    def release(self) -> None:
        pass


def _from_device(monkeypatch, *pixels: Any) -> list[tuple[int, int]]:
    source = edge.capture.video.VideoSource(
        CameraAddress(url="/dev/video0"), 1e9, _LIMITS, is_live=True
    )
    monkeypatch.setattr(source, "_open", lambda: _Device(*pixels))
    found: list[tuple[int, int]] = []
    try:
        for shot in source.shots(Pace()):
            found += [(shot.picture.width_px, shot.picture.height_px)]
    except CameraError as err:
        assert "stopped sending" in err.detail  # noqa: PT017 # how a device ends is not the point
    return found


def _even(*shape: int) -> np.ndarray[Any, Any]:
    return np.full(shape, 100, np.uint8)


def test_grey_narrow_and_changing_frames_are_frames(monkeypatch):
    pixels = (_even(120, 160), _even(120, 160, 1), _even(4001, 17, 3), _even(17, 4001, 3))
    found = _from_device(monkeypatch, *pixels)
    assert found == [(160, 120), (160, 120), (17, 4001), (4001, 17)]


def test_frames_that_are_none_are_skipped(monkeypatch):
    pixels = (None, _even(4, 4, 3), _even(0, 16, 3), _even(9000, 9000, 3), _even(60, 80, 4))
    more = (cv2.error("broken"), _even(32, 32, 3).astype(np.float32), _even(100))
    found = _from_device(monkeypatch, *pixels, *more, _even(120, 160, 3))
    assert found == [(160, 120)]


def test_a_camera_that_sends_nothing_usable_says_what_it_sends(monkeypatch):
    source = edge.capture.video.VideoSource(
        CameraAddress(url="/dev/video0"), 1e9, _LIMITS, is_live=True
    )
    monkeypatch.setattr(source, "_open", lambda: _Device(*[_even(8, 9, 3)] * 100))
    with pytest.raises(CameraError, match="sends frames of 9 x 8 pixels"):
        list(source.shots(Pace()))


@pytest.mark.parametrize("size", [(17, 4001), (4001, 17)])
def test_a_narrow_picture_goes_down_the_whole_line(tmp_path, models, size):
    width_px, height_px = size
    jpeg = jpeg_picture(_even(height_px, width_px, 3)).encoded
    with running_edge(tmp_path, models, cameras={"yard": {"source": "push:"}}) as running:
        answer = running.post(
            "/joint_predict",
            params={"camera": "yard"},
            data=jpeg,
            headers={"Content-Type": "image/jpeg"},
        )
        assert answer.json()["err_no"] == 0
        assert _rows(running)["yard"]["received"] == 1
