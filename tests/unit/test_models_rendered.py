"""What training draws by itself: look-alikes change no label, rendered fires stand where their box says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from models.data import Truth
from models.lookalikes import add_lookalike
from models.rendered import render_over, render_scene, sky, small_flame

GREY = np.full((192, 288, 3), 90, np.uint8)


def truth(fire: float = 0.0, *, boxes: tuple[tuple[float, ...], ...] = (), known: bool = True):
    return Truth(
        present=(fire, 0.0),
        boxes_xyxy=np.asarray(boxes, np.float32).reshape(-1, 4),
        box_labels=np.zeros(len(boxes), np.int64),
        boxes_known=(known, True),
    )


@pytest.mark.parametrize("seed", range(40))
def test_a_lookalike_changes_the_picture_and_repeats_from_its_seed(seed: int) -> None:
    drawn = add_lookalike(GREY, truth(), np.random.default_rng(seed))
    assert drawn.shape == GREY.shape
    assert drawn.dtype == np.uint8
    assert np.abs(drawn.astype(int) - GREY).max() > 0
    assert np.array_equal(drawn, add_lookalike(GREY, truth(), np.random.default_rng(seed)))


@pytest.mark.parametrize("seed", range(60))
def test_a_fire_with_a_box_is_still_there_after_a_lookalike(seed: int) -> None:
    box = (20.0, 20.0, 268.0, 172.0)
    flames = GREY.copy()
    noise = np.random.default_rng(7).integers(0, 255, (152, 248, 3))
    flames[20:172, 20:268] = noise
    drawn = add_lookalike(flames, truth(1.0, boxes=(box,)), np.random.default_rng(seed))
    before = cv2.cvtColor(flames, cv2.COLOR_BGR2GRAY)[20:172, 20:268].ravel()
    after = cv2.cvtColor(drawn, cv2.COLOR_BGR2GRAY)[20:172, 20:268].ravel()
    assert np.corrcoef(before, after)[0, 1] > 0.6


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_put_into_a_picture_whose_fire_has_no_box(seed: int) -> None:
    drawn = add_lookalike(GREY, truth(1.0, known=False), np.random.default_rng(seed))
    # Evening and haze vary slowly over the picture; a thing or a lamp would be a step.
    grey = cv2.cvtColor(drawn, cv2.COLOR_BGR2GRAY).astype(int)
    assert max(np.abs(np.diff(grey, axis=0)).max(), np.abs(np.diff(grey, axis=1)).max()) <= 4


@pytest.mark.parametrize("seed", range(30))
def test_a_small_flame_is_the_brightest_place_of_its_picture_and_inside_its_box(seed: int) -> None:
    frame = small_flame(GREY, np.random.default_rng(seed))
    assert frame.smoke_xyxy is None
    assert frame.fire_xyxy is not None
    left, top, right, bottom = frame.fire_xyxy
    heat = frame.bgr_hwc_u8[..., 2].astype(int) + frame.bgr_hwc_u8[..., 1]
    row, col = np.unravel_index(int(heat.argmax()), heat.shape)
    assert left - 1 <= col <= right + 1
    assert top - 1 <= row <= bottom + 1
    assert bottom - top < 0.4 * len(GREY)


def test_a_fire_over_a_picture_has_a_box_of_what_was_drawn() -> None:
    rng = np.random.default_rng(3)
    frames = [render_over(GREY, rng) for _ in range(40)]
    assert all(f.fire_xyxy is not None or f.smoke_xyxy is not None for f in frames)
    assert any(f.smoke_xyxy is not None for f in frames)


def test_skies_are_of_many_kinds_and_hold_no_fire() -> None:
    rng = np.random.default_rng(3)
    skies = [sky(rng) for _ in range(30)]
    assert {s.shape for s in skies} == {(288, 384, 3)}
    warmth = [float(s[..., 2].mean() - s[..., 0].mean()) for s in skies]
    assert min(warmth) < 0 < 60 < max(warmth)


def test_a_yard_burns_only_after_its_fire_began() -> None:
    rng = np.random.default_rng(1)
    assert render_scene(rng, burning=False).fire_xyxy is None
    assert render_scene(rng, burning=True).fire_xyxy is not None
