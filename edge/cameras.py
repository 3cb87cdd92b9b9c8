"""Readers: one thread a camera that keeps the newest frame, one that takes it down the line. Ring: adapter (threads).

The newest frame wins and what was skipped is counted: a late camera must not make the line later and later.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from edge.camera_state import CameraState
from shared.clock import Clock
from shared.errors import FireError
from shared.ids import new_id
from shared.logs import get_logger
from shared.types import Frame, Picture

_FIRST_PAUSE_S = (
    1.0  # below this a dead camera is asked too often; above, a short hiccup costs frames
)
_LONGEST_PAUSE_S = 30.0  # a camera that comes back is seen again within this
_STEADY_AFTER_S = 30.0  # a source that ran this long has earned a short pause again


class Pictures(Protocol):
    """An opened source."""

    def pictures(self) -> Iterator[Picture]:
        """Give pictures until the source ends; raises CameraError."""
        ...


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

    def take(self) -> Frame | None:
        """Wait for a frame; None once the slot is closed and empty."""
        with self._ready:
            self._ready.wait_for(lambda: self._frame is not None or self._is_closed)
            frame, self._frame = self._frame, None
            return frame

    def close(self) -> None:
        """Wake whoever waits; a frame that is there is still handed out."""
        with self._ready:
            self._is_closed = True
            self._ready.notify_all()


class Camera:
    """One camera: a reader thread and a worker thread. A camera that fails or hangs touches no other."""

    def __init__(
        self,
        name: str,
        *,
        open_source: Callable[[], Pictures],
        work: Callable[[Frame], None],
        clock: Clock,
        on_end: Callable[[str], None] = lambda name: None,
    ) -> None:
        """Keep how to open it and what to do with a frame; `on_end` is told when a file or folder is at its end."""
        self._name = name
        self._open_source = open_source
        self._work = work
        self._clock = clock
        self._on_end = on_end
        self._slot = NewestSlot()
        self._stopping = threading.Event()
        self._last_frame_mono_s: float | None = None
        self._trouble: str | None = None
        self._has_ended = False
        self._threads = (
            threading.Thread(target=self._read_until_stopped, name=f"read-{name}", daemon=True),
            threading.Thread(target=self._work_until_closed, name=f"line-{name}", daemon=True),
        )

    def start(self) -> None:
        """Begin to read."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float) -> None:
        """Ask both threads to end; a read that hangs is left to its own timeout (the threads are daemons)."""
        self._stopping.set()
        self._slot.close()
        for thread in self._threads:
            thread.join(timeout_s)

    def state(self) -> CameraState:
        """Tell how the camera is."""
        return CameraState(
            name=self._name,
            last_frame_mono_s=self._last_frame_mono_s,
            trouble=self._trouble,
            skipped=self._slot.skipped,
            has_ended=self._has_ended,
        )

    def _read_until_stopped(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            opened_mono_s = self._clock.mono_s()
            try:
                self._read_once()
            except FireError as err:
                self._complain(err.detail)
            except (
                Exception
            ) as err:  # thread top: a camera that goes mad must not take the service down
                get_logger().error("camera_failed", camera=self._name, exc_info=err)
                self._complain(str(err))
            else:
                self._end()
                return
            if self._clock.mono_s() - opened_mono_s > _STEADY_AFTER_S:
                pause_s = _FIRST_PAUSE_S
            self._stopping.wait(pause_s * random.uniform(0.8, 1.2))
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)

    def _read_once(self) -> None:
        for picture in self._open_source().pictures():
            if self._stopping.is_set():
                return
            now_at = self._clock.now_at()
            self._last_frame_mono_s = self._clock.mono_s()
            if self._trouble is not None:
                get_logger().info("camera_back", camera=self._name)
                self._trouble = None
            self._slot.put(
                Frame(
                    frame_id=new_id(now_at), camera=self._name, picture=picture, captured_at=now_at
                )
            )

    def _end(self) -> None:
        if not self._stopping.is_set():
            self._has_ended = True
            get_logger().info("camera_ended", camera=self._name)
        self._slot.close()

    def _complain(self, detail: str) -> None:
        if self._trouble is None:
            get_logger().warning("camera_lost", camera=self._name, detail=detail)
        self._trouble = detail

    def _work_until_closed(self) -> None:
        while (frame := self._slot.take()) is not None:
            try:
                self._work(frame)
            except FireError as err:
                get_logger().warning(
                    "frame_failed", camera=self._name, err_no=err.code.row.number, detail=err.detail
                )
            except Exception as err:  # thread top: one bad frame must not end the camera
                get_logger().error("frame_failed", camera=self._name, exc_info=err)
        self._on_end(self._name)
