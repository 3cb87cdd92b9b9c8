"""Augmentation keeps labels true, is decided by its generator, and hides the stored size."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from models.augment import AugmentConfig, Sample, augment, mosaic, place_on_canvas
from models.data import Truth
from shared.picture.letterbox import InputContract

CONTRACT = InputContract(
    name="frame",
    sizes_px=((256, 160), (192, 192)),
    colour="RGB",
    mean=(127.5,) * 3,
    std=(127.5,) * 3,
)
STRONG = AugmentConfig(
    crop_probability=1.0, grey_probability=0.0, noise_probability=0.0, blur_probability=0.0
)


def sample_with_red_box(size: tuple[int, int] = (400, 300)) -> Sample:
    """Build a grey picture with one red block that is labelled as fire."""
    width, height = size
    bgr = np.full((height, width, 3), 100, np.uint8)
    bgr[100:180, 150:250] = (0, 0, 255)
    return Sample(bgr=bgr, truth=truth([[150, 100, 250, 180]]))


def truth(boxes: list[list[float]], known: tuple[bool, bool] = (True, True)) -> Truth:
    return Truth(
        present=(float(bool(boxes)), 0.0),
        boxes_xyxy=np.asarray(boxes, np.float32).reshape(-1, 4),
        box_labels=np.zeros(len(boxes), np.int64),
        boxes_known=known,
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_label_tells_whether_the_fire_is_still_in_the_crop(seed: int) -> None:
    varied = augment(sample_with_red_box(), STRONG, np.random.default_rng(seed), (256, 160))
    red = varied.bgr[..., 2].astype(int) - varied.bgr[..., 1] > 40
    assert bool(varied.truth.present[0]) == (red.mean() > 0.004)


@pytest.mark.parametrize("seed", range(12))
def test_boxes_follow_the_picture(seed: int) -> None:
    config = AugmentConfig(grey_probability=0.0, dark_probability=0.0, noise_probability=0.0)
    varied = augment(sample_with_red_box(), config, np.random.default_rng(seed), (256, 160))
    canvas, moved = place_on_canvas(varied, CONTRACT)
    for left, top, right, bottom in moved.boxes_xyxy.round().astype(int):
        inside = canvas[top + 2 : bottom - 2, left + 2 : right - 2].astype(int)
        assert (inside[..., 2] - inside[..., 1]).mean() > 40


def test_the_same_generator_gives_the_same_picture() -> None:
    one, two = (
        augment(sample_with_red_box(), AugmentConfig(), np.random.default_rng(5), (192, 192))
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.bgr, two.bgr)


@pytest.mark.parametrize("size", [(512, 384), (384, 288)])
def test_the_stored_size_is_gone(size: tuple[int, int]) -> None:
    config = AugmentConfig(crop_probability=0.0, zoom_out_probability=0.0)
    sides = {
        max(
            augment(
                sample_with_red_box(size), config, np.random.default_rng(s), (256, 160)
            ).bgr.shape[:2]
        )
        for s in range(20)
    }
    assert len(sides) > 12
    assert max(sides) <= config.long_side_px[1] * 1.3


def test_a_fire_without_boxes_is_cropped_only_a_little() -> None:
    blind = Sample(bgr=sample_with_red_box().bgr, truth=truth([], known=(False, False)))
    blind = Sample(
        bgr=blind.bgr,
        truth=Truth(
            present=(1.0, math.nan),
            boxes_xyxy=blind.truth.boxes_xyxy,
            box_labels=blind.truth.box_labels,
            boxes_known=(False, False),
        ),
    )
    varied = augment(blind, STRONG, np.random.default_rng(3), (256, 160))
    assert varied.truth.present[0] == 1.0
    assert math.isnan(varied.truth.present[1])


def test_a_mosaic_keeps_all_boxes_and_knows_only_what_all_know() -> None:
    known = sample_with_red_box()
    unknown = Sample(bgr=known.bgr, truth=truth([[150, 100, 250, 180]], known=(True, False)))
    joined = mosaic([known, known, known, unknown], (320, 320))
    assert len(joined.truth.boxes_xyxy) == 4
    assert joined.truth.boxes_known == (True, False)
    assert joined.bgr.shape == (320, 320, 3)
