"""The one preprocess: canvases, letterboxes, normalisation, and boxes back in the pixels of the file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.picture.letterbox import InputContract, canvas_size, letterbox_for
from shared.picture.preprocess import preprocess, resize

EDGE = InputContract(
    name="frame",
    sizes_px=((256, 160), (192, 192), (160, 256)),
    colour="RGB",
    mean=(127.5, 127.5, 127.5),
    std=(127.5, 127.5, 127.5),
)
CLOUD = InputContract(
    name="frames",
    sizes_px=((416, 416),),
    colour="BGR",
    mean=(103.53, 116.28, 123.675),
    std=(57.375, 57.12, 58.395),
)
SIDES = st.integers(16, 4000)


def flat(width: int, height: int, bgr: tuple[int, int, int] = (10, 20, 30)) -> np.ndarray:
    return np.full((height, width, 3), bgr, np.uint8)


@pytest.mark.parametrize(
    ("width", "height", "canvas"),
    [
        (1280, 720, (256, 160)),
        (640, 480, (256, 160)),
        (512, 512, (192, 192)),
        (720, 1280, (160, 256)),
    ],
)
def test_canvas_is_the_one_with_the_nearest_aspect(
    width: int, height: int, canvas: tuple[int, int]
) -> None:
    assert canvas_size(EDGE, width, height) == canvas


@given(SIDES, SIDES)
def test_letterbox_keeps_the_aspect_and_stays_on_the_canvas(width: int, height: int) -> None:
    box = letterbox_for(CLOUD, width, height)
    inner_width, inner_height = box.inner_size_px
    assert box.left_px >= 0
    assert box.left_px + inner_width <= box.canvas_width_px
    assert box.top_px + inner_height <= box.canvas_height_px
    assert abs(inner_width - width * box.scale) <= 1
    assert abs(inner_height - height * box.scale) <= 1


@given(SIDES, SIDES, st.floats(0, 0.5), st.floats(0.5, 1))
def test_boxes_return_to_source_pixels(width: int, height: int, low: float, high: float) -> None:
    box = letterbox_for(CLOUD, width, height)
    source = np.array([[low * width, low * height, high * width, high * height]], np.float32)
    np.testing.assert_allclose(
        box.to_source(box.to_canvas(source)), source, atol=0.02 + 1e-4 * max(width, height)
    )


def test_boxes_outside_the_picture_are_clipped_to_it() -> None:
    box = letterbox_for(CLOUD, 1280, 720)
    outside = np.array([[-50, -50, 900, 900]], np.float32)
    np.testing.assert_allclose(box.to_source(outside), [[0, 0, 1280, 720]])


def test_channels_come_in_the_order_of_the_contract() -> None:
    picture = flat(256, 160, (255, 0, 127))
    rgb = preprocess(picture, EDGE).tensor
    np.testing.assert_allclose(rgb[0, :, 80, 128], [(127 - 127.5) / 127.5, -1.0, 1.0], atol=1e-6)
    bgr = preprocess(flat(416, 416, (255, 0, 127)), CLOUD).tensor
    wanted = (np.array([255, 0, 127]) - CLOUD.mean) / CLOUD.std
    np.testing.assert_allclose(bgr[0, :, 5, 5], wanted, atol=1e-5)


def test_pad_is_grey_and_the_picture_is_not() -> None:
    tensor = preprocess(flat(1280, 720), EDGE).tensor
    assert tensor.shape == (1, 3, 160, 256)
    np.testing.assert_allclose(tensor[0, :, 0, 0], (114 - 127.5) / 127.5, atol=1e-6)
    np.testing.assert_allclose(
        tensor[0, :, 80, 128], (np.array([30, 20, 10]) - 127.5) / 127.5, atol=1e-6
    )


def test_kept_buffer_is_filled_and_returned() -> None:
    kept = np.empty((1, 3, 160, 256), np.float32)
    assert preprocess(flat(320, 180), EDGE, out=kept).tensor is kept


def test_buffer_of_another_canvas_is_left_alone() -> None:
    kept = np.zeros((1, 3, 160, 256), np.float32)
    fresh = preprocess(flat(300, 300), EDGE, out=kept).tensor
    assert fresh.shape == (1, 3, 192, 192)
    assert not kept.any()


def test_reduced_decode_maps_boxes_to_the_pixels_of_the_file() -> None:
    prepared = preprocess(flat(320, 180), CLOUD, letterbox=letterbox_for(CLOUD, 1280, 720))
    whole = np.array([[0, 91, 416, 325]], np.float32)
    np.testing.assert_allclose(prepared.letterbox.to_source(whole), [[0, 0, 1280, 720]])


def test_input_picture_is_not_changed() -> None:
    picture = flat(256, 160)
    before = picture.copy()
    preprocess(picture, EDGE)
    np.testing.assert_array_equal(picture, before)


def test_a_small_flame_survives_shrinking() -> None:
    """Linear resizing from far above reads 2 × 2 pixels and skips the rest; a flame between them would vanish."""
    picture = flat(2560, 1440, (0, 0, 0))
    picture[700:708, 1203:1211] = 255
    assert resize(picture, 256, 144).max() >= 100
