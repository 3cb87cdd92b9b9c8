"""Tiny video files."""

from __future__ import annotations

from pathlib import Path

import cv2

from tests.helpers.pictures import colour_bgr


def write_video(path: Path, *, frames: int = 10, fps: float = 10.0) -> Path:
    """Write a film (MJPEG in AVI) in which the first half is calm and the second burns; returns its path."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (320, 160))
    if not writer.isOpened():
        raise OSError(f"OpenCV cannot write {path}")
    for number in range(frames):
        burns = number >= frames // 2
        writer.write(colour_bgr(red=240 if burns else 90, blue=20 if burns else 120))
    writer.release()
    return path
