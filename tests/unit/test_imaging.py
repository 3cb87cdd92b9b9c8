from __future__ import annotations

import zlib

import cv2
import numpy as np
import pytest

from shared.error_code import ErrorCode
from shared.errors import ImageError
from shared.picture.imaging import decode, encode_jpeg, read_picture, upload_form
from shared.types import ImageLimits, MediaType
from tests.helpers.hostile_pictures import png_chunk, png_file
from tests.helpers.pictures import fire_jpeg, noise_bgr, png

_LIMITS = ImageLimits(max_bytes=1_000_000, max_pixels=2_000_000)


def _code(encoded: bytes, limits: ImageLimits = _LIMITS) -> ErrorCode:
    with pytest.raises(ImageError) as caught:
        decode(read_picture(encoded, limits))
    return caught.value.code


@pytest.mark.parametrize(("width", "height"), [(320, 160), (160, 320), (17, 16), (641, 359)])
@pytest.mark.parametrize("kind", [MediaType.JPEG, MediaType.PNG])
def test_the_header_tells_size_and_kind(width, height, kind):
    bgr = noise_bgr(width, height)
    picture = read_picture(encode_jpeg(bgr) if kind is MediaType.JPEG else png(bgr), _LIMITS)
    assert (picture.width_px, picture.height_px, picture.media_type) == (width, height, kind)


def test_a_png_comes_out_as_it_went_in():
    bgr = noise_bgr(64, 48)
    assert np.array_equal(decode(read_picture(png(bgr), _LIMITS)).bgr_hwc_u8, bgr)


def test_a_jpeg_comes_out_in_bgr():
    pixels = decode(read_picture(fire_jpeg(), _LIMITS)).bgr_hwc_u8
    blue, _, red = pixels.mean(axis=(0, 1))
    assert red > blue + 150


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_pngs_become_three_channels(channels):
    ok, encoded = cv2.imencode(".png", np.full((32, 48, channels), 99, np.uint8))
    assert ok
    assert decode(read_picture(encoded.tobytes(), _LIMITS)).bgr_hwc_u8.shape == (32, 48, 3)


def test_a_png_of_sixteen_bits_becomes_eight():
    ok, encoded = cv2.imencode(".png", np.full((32, 48, 3), 40_000, np.uint16))
    assert ok
    pixels = decode(read_picture(encoded.tobytes(), _LIMITS)).bgr_hwc_u8
    assert pixels.dtype == np.uint8
    assert abs(int(pixels[0, 0, 0]) - 156) <= 1


@pytest.mark.parametrize(("bits", "colour"), [(1, 0), (8, 0), (16, 0), (8, 2), (8, 4), (16, 6)])
@pytest.mark.parametrize("size", [(16, 16), (17, 31), (1000, 16)])
def test_an_interlaced_png_of_any_kind_is_decoded(size, bits, colour):
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    idat = zlib.compress(b"\0" * _interlaced_bytes(*size, bits * channels))
    encoded = png_file(*size, idat, bits=bits, colour=colour, interlaced=1)
    assert decode(read_picture(encoded, _LIMITS)).bgr_hwc_u8.shape == (size[1], size[0], 3)


def _interlaced_bytes(width: int, height: int, bits: int) -> int:
    """Count the bytes of the seven passes (PNG 1.2, section 2.6), each row with its filter."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)]
    passes += [(0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    sizes = [(-((x - width) // dx), -((y - height) // dy)) for x, y, dx, dy in passes]
    return sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in sizes if columns > 0)


def test_what_a_png_says_beside_its_pixels_changes_none_of_them():
    rows = zlib.compress(b"".join(b"\0" + bytes(range(32)) for _ in range(32)))
    palette = png_chunk(b"PLTE", bytes(value * 7 % 256 for value in range(96)))
    beside = png_chunk(b"tRNS", bytes(32)) + png_chunk(b"bKGD", b"\x05")
    beside = png_chunk(b"gAMA", b"\0\1\x11\x70") + png_chunk(b"sRGB", b"\0") + palette + beside
    plain, told = (png_file(32, 32, rows, colour=3, more=more) for more in (palette, beside))
    drawn = decode(read_picture(plain, _LIMITS)).bgr_hwc_u8
    assert drawn[0, 1].tolist() == [35, 28, 21]
    assert np.array_equal(drawn, decode(read_picture(told, _LIMITS)).bgr_hwc_u8)
    by_opencv = cv2.imdecode(np.frombuffer(told, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(drawn, by_opencv)


def test_a_grey_jpeg_becomes_three_channels():
    ok, encoded = cv2.imencode(".jpg", np.full((32, 48), 99, np.uint8))
    assert ok
    assert decode(read_picture(encoded.tobytes(), _LIMITS)).bgr_hwc_u8.shape == (32, 48, 3)


def test_a_jpeg_is_decoded_no_larger_than_needed():
    picture = read_picture(fire_jpeg(width_px=1280, height_px=720), _LIMITS)
    assert decode(picture, at_least_px=(150, 80)).bgr_hwc_u8.shape == (90, 160, 3)


def test_a_reduced_decode_remembers_the_size_of_its_source():
    picture = read_picture(fire_jpeg(width_px=1280, height_px=720), _LIMITS)
    pixels = decode(picture, at_least_px=(150, 80))
    assert (pixels.source_width_px, pixels.source_height_px) == (1280, 720)


def test_orientation_in_exif_turns_nothing():
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    jpeg = fire_jpeg(width_px=64, height_px=32)
    turned = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
    assert decode(read_picture(turned, _LIMITS)).bgr_hwc_u8.shape == (32, 64, 3)


@pytest.mark.parametrize(
    ("encoded", "code"),
    [
        (b"", ErrorCode.IMAGE_NOT_A_PICTURE),
        (b"GIF89a" + b"\0" * 100, ErrorCode.IMAGE_NOT_A_PICTURE),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ErrorCode.IMAGE_NOT_A_PICTURE),
        (b"RIFF\0\0\0\0WEBPVP8 ", ErrorCode.IMAGE_NOT_A_PICTURE),
        (b"\xff\xd8\xff", ErrorCode.IMAGE_DAMAGED),
        (b"\x89PNG\r\n\x1a\n", ErrorCode.IMAGE_DAMAGED),
        (fire_jpeg(width_px=15, height_px=200), ErrorCode.IMAGE_TOO_SMALL),
        (fire_jpeg(width_px=2000, height_px=1500), ErrorCode.IMAGE_TOO_MANY_PIXELS),
        (fire_jpeg() + b"\0" * 1_000_000, ErrorCode.IMAGE_TOO_MANY_BYTES),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_own_code(encoded, code):
    assert _code(encoded) is code


def test_bytes_after_the_end_of_a_jpeg_do_no_harm():
    assert decode(read_picture(fire_jpeg() + b"\0\0", _LIMITS)).bgr_hwc_u8.shape == (160, 320, 3)


def test_a_small_picture_goes_up_as_it_came():
    picture = read_picture(fire_jpeg(), _LIMITS)
    assert upload_form(picture, long_side_px=1280, quality=75) is picture


@pytest.mark.parametrize(("width", "height"), [(1600, 900), (900, 1600), (1500, 20)])
def test_a_large_picture_goes_up_with_its_long_side_at_the_limit(width, height):
    picture = read_picture(fire_jpeg(width_px=width, height_px=height), _LIMITS)
    sent = upload_form(picture, long_side_px=640, quality=75)
    assert max(sent.width_px, sent.height_px) == 640


def test_a_large_picture_keeps_its_shape_on_the_way_up():
    picture = read_picture(fire_jpeg(width_px=1600, height_px=900), _LIMITS)
    sent = upload_form(picture, long_side_px=640, quality=75)
    assert (sent.width_px, sent.height_px) == (640, 360)


def test_what_goes_up_is_itself_a_readable_jpeg():
    picture = read_picture(png(noise_bgr(900, 700)), ImageLimits())
    sent = upload_form(picture, long_side_px=320, quality=75)
    assert decode(read_picture(sent.encoded, _LIMITS)).bgr_hwc_u8.shape == (249, 320, 3)
