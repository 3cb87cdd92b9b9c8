from __future__ import annotations

import os
import zlib

import psutil
import pytest

from shared.error_code import ErrorCode
from shared.errors import ImageError
from shared.picture.imaging import _may_have_many_scans, decode, read_picture
from shared.types import ImageLimits
from tests.helpers.hostile_pictures import (
    damaged,
    lying_jpeg,
    noise_jpeg,
    png_bomb,
    png_chunk,
    png_file,
    progressive_jpeg,
)
from tests.helpers.pictures import noise_bgr, png
from tests.helpers.waiting import least_cpu_s

_LIMITS = ImageLimits()
_PNG = png(noise_bgr(200, 200))
_ROWS = zlib.compress((b"\0" + b"\x10" * 600) * 200)


def _code(encoded: bytes) -> ErrorCode | None:
    try:
        decode(read_picture(encoded, _LIMITS))
    except ImageError as err:
        return err.code
    return None


def _rss_mb() -> float:
    return psutil.Process(os.getpid()).memory_info().rss / 1e6


@pytest.mark.parametrize("name", damaged(noise_jpeg()))
def test_a_damaged_jpeg_is_refused_instead_of_guessed_at(name):
    assert _code(damaged(noise_jpeg())[name]) is ErrorCode.IMAGE_DAMAGED


@pytest.mark.parametrize("size", [(640, 480), (160, 120), (4000, 3000)])
def test_a_jpeg_whose_header_lies_about_its_size_is_refused(size):
    assert _code(lying_jpeg(*size)) is ErrorCode.IMAGE_DAMAGED


@pytest.mark.parametrize("size", [(20_000, 20_000), (65_500, 65_500), (5_001, 4_000)])
def test_a_jpeg_that_claims_too_many_pixels_is_refused_by_its_header(size):
    assert _code(lying_jpeg(*size)) is ErrorCode.IMAGE_TOO_MANY_PIXELS


@pytest.mark.parametrize(
    "encoded",
    [
        _PNG[: len(_PNG) // 2],
        _PNG[:-12],
        _PNG[:-1],
        _PNG[:40],
        _PNG[: len(_PNG) // 2] + b"\0" * 99 + _PNG[len(_PNG) // 2 + 99 :],
        _PNG[:30] + bytes([_PNG[30] ^ 1]) + _PNG[31:],
        png_file(200, 200, zlib.compress(b"\0" * 100)),
        png_file(200, 200, b"this is not deflate" * 10),
        png_file(200, 200, b""),
        png_file(200, 200, _ROWS, bits=77),
        png_file(200, 200, _ROWS, colour=5),
    ],
    ids=[
        "half",
        "no_end",
        "cut",
        "header",
        "zeroed",
        "flipped",
        "short",
        "junk",
        "empty",
        "bits",
        "colour",
    ],
)
def test_a_damaged_png_is_refused_instead_of_painted_black(encoded):
    assert _code(encoded) is ErrorCode.IMAGE_DAMAGED


def test_a_png_bomb_is_refused_by_its_header_without_memory_or_time():
    bomb = png_bomb(20_000)
    before_mb = _rss_mb()
    assert _code(bomb) is ErrorCode.IMAGE_TOO_MANY_PIXELS
    assert least_cpu_s(lambda: _code(bomb)) < 0.5
    assert _rss_mb() - before_mb < 5


def test_a_jpeg_of_endless_scans_is_refused_at_once():
    bomb = progressive_jpeg(4000, 4000, scans=2_000)
    assert _code(bomb) is ErrorCode.IMAGE_DAMAGED
    assert least_cpu_s(lambda: _code(bomb)) < 0.5


def test_a_large_jpeg_may_have_fewer_scans_than_a_small_one():
    with pytest.raises(ImageError, match="scans, at most 20"):
        decode(read_picture(progressive_jpeg(4400, 4400, scans=40), _LIMITS))
    with pytest.raises(
        ImageError, match="progression"
    ):  # repeated scans are damage, found by the decoder
        decode(read_picture(progressive_jpeg(400, 300, scans=40), _LIMITS))


@pytest.mark.parametrize("size", [(400, 300), (5000, 4000)])
def test_an_ordinary_progressive_jpeg_is_taken(size):
    assert _code(progressive_jpeg(*size, scans=1)) is None


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_a_bomb_in_what_surrounds_the_pixels_is_left_packed(kind):
    packed = zlib.compress(b"A" * 100_000_000)
    encoded = png_file(200, 200, _ROWS, more=png_chunk(kind, b"a\0\0" + packed))
    before_mb = _rss_mb()
    _code(encoded)
    assert _rss_mb() - before_mb < 40


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_many_bombs_around_the_pixels_are_left_packed(kind):
    """libpng unpacks each up to its own limit of 8 MB: 770 kB took 760 MB and four seconds of a core."""
    packed = zlib.compress(b"A" * 7_900_000)
    start = b"a\0\0" if kind == b"zTXt" else b"a\0\1\0\0\0"
    encoded = png_file(200, 200, _ROWS, more=png_chunk(kind, start + packed) * 50)
    before_mb = _rss_mb()
    assert _code(encoded) is None
    assert _rss_mb() - before_mb < 40
    assert least_cpu_s(lambda: _code(encoded)) < 0.3


def test_pixels_beyond_the_picture_are_left_packed():
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(b"\0" * 10_000_000) for _ in range(10)) + packer.flush()
    encoded = png_file(200, 200, rows)
    assert _code(encoded) is ErrorCode.IMAGE_DAMAGED
    assert least_cpu_s(lambda: _code(encoded)) < 0.3


@pytest.mark.parametrize("more", [b"teSt", b"IDAT"])
def test_a_png_in_a_hundred_thousand_pieces_is_refused_at_once(more):
    encoded = png_file(200, 200, _ROWS, more=png_chunk(more, b"") * 500_000)
    assert _code(encoded) is ErrorCode.IMAGE_DAMAGED
    assert least_cpu_s(lambda: _code(encoded)) < 0.3


def test_a_jpeg_in_a_million_pieces_holds_nobody_up():
    jpeg = noise_jpeg()
    encoded = jpeg[:2] + b"\xff\xfe\x00\x02" * 1_500_000 + jpeg[2:]
    assert _code(encoded) is None
    assert least_cpu_s(lambda: _may_have_many_scans(encoded)) < 0.01


@pytest.mark.parametrize("path", ["/predict", "/joint_predict", "/adaptive_predict"])
def test_a_service_answers_a_bomb_and_goes_on(edge, path):
    bomb = png_bomb(20_000)
    before_mb = _rss_mb()
    for _ in range(5):
        answer = edge.show(path, bomb, content_type="image/png")
        assert (answer.status_code, answer.json()["err_no"]) == (413, 1008)
    assert _rss_mb() - before_mb < 60


def test_memory_stays_flat_over_many_damaged_pictures(edge):
    pictures = [*damaged(noise_jpeg()).values(), lying_jpeg(2000, 2000)]
    for encoded in pictures * 3:
        edge.show("/predict", encoded)
    before_mb = _rss_mb()
    for encoded in pictures * 10:
        assert edge.show("/predict", encoded).json()["err_no"] == 1007
    assert _rss_mb() - before_mb < 30


def test_the_cloud_answers_damage_and_goes_on(cloud):
    for encoded in damaged(noise_jpeg()).values():
        assert cloud.show("/infer", encoded).json()["err_no"] == 1007
    assert cloud.show("/infer", noise_jpeg()).json()["err_no"] == 0


def test_scans_do_not_hide_behind_a_header_that_is_not_plain():
    bomb = progressive_jpeg(4000, 4000, scans=2_000)
    preview = noise_jpeg(32, 32)
    app = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    for before in (app, b"\xff\xff\xff", b"\xff\x01", b"\xff\xd0"):
        hidden = bomb[:2] + before + bomb[2:]
        assert _code(hidden) is ErrorCode.IMAGE_DAMAGED
        assert least_cpu_s(lambda encoded=hidden: _code(encoded)) < 0.5


def test_a_second_scan_of_an_ordinary_jpeg_is_not_drawn():
    jpeg = noise_jpeg(4000, 4000)
    scan = jpeg[jpeg.index(b"\xff\xda") : -2]
    longer = jpeg[:-2] + scan[:20_000] * 40 + jpeg[-2:]
    assert _code(longer) in (ErrorCode.IMAGE_DAMAGED, ErrorCode.IMAGE_TOO_MANY_BYTES)
    assert least_cpu_s(lambda: _code(longer)) < 2.0
