"""Cameras as threads: what they see, how they fail, and what they never show."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import edge.capture.cameras
from edge.capture.account import CameraAccount, CameraPlan
from edge.capture.cameras import Camera, NewestSlot
from edge.capture.folder import FolderSource
from edge.capture.open_source import open_source
from edge.capture.shot import CameraAddress, Pace, Shot
from edge.service import EdgeService
from shared.clock import SystemClock
from shared.error_code import ErrorCode
from shared.errors import CameraError, ConfigError
from shared.types import Frame, ImageLimits
from shared.watch.supervise import Supervisor
from tests.helpers.frames import frame, picture
from tests.helpers.pictures import calm_jpeg, fire_jpeg
from tests.helpers.services import edge_settings, running_edge
from tests.helpers.videos import write_video
from tests.helpers.waiting import wait_until

_LIMITS = ImageLimits()
_SECRET = "hunter2-is-not-shown"


class _Source:
    """Gives pictures as a test tells it to, and ends or fails when it says so."""

    is_live = False

    def __init__(self, count: int = 0, error: Exception | None = None) -> None:
        self._count, self._error = count, error

    def shots(self, pace: Pace) -> Iterator[Shot]:
        for _ in range(self._count):
            yield Shot(picture=picture(), took_s=0.0)
        if self._error is not None:
            raise self._error


def _camera(open_source_: Callable[[], _Source], work=lambda frame: None, **more) -> Camera:
    clock = SystemClock()
    plan = CameraPlan(name="yard", address="test", fps=2.0, max_age_s=5.0)
    more.setdefault("watchman", Supervisor(clock))
    return Camera(
        CameraAccount(plan, clock), open_source=open_source_, work=work, clock=clock, **more
    )


# --- the newest frame ------------------------------------------------------------------------------------------


def test_the_newest_frame_wins_and_the_others_are_counted():
    slot = NewestSlot()
    for name in ("old", "older", "newest"):
        slot.put(frame(name))
    taken = slot.take(20)
    assert taken is not None
    assert (taken.frame_id, slot.skipped) == ("newest", 2)


def test_a_closed_slot_hands_out_its_last_frame_and_then_nothing():
    slot = NewestSlot()
    slot.put(frame("last"))
    slot.close()
    assert [f.frame_id if f else None for f in (slot.take(1), slot.take(0))] == ["last", None]


def test_closing_wakes_whoever_waits():
    slot, taken = NewestSlot(), []
    waiting = threading.Thread(target=lambda: taken.append(slot.take(20)))
    waiting.start()
    slot.close()
    waiting.join(40)
    assert taken == [None]


def test_a_slow_line_sees_the_newest_frame_and_not_a_queue_of_old_ones():
    busy, release, seen = threading.Event(), threading.Event(), []

    def work(each: Frame) -> None:
        seen.append(each.frame_id)
        busy.set()
        release.wait(40)

    ended = threading.Event()
    camera = _camera(lambda: _Source(100), work, on_end=lambda name: ended.set())
    camera.start()
    assert busy.wait(40)
    wait_until(lambda: camera.state().has_ended)
    release.set()
    assert ended.wait(40)
    assert len(seen) + camera.state().skipped == 100
    assert len(seen) <= 3


# --- failing and coming back -----------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(edge.capture.cameras, "_FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(edge.capture.cameras, "_LONGEST_PAUSE_S", 0.02)


def _failing_then(good: _Source, errors: list[Exception]) -> Callable[[], _Source]:
    def open_() -> _Source:
        if errors:
            raise errors.pop(0)
        return good

    return open_


def _gone() -> CameraError:
    return CameraError(ErrorCode.CAMERA_UNAVAILABLE, "no signal")


@pytest.mark.parametrize("error", [_gone(), RuntimeError("mad")])
def test_a_camera_that_fails_is_opened_again(quick, error):
    ended = threading.Event()
    opened = _failing_then(_Source(1), [error, error])
    camera = _camera(opened, on_end=lambda name: ended.set())
    camera.start()
    assert ended.wait(40)
    assert camera.state().frame_age_s is not None


def test_a_camera_that_fails_is_in_trouble_and_says_why(quick):
    camera = _camera(lambda: _Source(0, _gone()))
    camera.start()
    try:
        wait_until(lambda: camera.state().trouble == "no signal")
    finally:
        camera.stop(2.0)


def test_a_camera_that_comes_back_is_out_of_trouble(quick):
    release = threading.Event()

    class _Lasting(_Source):
        def shots(self, pace):
            yield Shot(picture=picture(), took_s=0.0)
            release.wait(40)

    camera = _camera(_failing_then(_Lasting(), [_gone()]))
    camera.start()
    try:
        wait_until(lambda: camera.state().frame_age_s is not None)
        wait_until(lambda: camera.state().trouble is None)
    finally:
        release.set()
        camera.stop(2.0)


def test_a_long_trouble_is_told_once_and_its_end_once(tmp_path, models, quick, log):
    folder = tmp_path / "pictures"
    with running_edge(tmp_path / "e", models, cameras={"yard": {"source": str(folder)}}) as edge:
        wait_until(lambda: len(edge.get("/troubles").json()["result"]["troubles"]) == 1)
        time.sleep(0.2)  # some ten more attempts
        folder.mkdir()
        (folder / "a.jpg").write_bytes(calm_jpeg())
        wait_until(lambda: edge.service._status.camera_states()[0]["ended"])
        wait_until(lambda: edge.get("/troubles").json()["result"]["troubles"] == [])
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    told = [(line["event"], line["code"]) for line in lines if line["event"].startswith("trouble_")]
    assert told == [("trouble_began", "lost"), ("trouble_ended", "lost")]


def test_a_folder_without_a_picture_is_a_trouble_until_the_first_picture_comes(
    tmp_path, models, quick
):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "half.jpg").write_bytes(calm_jpeg()[:200])
    with running_edge(tmp_path / "e", models, cameras={"yard": {"source": str(folder)}}) as edge:
        wait_until(lambda: edge.get("/troubles").json()["result"]["troubles"])
        (told,) = edge.get("/troubles").json()["result"]["troubles"]
        assert "no picture in it can be read" in told["cause"]
        (folder / "a.jpg").write_bytes(calm_jpeg())
        wait_until(lambda: edge.service._status.camera_states()[0]["ended"])
        wait_until(lambda: edge.get("/troubles").json()["result"]["troubles"] == [])


def test_one_bad_frame_does_not_end_a_camera():
    seen, ended, lock = [], threading.Event(), threading.Semaphore(0)

    def work(each: Frame) -> None:
        seen.append(each)
        lock.release()
        if len(seen) == 1:
            raise RuntimeError("boom")

    class _OneByOne(_Source):
        def shots(self, pace):
            for _ in range(3):
                yield Shot(picture=picture(), took_s=0.0)
                lock.acquire(timeout=40)

    camera = _camera(_OneByOne, work, on_end=lambda name: ended.set())
    camera.start()
    assert ended.wait(40)
    assert len(seen) == 3


def test_a_camera_stops_while_it_waits_to_be_opened_again(monkeypatch):
    monkeypatch.setattr(edge.capture.cameras, "_FIRST_PAUSE_S", 60.0)
    camera = _camera(lambda: _Source(0, _gone()))
    camera.start()
    wait_until(lambda: camera.state().trouble is not None)
    started_s = time.monotonic()
    camera.stop(30.0)
    assert time.monotonic() - started_s < 15.0


def test_a_camera_that_hangs_holds_the_stop_no_longer_than_allowed():
    release = threading.Event()

    class _Hanging(_Source):
        def shots(self, pace):
            release.wait(30)
            yield from ()

    camera = _camera(_Hanging)
    camera.start()
    started_s = time.monotonic()
    camera.stop(0.1)
    assert time.monotonic() - started_s < 15.0
    release.set()


# --- where frames come from ------------------------------------------------------------------------------------


def _sizes(url: str, fps: float = 30.0, limits: ImageLimits = _LIMITS) -> list[tuple[int, int]]:
    found = open_source(CameraAddress(url=url), fps, limits).shots(Pace())
    return [(shot.picture.width_px, shot.picture.height_px) for shot in found]


def test_a_folder_is_shown_once_in_the_order_of_its_names(tmp_path):
    for name, width in (("b.jpg", 64), ("a.jpg", 32), ("sub/c.jpeg", 96)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(fire_jpeg(width_px=width, height_px=32))
    assert [width for width, _ in _sizes(str(tmp_path))] == [32, 64, 96]


def test_what_is_no_picture_is_skipped(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"not a picture")
    (tmp_path / "b.txt").write_text("hello")
    (tmp_path / "c.jpg").write_bytes(calm_jpeg(width_px=32, height_px=32))
    assert _sizes(str(tmp_path)) == [(32, 32)]


def test_a_file_beyond_the_limit_is_skipped_without_being_read(tmp_path):
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(20_000_000_000)
    assert _sizes(str(tmp_path)) == []


def test_a_pipe_named_like_a_picture_holds_nobody_up(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    assert list(FolderSource(tmp_path, 30.0, _LIMITS).shots(Pace())) == []


def test_a_video_is_shown_at_the_wanted_rate(tmp_path):
    video = write_video(tmp_path / "a.avi", frames=10, fps=10.0)
    assert _sizes(str(video), fps=5.0) == [(320, 160)] * 5


def test_a_file_that_is_no_video_is_an_unavailable_camera(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    with pytest.raises(CameraError, match="cannot be opened"):
        _sizes(str(tmp_path / "a.mp4"))


def test_the_pretended_scene_burns_after_its_time():
    source = open_source(
        CameraAddress(url="sim:?ignite_at_s=0&width_px=320&height_px=192"), 30.0, _LIMITS
    )
    first = next(iter(source.shots(Pace()))).picture
    assert (first.width_px, first.height_px) == (320, 192)


@pytest.mark.parametrize(
    "url",
    [
        "/nowhere",
        "",
        "ftp://camera/still.jpg",
        "file:///etc/passwd",
        "sim:?seed=x",
        "sim:?width_px=100000",
        "sim:?height_px=1",
        "sim:?colour=red",
        "sim:?growth_s=0",
        "sim:?growth_s=nan",
        "sim:?ignite_at_s=nan",
    ],
)
def test_what_is_no_source_is_refused(url):
    with pytest.raises(CameraError) as caught:
        open_source(CameraAddress(url=url), 2.0, _LIMITS)
    assert caught.value.code is ErrorCode.CAMERA_SOURCE_INVALID


# --- passwords -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rtsp://10.0.0.7/live", "rtsp://admin:p%40ss%2Fword@10.0.0.7/live"),
        ("rtsp://op@10.0.0.7:554/live?a=b", "rtsp://op:p%40ss%2Fword@10.0.0.7:554/live?a=b"),
        ("rtsp://o%40p@10.0.0.7/", "rtsp://o%40p:p%40ss%2Fword@10.0.0.7/"),
        ("rtsp://op:old@10.0.0.7/", "rtsp://op:p%40ss%2Fword@10.0.0.7/"),
        ("/dev/video0", "/dev/video0"),
    ],
)
def test_a_password_is_put_into_the_address_as_the_camera_wants_it(url, expected):
    assert CameraAddress(url=url, password="p@ss/word").with_password() == expected


def test_a_printed_address_shows_no_password():
    address = CameraAddress(url=f"rtsp://u:{_SECRET}@10.0.0.7/live", password=_SECRET)
    assert _SECRET not in f"{address} {address!r} {[address]}"


def test_a_password_file_that_is_missing_is_a_problem_with_a_name(tmp_path, models):
    camera = {"source": "rtsp://10.0.0.7/", "password_file": tmp_path / "nowhere"}
    settings = edge_settings(tmp_path / "e", models, cameras={"yard": camera})

    with pytest.raises(ConfigError, match="nowhere"):
        EdgeService(settings)


@pytest.mark.parametrize(
    "source",
    [
        {"source": "rtsp://admin@127.0.0.1:1/live", "password": _SECRET},
        {"source": f"rtsp://admin:{_SECRET}@127.0.0.1:1/live"},
        {"source": f"rtsp://127.0.0.1:1/live?user=admin&password={_SECRET}"},
    ],
)
def test_a_password_is_shown_nowhere(tmp_path, models, log, capfd, source):
    with running_edge(tmp_path, models, cameras={"yard": source}) as edge:
        wait_until(lambda: edge.service._status.camera_states()[0]["trouble"] is not None)
        shown = [edge.get(path).text for path in ("/cameras", "/readyz", "/version", "/metrics")]
    shown += [log.getvalue(), *capfd.readouterr()]
    assert "trouble_began" in log.getvalue()
    assert _SECRET not in "".join(shown)


# --- in the service --------------------------------------------------------------------------------------------


def test_a_camera_s_frames_go_down_the_line(tmp_path, models):
    video = write_video(tmp_path / "a.avi", frames=6, fps=20.0)
    cameras = {"yard": {"source": str(video), "fps": 30}}
    with running_edge(tmp_path / "e", models, cameras=cameras) as edge:
        wait_until(lambda: edge.service._status.camera_states()[0]["ended"])
        wait_until(lambda: 'camera="yard",outcome="edge"} 0.0' not in edge.get("/metrics").text)
        (camera,) = edge.get("/cameras").json()["result"]["cameras"]
    assert (camera["name"], camera["trouble"], camera["ended"]) == ("yard", None, True)
    assert camera["frame_age_s"] >= 0


def test_a_frame_that_the_cloud_was_asked_about_is_counted_once(tmp_path, models):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.jpg").write_bytes(fire_jpeg())
    sections = {"cameras": {"yard": {"source": str(tmp_path / "p")}}, "policy": {"name": "always"}}
    with running_edge(tmp_path / "e", models, "mock:?latency_s=0.05", **sections) as edge:
        wanted = 'fire_edge_frames_total{camera="yard",outcome="cloud"} 1.0'
        wait_until(lambda: wanted in edge.get("/metrics").text)
        metrics = edge.get("/metrics").text
    assert 'fire_edge_frames_total{camera="yard",outcome="edge"} 0.0' in metrics


def test_a_dead_camera_takes_no_other_down(tmp_path, models):
    cameras = {
        "dead": {"source": "rtsp://127.0.0.1:1/live"},
        "live": {"source": "sim:?width_px=320&height_px=192", "fps": 5},
    }
    with running_edge(tmp_path, models, cameras=cameras) as edge:

        def states() -> dict[str, dict[str, object]]:
            return {c["name"]: c for c in edge.service._status.camera_states()}

        wait_until(lambda: states()["dead"]["trouble"] is not None)
        wait_until(lambda: states()["live"]["frame_age_s"] is not None)
        check = edge.get("/readyz").json()["checks"]["cameras"]
    assert check["state"] == "degraded"
    assert "dead" in check["text"]
    assert "live: " not in check["text"]
