"""The test alarm: a drawn flame takes the way of a real one and must come out as an alert. Ring: adapter (a thread).

The camera's own frames go on untouched, so that a real fire is seen also during a test: the flame is drawn into a copy
of each, marked `is_test`, which takes the same line with evidence of its own and without asking the cloud.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from edge.alert.deliveries import Trail
from edge.selftest.drawn_flame import draw_test, free_spot
from edge.selftest.rules import Schedule, TestResult, selftest_troubles
from edge.selftest.store import SelfTestStore
from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import FireError, StoreError
from shared.ids import new_id
from shared.logs import get_logger
from shared.rendered.look import FirePlace
from shared.types import Box, Frame, Picture
from shared.watch.trouble import Trouble

_TICK_S = 0.2
_FRAME_WITHIN_S = 15.0  # a camera that sends nothing for so long is not watched
_EVENT_WITHIN_S = 30.0  # evidence adds up within seconds; a slow camera needs more frames
_ALERT_WITHIN_S = 60.0  # from the start: a sink may need a second try
_CALM_S = 5.0  # beyond the quiet that ends an event
THREAD = "selftest"


class Follows(Protocol):
    """What is known of deliveries, as a test sees it."""

    def expect_test(self) -> tuple[str, ...]:
        """Forget the last test's trail; names the sinks that must get the next one's alert."""
        ...

    def trail(self, camera: str) -> Trail | None:
        """Tell how far a camera's test event has come; None before it was announced."""
        ...


@dataclass(kw_only=True)
class _Running:
    """A test that is under way."""

    camera: str
    began_at: datetime
    began_mono_s: float
    seed: int
    sinks: tuple[str, ...]
    is_cloud_asked: bool
    place: FirePlace | None = None
    first_frame_mono_s: float | None = None
    calm_until_mono_s: float | None = None
    failure: str = ""


class SelfTest:
    """Runs one test at a time; safe for use by many threads."""

    def __init__(
        self,
        store: SelfTestStore,
        cameras: Sequence[str],
        schedule: Schedule,
        *,
        alerts: Follows,
        watch: Callable[[Frame, bool], None],
        hidden_share: Callable[[str, Box, Picture], float],
        quiet_s: float,
        clock: Clock,
        beat: Callable[[str], None] = lambda thread: None,
    ) -> None:
        """Take up the results that were kept.

        Args:
            store: keeps results.
            cameras: names of those that can be tested.
            schedule: of the tests that begin by themselves.
            alerts: tells how far the alert has come.
            watch: takes a test's frame down the line; the flag asks the cloud about it, for money.
            hidden_share: tells how much of a box lies in a camera's ignored or private zones, 0…1.
            quiet_s: after so long without flame an event ends.
            clock: wall and monotonic time.
            beat: told `THREAD` each time the thread turns.
        """
        self._store = store
        self._cameras = tuple(cameras)
        self._schedule = schedule
        self._alerts = alerts
        self._watch = watch
        self._hidden_share = hidden_share
        self._quiet_s = quiet_s
        self._clock = clock
        self._beat = beat
        self._since = store.since(clock.now_at())
        self._results = {r.camera: r for r in store.results() if r.camera in self._cameras}
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)

    def start(self) -> None:
        """Begin to keep the schedule."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread; a test under way is given up without a result."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self._store.close()

    def begin(self, camera: str | None = None, *, is_cloud_asked: bool = False) -> str:
        """Begin a test, of the camera that was tested longest ago for None; gives its name.

        Raises:
            FireError(HTTP_NOT_FOUND): no such camera, or none at all.
            FireError(SELFTEST_RUNNING): another one is under way.
        """
        chosen = camera if camera is not None else self._longest_ago()
        if chosen is None or chosen not in self._cameras:
            names = ", ".join(self._cameras) or "none"
            raise FireError(ErrorCode.HTTP_NOT_FOUND, f"no camera {chosen!r}; there are {names}")
        now_at = self._clock.now_at()
        with self._lock:
            if self._running is not None and self._running.calm_until_mono_s is None:
                detail = f"camera {self._running.camera} is being tested"
                raise FireError(ErrorCode.SELFTEST_RUNNING, detail, retry_after_s=_ALERT_WITHIN_S)
            self._running = _Running(
                camera=chosen,
                began_at=now_at,
                began_mono_s=self._clock.mono_s(),
                seed=int(now_at.timestamp()),
                sinks=self._alerts.expect_test(),
                is_cloud_asked=is_cloud_asked,
            )
        get_logger().info("selftest_began", camera=chosen, cloud=is_cloud_asked)
        return chosen

    def take(self, frame: Frame) -> None:
        """Take a live frame; while its camera is tested, a copy with the flame goes down the line."""
        running = self._running
        if running is None or frame.camera != running.camera:
            return
        try:
            self._show(running, frame)
        except FireError as err:
            running.failure = err.detail
        except Exception as err:  # a test must not take down the camera that it tests
            get_logger().error("selftest_failed", camera=frame.camera, exc_info=err)
            running.failure = f"{type(err).__name__}: {err}"

    def look(self) -> None:
        """See how far a test has come, and begin one that is due; the thread does it over and over."""
        running = self._running
        if running is None:
            now_at = self._clock.now_at()
            last_at = max((r.began_at for r in self._results.values()), default=self._since)
            if self._cameras and self._schedule.is_due(now_at, last_at):
                self.begin()
        elif running.calm_until_mono_s is None:
            result = self._result(running)
            if result is not None:
                self._finish(running, result)
        elif self._clock.mono_s() >= running.calm_until_mono_s:
            self._running = None

    def running(self) -> str | None:
        """Name the camera whose test has no result yet."""
        running = self._running
        return running.camera if running and running.calm_until_mono_s is None else None

    def results(self) -> tuple[TestResult, ...]:
        """Give the last result of each camera that was tested."""
        return tuple(self._results.values())

    def troubles(self) -> list[Trouble]:
        """Name what failed or is overdue."""
        results, now_at = dict(self._results), self._clock.now_at()
        return list(selftest_troubles(self._schedule, results, self._since, now_at))

    def _longest_ago(self) -> str | None:
        untested = [camera for camera in self._cameras if camera not in self._results]
        if untested:
            return untested[0]
        return min(self._cameras, key=lambda c: self._results[c].began_at, default=None)

    def _show(self, running: _Running, frame: Frame) -> None:
        now_mono_s = self._clock.mono_s()
        picture = frame.picture
        if running.place is None:
            hidden_share = functools.partial(self._hidden_share, running.camera)
            running.place = free_spot(picture, hidden_share)
            running.first_frame_mono_s = now_mono_s
            if running.place is None:
                running.failure = "every place for the flame lies in an ignored or private zone"
                return
        if running.calm_until_mono_s is None:
            t_s = now_mono_s - running.began_mono_s
            picture = draw_test(picture, running.place, seed=running.seed, t_s=t_s)
        test_id = new_id(self._clock.now_at())
        self._watch(
            replace(frame, frame_id=test_id, picture=picture, is_test=True), running.is_cloud_asked
        )
        running.is_cloud_asked = False  # once is enough to know, and all that is paid for

    def _result(self, running: _Running) -> TestResult | None:
        """Judge a test; None while it is not decided."""
        lasts_s = self._clock.mono_s() - running.began_mono_s
        trail = self._alerts.trail(running.camera)
        missing = [s for s in running.sinks if trail is None or s not in trail.delivered_mono_s]
        why = running.failure
        if not why and running.first_frame_mono_s is None and lasts_s > _FRAME_WITHIN_S:
            why = "the camera sends no picture"
        if not why and trail is None and lasts_s > _EVENT_WITHIN_S:
            why = "the flame became no event"
        if not why and missing and lasts_s > _ALERT_WITHIN_S:
            why = f"no alert reached {', '.join(missing)}"
        if not why and (trail is None or missing):
            return None
        delivered = trail.delivered_mono_s if trail else {}
        return TestResult(
            camera=running.camera,
            began_at=running.began_at,
            is_passed=not why,
            why=why,
            event_id=trail.event_id if trail else None,
            event_s=_since(running, trail.opened_mono_s) if trail else None,
            alert_s=_since(running, max(delivered.values())) if delivered and not missing else None,
            sinks={sink: sink in delivered for sink in running.sinks},
        )

    def _finish(self, running: _Running, result: TestResult) -> None:
        """Keep the result; pictures without flame follow, so that the test's event ends as a real one does."""
        self._results[result.camera] = result
        running.calm_until_mono_s = self._clock.mono_s() + self._quiet_s + _CALM_S
        log = get_logger().info if result.is_passed else get_logger().error
        log("selftest_ended", camera=result.camera, passed=result.is_passed, why=result.why)
        try:
            self._store.save(result)
        except StoreError as err:
            get_logger().error("selftest_not_kept", detail=err.detail)

    def _run(self) -> None:
        while not self._stopping.wait(_TICK_S):
            self._beat(THREAD)
            try:
                self.look()
            except Exception as err:  # thread top: the next test must still come
                get_logger().error("selftest_failed", exc_info=err)


def _since(running: _Running, mono_s: float) -> float:
    return round(max(0.0, mono_s - running.began_mono_s), 2)
