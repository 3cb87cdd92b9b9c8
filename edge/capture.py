"""Where frames come from: RTSP, USB, video file, folder of pictures, `sim:`. Ring: adapter (OpenCV, disk).

A source is opened, read until it ends or fails, and closed; who reads it, reconnects and keeps the newest frame is
`edge.cameras`. Frames leave as JPEG: what was scored is what can be stored, hashed and sent.
"""

from __future__ import annotations

import math
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, quote, unquote, urlsplit, urlunsplit

import cv2
import numpy as np

from shared.error_code import ErrorCode
from shared.errors import CameraError, ImageError
from shared.gather import list_pictures
from shared.imaging import ImageLimits, jpeg_picture, read_picture
from shared.logs import redact
from shared.scene import Scene, SceneSettings
from shared.types import Picture

_OPEN_TIMEOUT_MS = 5_000
_READ_TIMEOUT_MS = 5_000
_JPEG_QUALITY = 90


class FrameSource(Protocol):
    """One opened camera."""

    def pictures(self) -> Iterator[Picture]:
        """Give pictures as they come, paced by the source itself; ends when the source does.

        Raises:
            CameraError(CAMERA_UNAVAILABLE): it cannot be opened or broke.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraAddress:
    """Where a camera is, with its password kept apart; `repr` never shows the password."""

    url: str
    password: str | None = None

    def __repr__(self) -> str:
        return f"CameraAddress({redact(self.url)!r})"

    def with_password(self) -> str:
        """Give the URL as the camera wants it. Never log the result."""
        if not self.password or "://" not in self.url:
            return self.url
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        user = quote(unquote(parts.username or "admin"), safe="")
        netloc = f"{user}:{quote(self.password, safe='')}@{host}"
        return urlunsplit(parts._replace(netloc=netloc))


def open_source(address: CameraAddress, fps: float, limits: ImageLimits) -> FrameSource:
    """Choose how a camera is read, by its address.

    Args:
        address: rtsp://…, /dev/videoN, a video file, a folder of pictures, or `sim:?seed=0&ignite_at_s=8`.
        fps: frames a second wanted; pictures between are skipped undecoded where the source allows.
        limits: for pictures from a folder.

    Raises:
        CameraError(CAMERA_SOURCE_INVALID): none of these.
    """
    url = address.url
    if url.startswith("sim:"):
        return SimSource(url, fps)
    if url.startswith(("rtsp://", "rtsps://")):
        return VideoSource(address, fps, is_live=True)
    path = Path(url)
    if url and path.is_dir():
        return FolderSource(path, fps, limits)
    if url and path.exists():
        is_device = stat.S_ISCHR(path.stat().st_mode)
        return VideoSource(address, fps, is_live=is_device)
    raise CameraError(
        ErrorCode.CAMERA_SOURCE_INVALID, f"{redact(url)}: no such device, file, folder or address"
    )


class SimSource:
    """The rendered scene in which a fire starts; needs no camera and no data."""

    def __init__(self, url: str, fps: float) -> None:
        """Read the scene's settings from the URL.

        Raises:
            CameraError(CAMERA_SOURCE_INVALID): an unknown or impossible setting.
        """
        self._scene = Scene(sim_settings(url))
        self._period_s = 1.0 / fps

    def pictures(self) -> Iterator[Picture]:
        """Render in real time, from the scene's second 0."""
        started_s = time.monotonic()
        while True:
            at_s = time.monotonic() - started_s
            yield jpeg_picture(self._scene.render(at_s).bgr_hwc_u8, _JPEG_QUALITY)
            time.sleep(max(0.0, self._period_s - (time.monotonic() - started_s - at_s)))


def sim_settings(url: str) -> SceneSettings:
    """Read `sim:?seed=0&ignite_at_s=8&growth_s=30&width_px=1280&height_px=720`.

    Raises:
        CameraError(CAMERA_SOURCE_INVALID)
    """
    kinds: dict[str, type[int] | type[float]] = {
        "seed": int,
        "ignite_at_s": float,
        "growth_s": float,
        "width_px": int,
        "height_px": int,
    }
    try:
        given = {
            key: kinds[key](values[-1]) for key, values in parse_qs(urlsplit(url).query).items()
        }
        settings = SceneSettings(**given)  # type: ignore[arg-type] # each key has its own kind
    except (KeyError, ValueError) as err:
        detail = f"{url[:80]}: {err}; known settings are {', '.join(kinds)}"
        raise CameraError(ErrorCode.CAMERA_SOURCE_INVALID, detail) from err
    if not (
        64 <= settings.width_px <= 3840
        and 64 <= settings.height_px <= 2160
        and settings.growth_s > 0
        and math.isfinite(settings.growth_s + settings.ignite_at_s)
    ):
        raise CameraError(
            ErrorCode.CAMERA_SOURCE_INVALID, f"{url[:80]}: size or growth out of range"
        )
    return settings


class FolderSource:
    """Pictures of a folder in name order, once, at the wanted rate; what is no picture is skipped."""

    def __init__(self, folder: Path, fps: float, limits: ImageLimits) -> None:
        """Keep where to look."""
        self._folder = folder
        self._period_s = 1.0 / fps
        self._limits = limits

    def pictures(self) -> Iterator[Picture]:
        """Read one file after the other."""
        for path in list_pictures(self._folder):
            try:
                if path.stat().st_size > self._limits.max_bytes:
                    continue
                yield read_picture(path.read_bytes(), self._limits)
            except (OSError, ImageError):
                continue
            time.sleep(self._period_s)


class VideoSource:
    """RTSP over TCP, a USB device, or a video file, read by OpenCV's FFmpeg or V4L2."""

    def __init__(self, address: CameraAddress, fps: float, *, is_live: bool) -> None:
        """Keep how to open it; a file is played at its own speed."""
        self._address = address
        self._fps = fps
        self._is_live = is_live

    def pictures(self) -> Iterator[Picture]:
        """Open, read, skip to the wanted rate, encode."""
        capture = self._open()
        try:
            yield from self._read(capture)
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        params = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            _OPEN_TIMEOUT_MS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            _READ_TIMEOUT_MS,
        ]
        url = self._address.with_password()
        is_device = url.startswith("/dev/")
        capture = (
            cv2.VideoCapture(url, cv2.CAP_V4L2)
            if is_device
            else cv2.VideoCapture(url, cv2.CAP_FFMPEG, params)
        )
        if not capture.isOpened():
            capture.release()
            raise CameraError(
                ErrorCode.CAMERA_UNAVAILABLE, f"{redact(self._address.url)} cannot be opened"
            )
        return capture

    def _read(self, capture: cv2.VideoCapture) -> Iterator[Picture]:
        source_fps = capture.get(cv2.CAP_PROP_FPS)
        source_fps = source_fps if 1.0 <= source_fps <= 240.0 else 25.0
        wanted_period_s = 1.0 / self._fps
        started_s, number, next_at_s = time.monotonic(), 0, 0.0
        while capture.grab():
            at_s = time.monotonic() - started_s if self._is_live else number / source_fps
            number += 1
            if at_s < next_at_s:
                continue
            next_at_s = at_s + wanted_period_s
            ok, bgr = capture.retrieve()
            if not ok or bgr is None or bgr.ndim != 3 or min(bgr.shape[:2]) < 16:
                continue
            yield jpeg_picture(np.asarray(bgr, dtype=np.uint8), _JPEG_QUALITY)
            if not self._is_live:
                time.sleep(max(0.0, next_at_s - (time.monotonic() - started_s)))
        if self._is_live:
            raise CameraError(
                ErrorCode.CAMERA_UNAVAILABLE, f"{redact(self._address.url)} stopped sending"
            )
