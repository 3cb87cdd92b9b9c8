from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from edge.alert.deliveries import Trail
from edge.selftest.rules import Schedule, Weekday
from edge.selftest.selftest import SelfTest
from edge.selftest.store import SelfTestStore
from shared.picture.imaging import jpeg_picture
from shared.types import Frame
from tests.helpers.clock import FakeClock

_MONDAYS = Schedule(weekday=Weekday.MONDAY, at=time(10, 0), zone=ZoneInfo("UTC"))
_WEEK_S = 7 * 86_400.0


class Desk:
    """A desk whose sink gets every alert two seconds after the flame was shown."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.shown: list[Frame] = []

    def watch(self, frame: Frame, is_cloud_asked: bool) -> None:
        assert not is_cloud_asked
        self.shown.append(frame)

    def expect_test(self) -> tuple[str, ...]:
        return ("phone",)

    def trail(self, camera: str) -> Trail | None:
        if not any(frame.camera == camera for frame in self.shown):
            return None
        now_mono_s = self.clock.mono_s()
        return Trail(
            event_id=f"test-{camera}",
            opened_mono_s=now_mono_s - 1.0,
            delivered_mono_s={"phone": now_mono_s},
        )


def selftest(folder: Path, desk: Desk) -> SelfTest:
    return SelfTest(
        SelfTestStore(folder / "selftest.sqlite3"),
        ("hall", "yard"),
        _MONDAYS,
        alerts=desk,
        watch=desk.watch,
        hidden_share=lambda camera, box, shown: 0.0,
        quiet_s=60.0,
        clock=desk.clock,
    )


def live(desk: Desk, camera: str) -> Frame:
    return Frame(
        frame_id=f"live-{camera}",
        camera=camera,
        picture=jpeg_picture(np.full((240, 320, 3), 90, np.uint8)),
        captured_at=desk.clock.now_at(),
    )


def test_each_week_another_camera_is_tested_over_restarts(tmp_path: Path) -> None:
    clock = FakeClock(datetime(2026, 3, 9, 9, 59, 30, tzinfo=UTC))  # a Monday
    tested = []
    for _ in range(4):
        desk = Desk(clock)
        test = selftest(tmp_path, desk)
        test.look()
        assert test.running() is None  # not yet the hour
        clock.advance(31.0)
        test.look()
        camera = test.running()
        assert camera is not None
        for name in ("hall", "yard"):
            test.take(live(desk, name))
        clock.advance(2.0)
        test.look()
        assert test.running() is None
        (frame,) = desk.shown
        assert frame.is_test
        assert frame.camera == camera
        assert frame.frame_id != f"live-{camera}"
        tested.append(camera)
        assert all(result.is_passed for result in test.results())
        assert test.troubles() == []
        test.take(live(desk, camera))  # calm pictures follow until the event has ended
        clock.advance(66.0)
        test.look()
        test.take(live(desk, camera))
        assert len(desk.shown) == 2
        test.stop(1.0)
        clock.advance(_WEEK_S - 99.0)
    assert tested == ["hall", "yard", "hall", "yard"]
