"""Pictures made to harm: bombs, lies and damage."""

from __future__ import annotations

import struct
import zlib

import cv2

from tests.helpers.pictures import noise_bgr

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Build a PNG chunk with a right length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_file(
    width_px: int,
    height_px: int,
    idat: bytes,
    *,
    bits: int = 8,
    colour: int = 2,
    interlaced: int = 0,
    more: bytes = b"",
) -> bytes:
    """Build a PNG whose pixels are whatever `idat` unpacks to."""
    ihdr = struct.pack(">IIBBBBB", width_px, height_px, bits, colour, 0, 0, interlaced)
    chunks = png_chunk(b"IHDR", ihdr) + more + png_chunk(b"IDAT", idat) + png_chunk(b"IEND", b"")
    return _PNG_MAGIC + chunks


def png_bomb(side_px: int) -> bytes:
    """Build a square PNG of one bit a pixel: some 50 kB that unpack to more than a gigabyte of colours."""
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (side_px + 7) // 8)
    idat = b"".join(packer.compress(row) for _ in range(side_px)) + packer.flush()
    return png_file(side_px, side_px, idat, bits=1, colour=0)


def lying_jpeg(width_px: int, height_px: int) -> bytes:
    """Take a small real JPEG and let its header claim another size."""
    jpeg = noise_jpeg()
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height_px, width_px) + jpeg[at + 4 :]


def noise_jpeg(width_px: int = 320, height_px: int = 240) -> bytes:
    """Encode noise, so that damage in the middle hits picture data."""
    ok, encoded = cv2.imencode(".jpg", noise_bgr(width_px, height_px))
    if not ok:
        raise ValueError("OpenCV cannot write this")
    return encoded.tobytes()


def progressive_jpeg(width_px: int, height_px: int, scans: int) -> bytes:
    """Build a progressive JPEG whose last scan is repeated: each repetition costs a walk over the whole picture."""
    flat = noise_bgr(8, 8)[:1, :1].repeat(height_px, 0).repeat(width_px, 1)
    ok, encoded = cv2.imencode(".jpg", flat, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    if not ok:
        raise ValueError("OpenCV cannot write this")
    jpeg = encoded.tobytes()
    last = jpeg.rindex(b"\xff\xda")
    body, end = jpeg[last:-2], jpeg[-2:]
    return jpeg[:last] + body * scans + end


def damaged(jpeg: bytes) -> dict[str, bytes]:
    """Damage a JPEG in its middle in several ways."""
    middle, length = len(jpeg) // 2, len(jpeg)
    flipped = bytearray(jpeg)
    for at in range(middle, middle + 200):
        flipped[at] ^= 0x55
    return {
        "cut_in_half": jpeg[:middle],
        "cut_at_end": jpeg[:-2],
        "cut_in_header": jpeg[:100],
        "middle_missing": jpeg[:middle] + jpeg[middle + length // 4 :],
        "middle_zeroed": jpeg[:middle] + b"\0" * (length // 4) + jpeg[middle + length // 4 :],
        "middle_flipped": bytes(flipped),
        "end_overwritten": jpeg[: -length // 4] + b"\xaa" * (length // 4),
    }
