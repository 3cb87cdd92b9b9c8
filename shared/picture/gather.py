"""Gather pictures for the command line: files, folders and videos, one after the other. Ring: adapter (disk)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from shared.error_code import ErrorCode
from shared.errors import CommandError, FireError, ImageError
from shared.picture.imaging import jpeg_picture, read_picture
from shared.types import ImageLimits, Picture

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".gif"})
_REMEDY = "Name a file that is there and that you may read."


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """One picture, or the reason why there is none; `at_s` is the second in a video."""

    file: Path
    at_s: float | None
    picture: Picture | FireError


def list_pictures(folder: Path) -> list[Path]:
    """List the picture files of a folder and its subfolders by name."""
    return sorted(
        p for p in folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file()
    )


def list_files(paths: Sequence[Path]) -> list[Path]:
    """Replace folders by the pictures and videos in them; what was named stays, whatever its suffix."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            suffixes = PICTURE_SUFFIXES | VIDEO_SUFFIXES
            files += sorted(
                p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file()
            )
        else:
            files.append(path)
    return files


def gather(file: Path, limits: ImageLimits, video_fps: float) -> Iterator[Gathered]:
    """Give the picture of a file, or the frames of a video at `video_fps` a second.

    A file that cannot be used gives one `Gathered` with its error, so that one bad file does not end a long run.
    """
    try:
        if file.suffix.lower() in VIDEO_SUFFIXES:
            file.open("rb").close()  # OpenCV does not tell why it cannot be read
            yield from _video(file, video_fps)
            return
        if file.stat().st_size > limits.max_bytes:
            detail = f"{file.stat().st_size} bytes, at most {limits.max_bytes}"
            raise ImageError(ErrorCode.IMAGE_TOO_MANY_BYTES, detail)
        yield Gathered(file=file, at_s=None, picture=read_picture(file.read_bytes(), limits))
    except OSError as err:
        yield Gathered(
            file=file, at_s=None, picture=CommandError(err.strerror or str(err), _REMEDY)
        )
    except FireError as err:
        yield Gathered(file=file, at_s=None, picture=err)


def _video(file: Path, video_fps: float) -> Iterator[Gathered]:
    capture = cv2.VideoCapture(str(file), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            yield Gathered(file=file, at_s=None, picture=_damaged("the video cannot be opened"))
            return
        is_empty = True
        source_fps = capture.get(cv2.CAP_PROP_FPS)
        source_fps = source_fps if 1.0 <= source_fps <= 240.0 else 25.0
        number, next_at_s = 0, 0.0
        while capture.grab():
            at_s = number / source_fps
            number += 1
            if at_s + 1e-6 < next_at_s:
                continue
            next_at_s += 1.0 / video_fps
            ok, bgr = capture.retrieve()
            if ok and bgr is not None and bgr.ndim == 3:
                is_empty = False
                picture = jpeg_picture(np.asarray(bgr, dtype=np.uint8), quality=95)
                yield Gathered(file=file, at_s=round(at_s, 3), picture=picture)
        if is_empty:
            yield Gathered(file=file, at_s=None, picture=_damaged("the video holds no picture"))
    finally:
        capture.release()


def _damaged(reason: str) -> FireError:
    return ImageError(ErrorCode.IMAGE_DAMAGED, reason)
