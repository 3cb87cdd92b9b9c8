"""Delays are counted from what can be seen, false verdicts over the time in which there was nothing to see."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from models.video import Clip, Verdicts, read_clips, watch_clips


def is_red(bgr: np.ndarray) -> bool:
    return bool(bgr[:, :, 2].mean() > 128 > bgr[:, :, 1].mean())


def film(path: Path, red_from_s: float, seconds: float = 4.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    for number in range(int(seconds * 10)):
        colour = (0, 0, 255) if number / 10.0 >= red_from_s else (90, 90, 90)
        writer.write(np.full((48, 64, 3), colour, np.uint8))
    writer.release()
    return path


def test_the_delay_is_from_the_visible_onset_to_the_first_verdict(tmp_path: Path) -> None:
    clip = Clip(path=film(tmp_path / "late.avi", red_from_s=2.0), onset_s=1.0)
    measured = watch_clips([clip], is_red)
    assert measured["delay_s"] == {"late": pytest.approx(1.0, abs=0.25)}
    assert measured["false_per_minute"] == 0.0


def test_verdicts_before_the_onset_are_false_and_not_early(tmp_path: Path) -> None:
    clip = Clip(path=film(tmp_path / "early.avi", red_from_s=1.0), onset_s=3.0)
    measured = watch_clips([clip], is_red)
    assert measured["delay_s"] == {"early": 0.0}
    assert measured["false_per_minute"] == pytest.approx(60 * 10 / 3.0)


def test_a_fire_that_is_never_named_has_no_delay() -> None:
    verdicts = Verdicts(at_s=np.arange(5) / 5.0, says_fire=np.zeros(5, bool))
    assert verdicts.delay_s(0.0) is None


def test_a_clip_without_fire_has_false_verdicts_only(tmp_path: Path) -> None:
    measured = watch_clips([Clip(path=film(tmp_path / "a.avi", 2.0), onset_s=None)], is_red)
    assert measured["delay_s"] == {}
    assert measured["false_per_minute"] == pytest.approx(60 * 10 / 4.0)


def test_a_folder_of_clips_is_read_from_its_list(tmp_path: Path) -> None:
    assert read_clips(tmp_path) == []
    film(tmp_path / "a.avi", 1.0)
    listing = "file,first_fire_second\na.avi,1.5\ngone.avi,0\nb.avi,\n"
    (tmp_path / "clips.csv").write_text(listing)
    (tmp_path / "b.avi").write_bytes((tmp_path / "a.avi").read_bytes())
    assert [(c.path.name, c.onset_s) for c in read_clips(tmp_path)] == [
        ("a.avi", 1.5),
        ("b.avi", None),
    ]
