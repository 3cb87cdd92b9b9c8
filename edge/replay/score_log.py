"""Every frame's two probabilities, kept small, so that a policy can be tried on last week's days. Ring: adapter (disk).

One file a camera and day, named `<camera>/<YYYY-MM-DD>.scores`: a header and records of 8 bytes. Two frames a second
make 1.4 MB a day and camera. Old days go when there are too many; a full disk costs records, never a frame.
"""

from __future__ import annotations

import math
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.logs import get_logger
from shared.types import Classification

_MAGIC = b"EMBSCOR1"
_RECORD = np.dtype([("centiseconds", "<u4"), ("fire", "<i2"), ("smoke", "<i2")])
_READ_RECORDS = 4096  # at once: a day of eight cameras is never in memory
_LOGIT_STEPS = 1000.0  # a logit of ±30 in thousandths fits into 16 bits
_MOST_WAITING = 100_000  # 64 cameras at 20 frames a second for over a minute; above, while a disk hangs, the newest go
_MOST_CAMERAS = 64  # what a box is rated for
SUFFIX = ".scores"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedScore:
    """One frame of the past."""

    camera: str
    at: datetime
    classification: Classification


class ScoreLog:
    """Writes the log; safe for use by many threads. Errors of the disk are told once and cost only records.

    `note` only remembers, so that no camera ever waits for the disk; who calls `flush` writes, once a minute. A crash
    loses what waited.
    """

    def __init__(self, folder: Path, *, keep_days: int) -> None:
        """Keep where to write."""
        self.folder = folder
        self._keep_days = keep_days
        self._lock = threading.Lock()
        self._writing = threading.Lock()  # taken before the other one, and held over the disk
        self._waiting: dict[Path, list[bytes]] = {}
        self._count = 0
        self._cameras: set[str] = set()
        self._pruned: date | None = None
        self._is_broken = False

    def note(
        self, camera: str | None, captured_at: datetime, classification: Classification
    ) -> None:
        """Take in one frame of a camera; microseconds, whatever the disk does."""
        if camera is None:
            return
        at = captured_at.astimezone(UTC)
        path = self.folder / camera / f"{at.date().isoformat()}{SUFFIX}"
        record = _pack(at, classification)
        with self._lock:
            if self._count < _MOST_WAITING and self._is_known(camera):
                self._waiting.setdefault(path, []).append(record)
                self._count += 1

    def flush(self) -> None:
        """Write what waits."""
        with self._writing:
            with self._lock:
                waiting, self._waiting, self._count = self._waiting, {}, 0
            for path, records in waiting.items():
                self._write(path, records)

    def prune(self, today: date) -> None:
        """Let the oldest days go; `today` by a clock that no setting moves, or the newest would go, too."""
        if today == self._pruned:
            return
        self._pruned = today
        oldest = (today - timedelta(days=self._keep_days)).isoformat()
        for path in self.folder.glob(f"*/*{SUFFIX}"):
            if path.stem < oldest:
                path.unlink(missing_ok=True)

    def _is_known(self, camera: str) -> bool:
        """Camera names come with posts, too: the first ones are logged, a flood of others is not."""
        if len(self._cameras) < _MOST_CAMERAS:
            self._cameras.add(camera)
        return camera in self._cameras

    def _write(self, path: Path, records: list[bytes]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                if file.tell() == 0:
                    file.write(_MAGIC)
                elif torn := (file.tell() - len(_MAGIC)) % _RECORD.itemsize:
                    file.truncate(file.tell() - torn)  # a record that a crash cut shifts no other
                file.write(b"".join(records))
        except OSError as err:
            if not self._is_broken:
                get_logger().error("score_log_failed", path=str(path), detail=str(err))
            self._is_broken = True
        else:
            self._is_broken = False


def is_score_log(path: Path) -> bool:
    """Tell whether a file is such a log, by its name."""
    return path.suffix == SUFFIX


def read_scores(path: Path) -> Iterator[LoggedScore]:
    """Read one file in the order it was written; a record that was cut at the end is left out.

    Raises:
        OSError: cannot be read.
        ValueError: not a score log.
    """
    midnight = _midnight(path)
    for records in _read_blocks(path):
        for centiseconds, fire, smoke in records.tolist():
            yield LoggedScore(
                camera=path.parent.name,
                at=midnight + timedelta(milliseconds=10 * centiseconds),
                classification=Classification(fire=_probability(fire), smoke=_probability(smoke)),
            )


def read_times(path: Path) -> NDArray[np.float64]:
    """Read only when the frames of one file were, in seconds since the epoch, shape (N,).

    Raises:
        OSError, ValueError: as `read_scores`.
    """
    blocks = [records["centiseconds"] / 100.0 for records in _read_blocks(path)]
    return _midnight(path).timestamp() + np.concatenate([np.empty(0), *blocks])


def _midnight(path: Path) -> datetime:
    return datetime.combine(date.fromisoformat(path.stem), datetime.min.time(), UTC)


def _read_blocks(path: Path) -> Iterator[NDArray[Any]]:
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError(f"{path} is not a score log")
        while raw := file.read(_READ_RECORDS * _RECORD.itemsize):
            yield np.frombuffer(raw, _RECORD, count=len(raw) // _RECORD.itemsize)


def _pack(at: datetime, classification: Classification) -> bytes:
    since_midnight = at - datetime.combine(at.date(), datetime.min.time(), UTC)
    centiseconds = int(since_midnight.total_seconds() * 100)
    return struct.pack(
        "<Ihh", centiseconds, _logit(classification.fire), _logit(classification.smoke)
    )


def _logit(probability: float) -> int:
    bounded = min(max(probability, 1e-13), 1.0 - 1e-13) if math.isfinite(probability) else 0.5
    return round(_LOGIT_STEPS * math.log(bounded / (1.0 - bounded)))


def _probability(steps: int) -> float:
    return 1.0 / (1.0 + math.exp(-steps / _LOGIT_STEPS))
