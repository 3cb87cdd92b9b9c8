"""The rendered scene: deterministic, quiet before ignition, growing after it, with boxes that hold the fire."""

from __future__ import annotations

import numpy as np
import pytest

from shared.rendered.composite import add_fire
from shared.rendered.look import FirePlace
from shared.rendered.scene import Scene, SceneSettings

SMALL = SceneSettings(width_px=320, height_px=180, seed=0)


def redness(bgr: np.ndarray) -> np.ndarray:
    return bgr[..., 2].astype(int) - bgr[..., 0].astype(int)


def test_the_same_moment_gives_the_same_picture() -> None:
    one, other = Scene(SMALL), Scene(SMALL)
    other.render(3.0)
    np.testing.assert_array_equal(one.render(20.0).bgr_hwc_u8, other.render(20.0).bgr_hwc_u8)


def test_another_seed_is_another_yard() -> None:
    other = SceneSettings(width_px=320, height_px=180, seed=5)
    assert (Scene(SMALL).render(0.0).bgr_hwc_u8 != Scene(other).render(0.0).bgr_hwc_u8).mean() > 0.5


def test_nothing_burns_before_ignition() -> None:
    frame = Scene(SMALL).render(SMALL.ignite_at_s - 0.1)
    assert frame.fire_xyxy is None
    assert frame.smoke_xyxy is None


def test_the_fire_grows() -> None:
    scene = Scene(SMALL)
    boxes = [
        scene.render(SMALL.ignite_at_s + share * SMALL.growth_s).fire_xyxy
        for share in (0.3, 0.6, 1.0)
    ]
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in boxes if b is not None]
    assert len(areas) == 3
    assert areas[0] < areas[1] < areas[2]


def test_the_fire_flickers_while_the_yard_stands_still() -> None:
    scene = Scene(SMALL)
    first, second = (scene.render(t).bgr_hwc_u8.astype(int) for t in (40.0, 40.2))
    box = scene.render(40.0).fire_xyxy
    assert box is not None
    left, top, right, bottom = (int(v) for v in box)
    change = np.abs(first - second).mean(-1)
    assert change[top:bottom, left:right].mean() > 4 * change[-10:, :20].mean()


def test_the_box_holds_what_glows() -> None:
    frame = Scene(SMALL).render(40.0)
    assert frame.fire_xyxy is not None
    left, top, right, bottom = (int(v) for v in frame.fire_xyxy)
    inside = redness(frame.bgr_hwc_u8)[top:bottom, left:right]
    assert (inside > 100).mean() > 0.3
    outside = redness(frame.bgr_hwc_u8).copy()
    outside[max(0, top - 6) : bottom + 6, max(0, left - 6) : right + 6] = 0
    assert (outside > 150).mean() < 0.01


def test_frames_have_the_asked_size() -> None:
    assert Scene(SMALL).render(0.0).bgr_hwc_u8.shape == (180, 320, 3)


def test_rendered_frames_can_be_kept() -> None:
    scene = Scene(SMALL)
    first = scene.render(0.0).bgr_hwc_u8
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(scene.render(0.0).bgr_hwc_u8, kept)


@pytest.mark.parametrize("size", [0.003, 0.05, 0.5])
def test_added_fire_leaves_its_background_alone(size: float) -> None:
    background = np.full((120, 160, 3), 90, np.uint8)
    frame = add_fire(background, rng=np.random.default_rng(4), size_ratio=size)
    assert (background == 90).all()
    assert frame.bgr_hwc_u8.shape == background.shape
    assert (frame.bgr_hwc_u8 != background).any()


def test_added_fire_is_decided_by_its_generator() -> None:
    background = np.full((120, 160, 3), 90, np.uint8)
    one, two = (add_fire(background, rng=np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one.bgr_hwc_u8, two.bgr_hwc_u8)
    assert one.fire_xyxy == two.fire_xyxy


def test_smoke_alone_has_no_fire_box() -> None:
    background = np.full((120, 160, 3), 60, np.uint8)
    frame = add_fire(background, rng=np.random.default_rng(2), with_flame=False)
    assert frame.fire_xyxy is None
    assert frame.smoke_xyxy is not None


def test_a_fire_outside_the_picture_is_not_boxed() -> None:
    background = np.full((120, 160, 3), 60, np.uint8)
    place = FirePlace(x_px=-400.0, y_px=60.0, flame_height_px=40.0, smoke_height_px=0.0)
    assert add_fire(background, rng=np.random.default_rng(2), place=place).fire_xyxy is None


def test_boxes_stay_inside_the_picture() -> None:
    background = np.full((120, 160, 3), 60, np.uint8)
    for seed in range(12):
        frame = add_fire(background, rng=np.random.default_rng(seed))
        for box in (frame.fire_xyxy, frame.smoke_xyxy):
            if box is not None:
                assert 0 <= box[0] < box[2] <= 160
                assert 0 <= box[1] < box[3] <= 120
