"""RTSP over TCP, USB devices and video files as cameras. Ring: adapter (OpenCV: FFmpeg, V4L2).

OpenCV's FFmpeg is chosen over PyAV: both take 3.0 ms of one core to decode a 720p H.264 frame, and PyAV's wheels carry
encoders under the GPL.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.capture.rtsp_probe import sent_elsewhere, why_no_stream
from edge.capture.shot import JPEG_QUALITY, CameraAddress, Pace, Shot
from shared.command.checkup import NAME_UNKNOWN
from shared.error_code import ErrorCode
from shared.errors import CameraError
from shared.picture.imaging import jpeg_picture
from shared.types import ImageLimits

_OPEN_TIMEOUT_MS = 5_000
_READ_TIMEOUT_MS = 5_000
_LEAST_SIDE_PX = 16
_DEVICES = "/dev/"
_IN_MEMORY = "/dev/shm/"  # noqa: S108 # files on a disk in memory are none
_STREAMS = "rtsp://"
_MOST_USELESS = 20  # frames in a row; a stream that recovers does so with its next key frame, every 10 s or sooner


class VideoSource:
    """A stream, device or file; a file is played at its own speed."""

    def __init__(
        self, address: CameraAddress, fps: float, limits: ImageLimits, *, is_live: bool
    ) -> None:
        """Keep how to open it."""
        self.is_live = is_live
        self._address = address
        self._period_s = 1.0 / fps
        self._limits = limits
        self._useless = 0

    def shots(self, pace: Pace) -> Iterator[Shot]:
        """Open, read, skip to the wanted rate, encode."""
        capture = self._open()
        try:
            read = self._read_live if self.is_live else self._play
            yield from read(capture, pace)
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        params = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            _OPEN_TIMEOUT_MS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            _READ_TIMEOUT_MS,
            cv2.CAP_PROP_N_THREADS,
            1,  # more decode no faster at a camera's rate, but hold frames back and take memory
        ]
        self._refuse_redirect()
        url = self._address.with_password()
        try:
            capture = (
                cv2.VideoCapture(url, cv2.CAP_V4L2)
                if _is_device(url)
                else cv2.VideoCapture(url, cv2.CAP_FFMPEG, params)
            )
        except cv2.error as err:
            raise self._unavailable(f"cannot be opened: {err.err}") from err
        if not capture.isOpened():
            capture.release()
            raise self._unavailable(f"cannot be opened{_why_not(self._address)}")
        return capture

    def _refuse_redirect(self) -> None:
        if not self._address.url.startswith(_STREAMS):
            return
        try:
            where = sent_elsewhere(self._address.bare())
        except socket.gaierror as err:
            raise self._unavailable(f"cannot be opened: {NAME_UNKNOWN}") from err
        if where:
            raise self._unavailable(f"sends us on to {where}; if that is right, name that address")

    def _read_live(self, capture: cv2.VideoCapture, pace: Pace) -> Iterator[Shot]:
        next_mono_s = 0.0
        while pace.goes_on():
            if not capture.grab():
                raise self._unavailable("stopped sending")
            now_mono_s = time.monotonic()
            if now_mono_s < next_mono_s:
                continue
            # From the moment that was planned, not from this one: at 10 frames a second 3 wanted ones stay 3.
            next_mono_s = max(next_mono_s, now_mono_s - self._period_s) + self._period_s
            if (bgr := self._retrieve(capture)) is not None:
                picture = jpeg_picture(bgr, JPEG_QUALITY)
                yield Shot(picture=picture, took_s=time.monotonic() - now_mono_s)

    def _play(self, capture: cv2.VideoCapture, pace: Pace) -> Iterator[Shot]:
        source_fps = capture.get(cv2.CAP_PROP_FPS)
        source_fps = source_fps if 1.0 <= source_fps <= 240.0 else 25.0
        begun_at = self._begun_at(capture.get(cv2.CAP_PROP_FRAME_COUNT) / source_fps)
        started_mono_s, number, next_at_s = time.monotonic(), 0, 0.0
        while pace.goes_on() and capture.grab():
            at_s = number / source_fps
            number += 1
            if at_s < next_at_s:
                continue
            next_at_s = at_s + self._period_s
            grabbed_mono_s = time.monotonic()
            if (bgr := self._retrieve(capture)) is not None:
                picture = jpeg_picture(bgr, JPEG_QUALITY)
                took_s = time.monotonic() - grabbed_mono_s
                taken_at = begun_at + timedelta(seconds=at_s)
                yield Shot(picture=picture, took_s=took_s, captured_at=taken_at)
            pace.wait(next_at_s - (time.monotonic() - started_mono_s))

    def _begun_at(self, lasts_s: float) -> datetime:
        """Tell when a recording began: a file's time is when its last frame was written."""
        ended_at = datetime.fromtimestamp(Path(self._address.url).stat().st_mtime, UTC)
        return ended_at - timedelta(seconds=lasts_s if 0 < lasts_s < 1e7 else 0.0)

    def _retrieve(self, capture: cv2.VideoCapture) -> NDArray[np.uint8] | None:
        """Convert the frame that was grabbed to BGR, shape (H, W, 3); None when it cannot be used.

        Raises:
            CameraError(CAMERA_UNAVAILABLE): many in a row could not.
        """
        try:
            ok, pixels = capture.retrieve()
            bgr = _as_bgr(np.asarray(pixels)) if ok else None
            problem = "that cannot be decoded" if bgr is None else self._problem(bgr)
        except cv2.error as err:
            bgr, problem = None, f"that OpenCV refuses: {err.err}"
        if problem is None:
            self._useless = 0
            return bgr
        self._useless += 1
        if self._useless >= _MOST_USELESS:
            raise self._unavailable(f"sends frames {problem}")
        return None

    def _problem(self, bgr: NDArray[np.uint8]) -> str | None:
        height_px, width_px = bgr.shape[:2]
        is_fine = (
            min(width_px, height_px) >= _LEAST_SIDE_PX
            and width_px * height_px <= self._limits.max_pixels
        )
        return None if is_fine else f"of {width_px} x {height_px} pixels"

    def _unavailable(self, what: str) -> CameraError:
        return CameraError(ErrorCode.CAMERA_UNAVAILABLE, f"{self._address.shown} {what}")


def _is_device(url: str) -> bool:
    return url.startswith(_DEVICES) and not url.startswith(_IN_MEMORY)


def _why_not(address: CameraAddress) -> str:
    """Say what the system tells of a device that OpenCV cannot open, or the server of a stream; nothing of a file."""
    if address.url.startswith(_STREAMS):
        return f": {why_no_stream(address.bare())}"
    if not _is_device(address.url):
        return ""
    try:
        os.close(os.open(address.url, os.O_RDWR | os.O_NONBLOCK))
    except PermissionError:
        return ": the service may not read it; add its user to the group `video`"
    except OSError as err:
        return f": {err.strerror}"
    return ": it gives no pictures, or another program uses it"


def _as_bgr(pixels: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Give three channels; devices may deliver one, or raw data that is no picture."""
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or 0 in pixels.shape:
        return None
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    return pixels if pixels.shape[2] == 3 else None
