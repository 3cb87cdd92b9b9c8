"""Bytes to pixels and back, under limits. Ring: adapter (OpenCV, libjpeg-turbo).

Order of the wall: length, magic bytes, header size, then decode. OpenCV alone would return a picture for a
JPEG whose middle is missing, and would spend 2.5 GB on a small file with a lying header; simplejpeg refuses
the first, the header check the second. EXIF orientation is ignored on purpose: boxes are in pixels of the file.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from shared.error_code import ErrorCode
from shared.errors import ImageError
from shared.types import ImageLimits, MediaType, Picture

_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_MIN_SIDE_PX = 16
_JPEG_SCAN = b"\xff\xda"
# Each scan walks over the whole picture: 13 ms for 20 megapixels and 40 bytes, so hours in a file within the limits.
# Encoders write up to some 20, a preview included, whatever the size: a lower bound would refuse real pictures.
_USUAL_SCANS, _MAX_SCANS = 20, 64
_MAX_SCANNED_PIXELS = 400_000_000  # between the two, by size: 0.3 s
_MAX_SEGMENTS = 1_000  # before a JPEG's first scan; cameras write some 10, an editor with colour profile some 100
# Of a PNG; libpng writes one for every 8 kB of pixels, and each costs us a microsecond.
_MAX_CHUNKS = 20_000
_IDAT = memoryview(b"IDAT")
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_PACKED_STEP_BYTES, _UNPACKED_STEP_BYTES = 1 << 14, 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """Decoded pixels, shape (H, W, 3), uint8, BGR, with the size of the file they came from."""

    bgr_hwc_u8: NDArray[np.uint8]
    source_width_px: int
    source_height_px: int


def read_picture(encoded: bytes, limits: ImageLimits) -> Picture:
    """Read a picture's header and hold it against the limits; no pixel is decoded (about 5 µs).

    Raises:
        ImageError(IMAGE_TOO_MANY_BYTES): longer than `limits.max_bytes`.
        ImageError(IMAGE_NOT_A_PICTURE): neither JPEG nor PNG by its first bytes.
        ImageError(IMAGE_DAMAGED): the header cannot be read.
        ImageError(IMAGE_TOO_MANY_PIXELS, IMAGE_TOO_SMALL): by the size in the header.
    """
    if len(encoded) > limits.max_bytes:
        raise ImageError(
            ErrorCode.IMAGE_TOO_MANY_BYTES, f"{len(encoded)} bytes, at most {limits.max_bytes}"
        )
    if encoded.startswith(_JPEG_MAGIC):
        media_type, (width_px, height_px) = MediaType.JPEG, _jpeg_size(encoded)
    elif encoded.startswith(_PNG_MAGIC):
        media_type, (width_px, height_px) = MediaType.PNG, _png_size(encoded)
    else:
        raise ImageError(
            ErrorCode.IMAGE_NOT_A_PICTURE,
            f"{len(encoded)} bytes that begin with {encoded[:8].hex()!r}",
        )
    if width_px * height_px > limits.max_pixels:
        detail = f"{width_px} x {height_px} pixels, at most {limits.max_pixels} in all"
        raise ImageError(ErrorCode.IMAGE_TOO_MANY_PIXELS, detail)
    if min(width_px, height_px) < _MIN_SIDE_PX:
        detail = f"{width_px} x {height_px} pixels, each side must have {_MIN_SIDE_PX}"
        raise ImageError(ErrorCode.IMAGE_TOO_SMALL, detail)
    return Picture(encoded=encoded, media_type=media_type, width_px=width_px, height_px=height_px)


def decode(picture: Picture, *, at_least_px: tuple[int, int] | None = None) -> Pixels:
    """Decode a picture, a JPEG directly at a reduced scale where that is enough.

    Args:
        picture: what `read_picture` accepted.
        at_least_px: (width, height) the result must still reach; None decodes in full. A JPEG is decoded at
            1/2, 1/4 or 1/8 by its DCT, which averages the pixels it drops (1.6 instead of 2.4 ms for 720p).

    Returns:
        BGR pixels with the size of the source; PNG transparency is dropped, 16 bits are reduced to 8.

    Raises:
        ImageError(IMAGE_DAMAGED): cut, corrupt, or of another size than the header said.
    """
    is_jpeg = picture.media_type is MediaType.JPEG
    bgr = _decode_jpeg(picture, at_least_px) if is_jpeg else _decode_png(picture)
    return Pixels(
        bgr_hwc_u8=bgr, source_width_px=picture.width_px, source_height_px=picture.height_px
    )


def grey_thumbnail(picture: Picture, width_px: int, height_px: int) -> NDArray[np.uint8]:
    """Decode a picture as a small grey one, squeezed to a size whatever its aspect (1.2 ms for 720p).

    Returns:
        shape (height_px, width_px), uint8.

    Raises:
        ImageError(IMAGE_DAMAGED): see `decode`.
    """
    bgr = decode(picture, at_least_px=(width_px, height_px)).bgr_hwc_u8
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    resized = cv2.resize(grey, (width_px, height_px), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, dtype=np.uint8)


def encode_jpeg(bgr_hwc_u8: NDArray[np.uint8], quality: int = 90) -> bytes:
    """Encode a frame from a camera that does not speak JPEG.

    Args:
        bgr_hwc_u8: shape (H, W, 3), uint8, BGR.
        quality: 1…100; 90 keeps a flame's edges, below 75 the chroma of a small flame blurs.
    """
    contiguous = np.ascontiguousarray(bgr_hwc_u8)
    return bytes(
        simplejpeg.encode_jpeg(
            contiguous, quality=quality, colorspace="BGR", colorsubsampling="420"
        )
    )


def jpeg_picture(bgr_hwc_u8: NDArray[np.uint8], quality: int = 90) -> Picture:
    """Encode a frame and describe it; shape (H, W, 3), uint8, BGR."""
    height_px, width_px = bgr_hwc_u8.shape[:2]
    return Picture(
        encoded=encode_jpeg(bgr_hwc_u8, quality),
        media_type=MediaType.JPEG,
        width_px=width_px,
        height_px=height_px,
    )


def upload_form(picture: Picture, *, long_side_px: int, quality: int) -> Picture:
    """Give the picture as it goes to the cloud: as it came when small enough, else scaled and encoded again.

    Boxes that come back are in pixels of what was sent; the caller scales them by the two pictures' widths.

    Raises:
        ImageError(IMAGE_DAMAGED): it must be scaled and cannot be decoded.
    """
    longest = max(picture.width_px, picture.height_px)
    if longest <= long_side_px:
        return picture
    scale = long_side_px / longest
    size = (
        max(_MIN_SIDE_PX, round(picture.width_px * scale)),
        max(_MIN_SIDE_PX, round(picture.height_px * scale)),
    )
    pixels = decode(picture, at_least_px=size)
    resized = cv2.resize(pixels.bgr_hwc_u8, size, interpolation=cv2.INTER_AREA)
    return jpeg_picture(np.asarray(resized, dtype=np.uint8), quality)


def _jpeg_size(encoded: bytes) -> tuple[int, int]:
    try:
        height_px, width_px, _, _ = simplejpeg.decode_jpeg_header(encoded)
    except ValueError as err:
        raise ImageError(ErrorCode.IMAGE_DAMAGED, f"JPEG header: {err}") from err
    return int(width_px), int(height_px)


def _png_size(encoded: bytes) -> tuple[int, int]:
    if len(encoded) < 33 or encoded[12:16] != b"IHDR":
        raise ImageError(ErrorCode.IMAGE_DAMAGED, "PNG without its IHDR header")
    width_px, height_px = struct.unpack(">II", encoded[16:24])
    return width_px, height_px


def _decode_jpeg(picture: Picture, at_least_px: tuple[int, int] | None) -> NDArray[np.uint8]:
    width_px, height_px = at_least_px or (0, 0)
    _check_scans(picture)
    try:
        bgr = simplejpeg.decode_jpeg(
            picture.encoded,
            colorspace="BGR",
            min_width=width_px,
            min_height=height_px,
            min_factor=1,
        )
    except ValueError as err:
        raise ImageError(ErrorCode.IMAGE_DAMAGED, f"JPEG data: {err}") from err
    return np.asarray(bgr, dtype=np.uint8)


def _check_scans(picture: Picture) -> None:
    if not _may_have_many_scans(picture.encoded):
        return
    by_size = _MAX_SCANNED_PIXELS // (picture.width_px * picture.height_px)
    most = max(_USUAL_SCANS, min(_MAX_SCANS, by_size))
    if (scans := picture.encoded.count(_JPEG_SCAN)) > most:
        detail = f"{scans} JPEG scans, at most {most} at this size"
        raise ImageError(ErrorCode.IMAGE_DAMAGED, detail)


def _may_have_many_scans(encoded: bytes) -> bool:
    """Tell by the header whether a JPEG may be drawn in several scans (about 3 µs; counting takes 1 ns a byte).

    A sequential JPEG with all its colours in the first scan has no other: the decoder stops at a second one. True
    whenever the header is not plain, so that nothing hides behind it.
    """
    at, is_sequential, colours = 2, False, 0
    for _ in range(_MAX_SEGMENTS):
        if at + 10 > len(encoded) or encoded[at] != 0xFF:
            break
        marker = encoded[at + 1]
        length = int.from_bytes(encoded[at + 2 : at + 4], "big")
        if marker == 0xDA:
            return not is_sequential or encoded[at + 4] != colours
        if marker in (0x01, 0xFF) or 0xD0 <= marker <= 0xD9 or length < 2:
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            is_sequential, colours = marker in (0xC0, 0xC1), encoded[at + 9]
        at += 2 + length
    return True


def _decode_png(picture: Picture) -> NDArray[np.uint8]:
    chunks = _critical_chunks(picture.encoded)
    _check_unpacked(picture, chunks)
    alone = b"".join([_PNG_MAGIC, *chunks])
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        bgr = cv2.imdecode(np.frombuffer(alone, np.uint8), flags)
    except cv2.error as err:
        raise ImageError(ErrorCode.IMAGE_DAMAGED, f"PNG data: {err.err}") from err
    if bgr is None or bgr.shape[:2] != (picture.height_px, picture.width_px):
        raise ImageError(ErrorCode.IMAGE_DAMAGED, "PNG data cannot be decoded")
    return np.asarray(bgr, dtype=np.uint8)


def _critical_chunks(encoded: bytes) -> list[memoryview]:
    """Walk the chunks and give those that make the pixels; every length and checksum right, IEND there.

    libpng only warns of damage and paints black. Of the others it unpacks up to a thousand texts of 8 MB each.
    """
    at = len(_PNG_MAGIC)
    view = memoryview(encoded)
    critical: list[memoryview] = []
    for _ in range(_MAX_CHUNKS):
        if at + 12 > len(encoded):
            break
        (length,) = struct.unpack_from(">I", encoded, at)
        end = at + 8 + length
        if end + 4 > len(encoded):
            break
        (checksum,) = struct.unpack_from(">I", encoded, end)
        if zlib.crc32(view[at + 4 : end]) != checksum:
            raise ImageError(
                ErrorCode.IMAGE_DAMAGED, f"PNG chunk at byte {at} has a wrong checksum"
            )
        kind = encoded[at + 4 : at + 8]
        if kind[:1].isupper():
            critical.append(view[at : end + 4])
        if kind == b"IEND":
            return critical
        at = end + 4
    detail = f"PNG without an IEND chunk among its first {_MAX_CHUNKS}"
    raise ImageError(ErrorCode.IMAGE_DAMAGED, detail)


def _check_unpacked(picture: Picture, chunks: list[memoryview]) -> None:
    """Unpack the pixels, to throw them away: libpng would unpack what follows them, too, 2 s a gigabyte as here."""
    depth, colour = picture.encoded[24], picture.encoded[25]
    row_bytes = picture.width_px * depth * _PNG_CHANNELS.get(colour, 4) // 8
    # One byte a row more; an interlaced picture has almost twice as many rows. Each is rounded up.
    most, found = picture.height_px * (row_bytes + 5) + 64, 0
    try:
        for unpacked_bytes in _unpack(chunk[8:-4] for chunk in chunks if chunk[4:8] == _IDAT):
            found += unpacked_bytes
            if found > most:
                detail = f"PNG data of more than the {most} bytes that its size needs"
                raise ImageError(ErrorCode.IMAGE_DAMAGED, detail)
    except zlib.error as err:
        raise ImageError(ErrorCode.IMAGE_DAMAGED, f"PNG data: {err}") from err


def _unpack(idat: Iterable[memoryview]) -> Iterator[int]:
    """Unpack in small steps, and tell how many bytes each gave."""
    unpacker = zlib.decompressobj()
    for data in idat:
        for at in range(0, len(data), _PACKED_STEP_BYTES):
            packed = bytes(data[at : at + _PACKED_STEP_BYTES])
            while packed and not unpacker.eof:
                yield len(unpacker.decompress(packed, _UNPACKED_STEP_BYTES))
                packed = unpacker.unconsumed_tail
