"""What training draws by itself: look-alikes change no label, rendered fires stand where their box says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from models.data import Truth
from models.lookalikes import add_lookalike
from models.nights import night
from models.rendered import render_over, render_scene, small_flame
from models.skies import sky, sunset
from models.transplant import cut_any, cut_flame, put_in

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


@pytest.mark.parametrize("seed", range(20))
def test_a_sunset_is_bright_where_its_sun_is_and_keeps_the_pictures_shape(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lit = sunset(GREY, rng)
    assert lit.shape == GREY.shape
    assert lit.dtype == np.uint8
    # Even grey becomes uneven light: a core and a shade.
    assert np.ptp(lit.max(2).astype(int)) > 60


@pytest.mark.parametrize("seed", range(20))
def test_a_night_is_dark_but_for_lamps_that_burn_out(seed: int) -> None:
    lit = night(GREY, np.random.default_rng(seed))
    assert lit.shape == GREY.shape
    assert lit.dtype == np.uint8
    brightest = lit.max(2).astype(int)
    assert brightest.max() > 200
    assert np.quantile(brightest, 0.05) < GREY.max()
    assert np.array_equal(lit, night(GREY, np.random.default_rng(seed)))


def test_what_stands_near_a_lamp_is_seen_in_its_light() -> None:
    checks = np.kron(np.indices((12, 18)).sum(0) % 2, np.ones((16, 16)))[..., None] * 160 + 40
    place = np.repeat(checks, 3, 2).astype(np.uint8)
    contrasts = [
        float(
            np.corrcoef(night(place, np.random.default_rng(n))[..., 1].ravel(), checks.ravel())[
                0, 1
            ]
        )
        for n in range(20)
    ]
    assert min(contrasts) > 0.05
    assert np.median(contrasts) > 0.3


def burning() -> np.ndarray:
    """A dark picture with an orange drop that ends in yellow."""
    picture = np.full((160, 240, 3), 25, np.uint8)
    cv2.ellipse(picture, (120, 90), (22, 46), 0, 0, 360, (20, 110, 240), -1)
    cv2.ellipse(picture, (120, 100), (12, 26), 0, 0, 360, (120, 230, 255), -1)
    return picture


def test_what_is_cut_out_of_a_flames_box_is_the_flame() -> None:
    cut = cut_flame(burning(), np.array([90, 36, 150, 144], np.float32))
    assert cut is not None
    rows, cols = cut.alpha.shape
    assert cut.alpha[rows // 2, cols // 2] > 0.9
    assert cut.alpha[2, 2] < 0.05
    assert cut.alpha[-3, -3] < 0.05


def test_a_box_without_a_flame_gives_no_cut() -> None:
    assert cut_flame(GREY, np.array([10, 10, 120, 120], np.float32)) is None
    assert cut_flame(burning(), np.array([100, 80, 105, 90], np.float32)) is None


@pytest.mark.parametrize("seed", range(20))
def test_a_transplanted_flame_is_inside_the_box_that_is_told(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cut = cut_flame(burning(), np.array([90, 36, 150, 144], np.float32))
    assert cut is not None
    placed, (left, top, right, bottom) = put_in(GREY, cut, rng)
    warm = placed[..., 2].astype(int) - placed[..., 0] > 60
    rows, cols = np.nonzero(warm)
    assert len(rows) > 10
    assert left - 2 <= cols.min()
    assert cols.max() <= right + 2
    assert top - 2 <= rows.min()
    assert rows.max() <= bottom + 2
    assert right - left < 2 * (cols.max() - cols.min() + 1)


def test_cuts_without_fire_are_put_in_by_the_same_code() -> None:
    rng = np.random.default_rng(2)
    noise = np.random.default_rng(7).integers(0, 255, (160, 240, 3)).astype(np.uint8)
    cut = cut_any(noise, rng)
    assert cut is not None
    placed, _ = put_in(GREY, cut, rng)
    assert np.abs(placed.astype(int) - GREY).max() > 20
