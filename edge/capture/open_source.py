"""Chooses how a camera is read, by its address. Ring: adapter (disk)."""

from __future__ import annotations

import stat
from pathlib import Path

from edge.capture.folder import FolderSource
from edge.capture.shot import CameraAddress, FrameSource
from edge.capture.sim import SimSource
from edge.capture.snapshot import SnapshotSource
from edge.capture.video import VideoSource
from shared.error_code import ErrorCode
from shared.errors import CameraError
from shared.types import ImageLimits


def open_source(address: CameraAddress, fps: float, limits: ImageLimits) -> FrameSource:
    """Choose how a camera is read.

    Args:
        address: rtsp://…, http(s)://… of a snapshot, /dev/videoN or N alone, a video file, a folder of pictures, or
            `sim:?seed=0&ignite_at_s=8`.
        fps: frames a second wanted; pictures between are skipped unconverted, or not asked for.
        limits: for pictures from a folder or over HTTP.

    Raises:
        CameraError(CAMERA_SOURCE_INVALID): none of these.
    """
    url = address.url
    if url.startswith("sim:"):
        return SimSource(url, fps)
    if url.startswith(("rtsp://", "rtsps://")):
        return VideoSource(address, fps, limits, is_live=True)
    if url.startswith(("http://", "https://")):
        return SnapshotSource(address, fps, limits)
    if url.isascii() and url.isdigit():
        address = CameraAddress(url=f"/dev/video{url}")
    path = Path(address.url)
    if url and path.is_dir():
        return FolderSource(path, fps, limits)
    if url and path.exists():
        is_device = stat.S_ISCHR(path.stat().st_mode)
        return VideoSource(address, fps, limits, is_live=is_device)
    raise CameraError(
        ErrorCode.CAMERA_SOURCE_INVALID,
        f"{address.shown}: no such device, file, folder or address",
    )
