"""Cameras: a thread that reads and keeps the newest frame, one that takes it down the line. Ring: adapter (threads).

The newest frame wins and what was skipped is counted: a late camera must not make the line later and later. A reader
that hangs in a library cannot be ended; it is given up and another one takes its place, a bounded number of times.
"""

from __future__ import annotations

import functools
import random
import threading
from collections.abc import Callable

from edge.capture.account import CameraAccount
from edge.capture.shot import FrameSource, Pace
from edge.capture.state import MOST_HANGING, CameraState
from edge.capture.view import View
from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import CameraError, FireError
from shared.logs import get_logger
from shared.types import Frame, Picture
from shared.watch.heartbeat import Watchman

_FIRST_PAUSE_S = 1.0  # shorter asks a dead camera too often; longer loses frames at a hiccup
_LONGEST_PAUSE_S = 30.0  # a camera that comes back is seen again within this
_STEADY_AFTER_S = 30.0  # a source that ran this long has earned a short pause again
_READER_SILENT_S = 15.0  # above the longest wait of a healthy read: 5 s to open and 5 s to read
_LINE_SILENT_S = 20.0  # a frame takes some 20 ms; a machine under full load some seconds
_TAKE_S = 1.0


class NewestSlot:
    """Holds one frame; a newer one replaces it and the older counts as skipped."""

    def __init__(self) -> None:
        """Start empty."""
        self._ready = threading.Condition()
        self._frame: Frame | None = None
        self._is_closed = False
        self.skipped = 0

    def put(self, frame: Frame) -> None:
        """Replace the frame."""
        with self._ready:
            self.skipped += self._frame is not None
            self._frame = frame
            self._ready.notify()

    def take(self, timeout_s: float) -> Frame | None:
        """Wait for a frame; None when none came in time, or the slot is closed and empty."""
        with self._ready:
            self._ready.wait_for(lambda: self._frame is not None or self._is_closed, timeout_s)
            frame, self._frame = self._frame, None
            return frame

    @property
    def is_over(self) -> bool:
        """Tell whether the slot is closed and empty."""
        with self._ready:
            return self._is_closed and self._frame is None

    def close(self) -> None:
        """Wake whoever waits; a frame that is there is still handed out."""
        with self._ready:
            self._is_closed = True
            self._ready.notify_all()


class _Reader:
    """One reading thread and its pace; given up as a whole."""

    def __init__(self, name: str, read: Callable[[Pace], None], beat: Callable[[], None]) -> None:
        self.pace = Pace(beat)
        self.thread = threading.Thread(target=read, args=(self.pace,), name=name, daemon=True)


class Camera:
    """One camera: a reader thread and a line thread. A camera that fails or hangs touches no other."""

    def __init__(
        self,
        account: CameraAccount,
        *,
        open_source: Callable[[], FrameSource],
        work: Callable[[Frame], None],
        clock: Clock,
        watchman: Watchman,
        on_end: Callable[[str], None] = lambda name: None,
    ) -> None:
        """Keep how to open it and what to do with a frame; `on_end` is told when a file or folder is at its end."""
        self._account = account
        self._name = account.plan.name
        self._open_source = open_source
        self._work = work
        self._clock = clock
        self._watchman = watchman
        self._on_end = on_end
        self._slot = NewestSlot()
        self._view = View(clock)
        self._reading, self._line = f"read-{self._name}", f"line-{self._name}"
        self._hanging: list[_Reader] = []
        self._reader = self._new_reader()
        self._line_thread = threading.Thread(
            target=self._work_until_closed, name=self._line, daemon=True
        )

    def start(self) -> None:
        """Begin to read."""
        self._watchman.watch(self._reading, allowed_s=_READER_SILENT_S, restart=self.replace_reader)
        self._watchman.watch(self._line, allowed_s=_LINE_SILENT_S, is_vital=True)
        self._reader.thread.start()
        self._line_thread.start()

    def end(self) -> None:
        """Ask both threads to end, and do not wait for them."""
        self._reader.pace.end()
        self._slot.close()

    def stop(self, timeout_s: float) -> None:
        """End both threads; a read that hangs is left to its own timeout (the threads are daemons)."""
        self.end()
        for thread in (self._reader.thread, self._line_thread):
            thread.join(timeout_s)

    def replace_reader(self) -> None:
        """Give up a reader that hangs, and start another.

        Raises:
            CameraError(CAMERA_UNAVAILABLE): too many of its readers hang already.
        """
        if self._count_hanging() >= MOST_HANGING:
            detail = f"{MOST_HANGING} readers hang; no more are started before one of them ends"
            raise CameraError(ErrorCode.CAMERA_UNAVAILABLE, detail)
        self._reader.pace.end()
        self._hanging.append(self._reader)
        self._account.count_replaced()
        self._account.complain("a read hangs; the reader was replaced")
        self._reader = self._new_reader()
        self._reader.thread.start()

    def state(self) -> CameraState:
        """Tell how the camera is."""
        return self._account.state(
            skipped=self._slot.skipped, hanging=self._count_hanging(), view=self._view.findings()
        )

    def learn_view_anew(self) -> None:
        """Take what the camera shows from now on as its usual view."""
        self._view.learn_anew()

    def _new_reader(self) -> _Reader:
        return _Reader(
            self._reading,
            self._read_until_ended,
            functools.partial(self._watchman.beat, self._reading),
        )

    def _count_hanging(self) -> int:
        self._hanging = [reader for reader in self._hanging if reader.thread.is_alive()]
        return len(self._hanging)

    def _read_until_ended(self, pace: Pace) -> None:
        pause_s = _FIRST_PAUSE_S
        while pace.goes_on():
            opened_mono_s = self._clock.mono_s()
            try:
                self._read_once(pace)
            except FireError as err:
                self._complain(pace, err.detail)
            # Thread top: a camera that goes mad must not take the service down.
            except Exception as err:
                get_logger().error("camera_failed", camera=self._name, exc_info=err)
                self._complain(pace, f"{type(err).__name__}: {err}")
            else:
                self._end(pace)
                return
            if self._clock.mono_s() - opened_mono_s > _STEADY_AFTER_S:
                pause_s = _FIRST_PAUSE_S
            pace.wait(pause_s * random.uniform(0.8, 1.2))
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)

    def _read_once(self, pace: Pace) -> None:
        source = self._open_source()
        self._account.opened(is_live=source.is_live)
        came = False
        for shot in source.shots(pace):
            if not pace.goes_on():  # this reader was given up: its late picture is nobody's
                return
            came = True
            self._slot.put(self._account.receive(shot.picture, shot.captured_at, shot.took_s))
        if not came:  # a folder that is filled later, a file that is being written: not the end of a recording
            raise CameraError(ErrorCode.CAMERA_UNAVAILABLE, "no picture in it can be read")

    def _end(self, pace: Pace) -> None:
        if pace.goes_on():
            self._account.end()
            self._watchman.unwatch(self._reading)
            get_logger().info("camera_ended", camera=self._name)
            self._slot.close()

    def _complain(self, pace: Pace, detail: str) -> None:
        if pace.goes_on():
            self._account.complain(detail)

    def _work_until_closed(self) -> None:
        while not self._slot.is_over:
            self._watchman.beat(self._line)
            frame = self._slot.take(_TAKE_S)
            if frame is not None and not self._account.is_stale(frame):
                self._take_down_the_line(frame)
        self._watchman.unwatch(self._line)
        self._on_end(self._name)

    def _take_down_the_line(self, frame: Frame) -> None:
        try:
            self._view.look(frame.picture)
            self._work(frame)
        except FireError as err:
            get_logger().warning(
                "frame_failed", camera=self._name, err_no=err.code.row.number, detail=err.detail
            )
        except Exception as err:  # thread top: one bad frame must not end the camera
            get_logger().error("frame_failed", camera=self._name, exc_info=err)


class PushedCamera:
    """A camera whose frames are posted to us; it has no thread, and is late when nobody posts."""

    def __init__(self, account: CameraAccount, clock: Clock) -> None:
        """Wait for the first frame."""
        self._account = account
        self._view = View(clock)

    def start(self) -> None:
        """Do nothing: whoever posts begins."""

    def end(self) -> None:
        """Do nothing: the server stops taking frames."""

    def stop(self, timeout_s: float) -> None:
        """Do nothing, likewise."""

    def take(self, picture: Picture) -> Frame:
        """Make a frame of a posted picture."""
        self._view.look(picture)
        return self._account.receive(picture, None)

    def state(self) -> CameraState:
        """Tell how the camera is."""
        return self._account.state(view=self._view.findings())

    def learn_view_anew(self) -> None:
        """Take what the camera shows from now on as its usual view."""
        self._view.learn_anew()
