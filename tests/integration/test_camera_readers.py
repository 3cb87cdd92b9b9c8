"""Readers that hang, cameras that are late, and frames that are posted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

import edge.capture.cameras
from edge.capture.account import CameraAccount, CameraPlan
from edge.capture.cameras import Camera
from edge.capture.shot import Pace, Shot
from edge.capture.state import MOST_HANGING
from edge.config.cameras import CameraSection
from edge.wiring.cameras import Cameras
from shared.clock import SystemClock
from shared.errors import CameraError
from shared.types import ClockQuality, Frame, ImageLimits
from shared.watch.supervise import Supervisor
from tests.helpers.clock import FakeClock
from tests.helpers.frames import picture
from tests.helpers.pictures import calm_jpeg
from tests.helpers.services import Running, running_edge
from tests.helpers.waiting import wait_until

_PLAN = CameraPlan(name="yard", address="test", fps=2.0, max_age_s=5.0)


class _HangsFirst:
    """Hangs in its first `times` openings, as a library does, and then gives pictures."""

    is_live = True

    def __init__(self, times: int) -> None:
        self.release = threading.Event()
        self._left = times

    def shots(self, pace: Pace) -> Iterator[Shot]:
        self._left -= 1
        if self._left >= 0:
            self.release.wait(30)
        while pace.goes_on():
            yield Shot(picture=picture(), took_s=0.0)
            pace.wait(0.05)


def _camera(source: _HangsFirst, work: Callable[[Frame], None] = lambda frame: None) -> Camera:
    clock = SystemClock()
    supervisor = Supervisor(clock)
    camera = Camera(
        CameraAccount(_PLAN, clock),
        open_source=lambda: source,
        work=work,
        clock=clock,
        watchman=supervisor,
    )
    camera.start()
    return camera


def test_cameras_that_hang_are_waited_for_together(monkeypatch):
    source = _HangsFirst(100)
    monkeypatch.setattr("edge.wiring.cameras.open_source", lambda *more: source)
    clock = SystemClock()
    cameras = Cameras(
        {f"c{number}": CameraSection(source="rtsp://10.0.0.1/live") for number in range(6)},
        limits=ImageLimits(),
        work=lambda frame: None,
        clock=clock,
        supervisor=Supervisor(clock),
        on_end=lambda name: None,
    )
    cameras.start()
    begun_s = time.monotonic()
    cameras.stop(timeout_s=1.0)
    took_s = time.monotonic() - begun_s
    source.release.set()
    assert took_s < 5.0  # one after the other they take six


# --- readers that hang -----------------------------------------------------------------------------------------


def test_a_read_that_hangs_is_given_up_and_the_camera_goes_on(tmp_path, models, monkeypatch):
    monkeypatch.setattr(edge.capture.cameras, "_READER_SILENT_S", 1.0)
    source = _HangsFirst(1)
    monkeypatch.setattr("edge.wiring.cameras.open_source", lambda *more: source)
    cameras = {"yard": {"source": "rtsp://10.0.0.1/live"}}
    with running_edge(tmp_path, models, cameras=cameras) as running:

        def row() -> dict[str, object]:
            return running.get("/cameras").json()["result"]["cameras"][0]

        wait_until(lambda: row()["state"] == "watching")
        assert row()["replaced_readers"] == 1
        wait_until(lambda: not running.get("/troubles").json()["result"]["troubles"])
    source.release.set()


def test_the_picture_of_a_reader_that_was_given_up_is_nobody_s():
    source, seen = _HangsFirst(1), []
    camera = _camera(source, seen.append)
    camera.replace_reader()
    wait_until(lambda: len(seen) > 3)
    source.release.set()
    wait_until(lambda: camera.state().hanging == 0)
    camera.stop(2.0)
    assert camera.state().replaced == 1


def test_readers_that_hang_are_bounded_in_number():
    source = _HangsFirst(100)
    camera = _camera(source)
    for _ in range(MOST_HANGING):
        camera.replace_reader()
    with pytest.raises(CameraError, match="no more are started"):
        camera.replace_reader()
    before = threading.active_count()
    assert camera.state().hanging == MOST_HANGING
    source.release.set()
    wait_until(lambda: threading.active_count() <= before - MOST_HANGING)
    camera.replace_reader()
    camera.stop(2.0)


# --- time ------------------------------------------------------------------------------------------------------


def test_a_camera_is_late_when_frames_stay_away_and_in_time_when_they_come():
    clock = FakeClock()
    account = CameraAccount(_PLAN, clock)
    clock.advance(9)
    assert account.state().late_s is None
    clock.advance(2)
    assert account.state().word == "late"
    account.receive(picture(), None)
    assert account.state().word == "watching"


def test_a_recording_is_never_late_and_never_too_old():
    clock = FakeClock()
    account = CameraAccount(_PLAN, clock)
    account.opened(is_live=False)
    frame = account.receive(picture(), clock.now_at() - timedelta(days=400))
    clock.advance(100)
    assert account.state().late_s is None
    assert not account.is_stale(frame)


@pytest.mark.parametrize(("age_s", "is_dropped"), [(4.9, False), (5.1, True)])
def test_a_live_frame_that_is_too_old_is_dropped_and_counted(age_s, is_dropped):
    clock = FakeClock()
    account = CameraAccount(_PLAN, clock)
    frame = account.receive(picture(), None)
    clock.advance(age_s)
    assert account.is_stale(frame) is is_dropped
    assert account.state().stale == int(is_dropped)


@pytest.mark.parametrize(
    ("told_s", "quality", "captured_s"),
    [
        (None, ClockQuality.RECEIVED, 0),
        (-3, ClockQuality.SOURCE, -3),
        (1, ClockQuality.SOURCE, 1),
        (60, ClockQuality.RECEIVED, 0),
    ],
)
def test_a_frame_bears_the_source_s_time_unless_that_lies_in_the_future(
    told_s, quality, captured_s
):
    clock = FakeClock()
    told_at = None if told_s is None else clock.now_at() + timedelta(seconds=told_s)
    frame = CameraAccount(_PLAN, clock).receive(picture(), told_at)
    assert frame.clock_quality is quality
    assert frame.captured_at == clock.now_at() + timedelta(seconds=captured_s)
    assert frame.received_at == clock.now_at()


def test_the_shown_rate_is_that_of_the_frames_that_came():
    clock = FakeClock()
    account = CameraAccount(_PLAN, clock)
    for _ in range(200):
        account.receive(picture(), None)
        clock.advance(0.5)
    assert account.state().fps == pytest.approx(2.0, rel=0.01)


# --- pushed frames ---------------------------------------------------------------------------------------------


def _row(running: Running) -> dict[str, object]:
    (row,) = running.get("/cameras").json()["result"]["cameras"]
    return row


def _push(running: Running, camera: str = "yard") -> None:
    answer = running.post(
        "/joint_predict",
        params={"camera": camera},
        data=calm_jpeg(),
        headers={"Content-Type": "image/jpeg"},
    )
    assert answer.status_code == 200


def test_a_camera_whose_frames_are_posted_is_watched_like_the_others(tmp_path, models):
    clock = FakeClock()
    cameras = {"yard": {"source": "push:"}}
    with running_edge(tmp_path, models, clock=clock, cameras=cameras) as running:
        assert _row(running)["state"] == "starting"
        _push(running)
        _push(running, camera="unknown")
        assert (_row(running)["state"], _row(running)["received"]) == ("watching", 1)
        clock.advance(9)
        running.service._supervisor.beat("web-loop")
        assert running.get("/troubles").json()["result"]["troubles"] == []
        clock.advance(2)
        codes = [t["code"] for t in running.get("/troubles").json()["result"]["troubles"]]
        assert "late" in codes
        _push(running)
        codes = [t["code"] for t in running.get("/troubles").json()["result"]["troubles"]]
        assert "late" not in codes


def test_more_cameras_than_a_box_can_watch_are_refused(tmp_path, models):
    cameras = {f"c{number}": {"source": "push:"} for number in range(65)}
    with (
        pytest.raises(ValueError, match="at most 64"),
        running_edge(tmp_path, models, cameras=cameras),
    ):
        pass
