"""The last day of a box, from its score logs, as one recording of all its cameras. Ring: adapter (disk).

The logs are read while they are played: a day of eight cameras never stands in memory. Where a day holds more frames
than are wanted, the first minutes of every hour are taken, so that nights and days keep their weight.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from edge.replay.replay import Moment, Recording
from edge.replay.score_log import SUFFIX, LoggedScore, read_scores, read_times
from shared.types import Frame, MediaType, Picture

_DAY = timedelta(days=1)
_HOUR_S, _MINUTE_S = 3600.0, 60.0
_NO_PICTURE = Picture(encoded=b"", media_type=MediaType.JPEG, width_px=0, height_px=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is recorded: how many frames of how many cameras, and for how long there was one in each minute.

    `share`: of every hour that `recording` plays, 0…1.
    """

    recording: Recording
    begins_at: datetime
    frames: int
    cameras: int
    recorded_s: float
    share: float


def read_history(folder: Path, *, until: datetime, most_frames: int) -> History:
    """Find what the day before a moment left in the score logs.

    Raises:
        OSError, ValueError: a log cannot be read.
    """
    since = until - _DAY
    files = [path for path in sorted(folder.glob(f"*/*{SUFFIX}")) if _may_hold(path, since)]
    times = [_within(read_times(path), since, until) for path in files]
    frames = sum(map(len, times))
    found = np.concatenate([np.empty(0), *times])
    begins_at = datetime.fromtimestamp(found.min(), UTC) if frames else until
    stretch = _Stretch(
        files=files,
        begins_at=begins_at,
        ends_at=datetime.fromtimestamp(found.max(), UTC) if frames else until,
        played_s=_HOUR_S * min(1.0, most_frames / max(1, frames)),
    )
    return History(
        recording=Recording(
            name=str(folder),
            moments=stretch,
            length_s=stretch.second_of(stretch.ends_at),
            is_labelled=False,
            first_fire_s=None,
            is_log=True,
        ),
        begins_at=begins_at,
        frames=frames,
        cameras=len({path.parent.name for path, at in zip(files, times, strict=True) if len(at)}),
        recorded_s=_MINUTE_S * len(np.unique(found // _MINUTE_S)),
        share=stretch.played_s / _HOUR_S,
    )


def logged_moment(score: LoggedScore, at_s: float, begins_at: datetime) -> Moment:
    """Make a logged frame one of a recording; nobody can be asked about it any more."""
    return Moment(
        at_s=at_s,
        frame=Frame(
            frame_id=f"{score.camera}-{at_s:.2f}",
            camera=score.camera,
            picture=_NO_PICTURE,
            captured_at=begins_at + timedelta(seconds=at_s),
        ),
        classification=score.classification,
        ask=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """The moments between two times, of each hour the first `played_s`; what is left out takes no time either."""

    files: Sequence[Path]
    begins_at: datetime
    ends_at: datetime
    played_s: float

    def __iter__(self) -> Iterator[Moment]:
        cameras: dict[str, list[Path]] = {}
        for path in self.files:
            cameras.setdefault(path.parent.name, []).append(path)
        last_s = 0.0
        for score in heapq.merge(*map(self._scores, cameras.values()), key=lambda score: score.at):
            last_s = max(last_s, self.second_of(score.at))
            yield logged_moment(score, last_s, self.begins_at)

    def _scores(self, files: Sequence[Path]) -> Iterator[LoggedScore]:
        for path in files:
            for score in read_scores(path):
                since_s = (score.at - self.begins_at).total_seconds()
                is_wanted = self.begins_at <= score.at <= self.ends_at
                if is_wanted and since_s % _HOUR_S <= self.played_s:
                    yield score

    def second_of(self, at: datetime) -> float:
        hours, rest_s = divmod((at - self.begins_at).total_seconds(), _HOUR_S)
        return float(hours * self.played_s + min(rest_s, self.played_s))


def _may_hold(path: Path, since: datetime) -> bool:
    return path.stem >= since.astimezone(UTC).date().isoformat()


def _within(at: np.ndarray, since: datetime, until: datetime) -> np.ndarray:
    return at[(at >= since.timestamp()) & (at <= until.timestamp())]
