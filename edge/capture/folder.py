"""A folder of pictures as a camera. Ring: adapter (disk)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from edge.capture.shot import Pace, Shot
from shared.errors import ImageError
from shared.picture.gather import list_pictures
from shared.picture.imaging import read_picture
from shared.types import ImageLimits


class FolderSource:
    """Pictures of a folder in name order, once, at the wanted rate; what is no picture is skipped.

    The files' times are the capture times where they grow from picture to picture; else they tell when somebody
    copied or unpacked the folder, and are not believed.
    """

    is_live = False

    def __init__(self, folder: Path, fps: float, limits: ImageLimits) -> None:
        """Keep where to look."""
        self._folder = folder
        self._period_s = 1.0 / fps
        self._limits = limits

    def shots(self, pace: Pace) -> Iterator[Shot]:
        """Read one file after the other."""
        paths = list_pictures(self._folder)
        has_times = _times_grow(paths)
        for path in paths:
            if not pace.goes_on():
                return
            asked_mono_s = time.monotonic()
            try:
                status = path.stat()
                if status.st_size > self._limits.max_bytes:
                    continue
                picture = read_picture(path.read_bytes(), self._limits)
            except (OSError, ImageError):
                continue
            taken_at = datetime.fromtimestamp(status.st_mtime, UTC) if has_times else None
            took_s = time.monotonic() - asked_mono_s
            yield Shot(picture=picture, took_s=took_s, captured_at=taken_at)
            pace.wait(self._period_s)


def _times_grow(paths: Sequence[Path]) -> bool:
    try:
        times = [path.stat().st_mtime for path in paths]
    except OSError:
        return False
    return len(times) > 1 and all(earlier < later for earlier, later in pairwise(times))
