"""Opening `image_path` only inside configured folders. Ring: adapter (disk)."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from shared.error_code import ErrorCode
from shared.errors import RequestError

# PATH_MAX of Linux; resolving a longer one costs the square of its length.
_MAX_PATH_CHARACTERS = 4096


def read_inside(path: str, roots: Sequence[Path], max_bytes: int) -> bytes:
    """Read a regular file that really lies inside one of the roots.

    The file is opened first and judged by what was opened, so that a link swapped in between is seen; devices and
    pipes are refused without being read.

    Raises:
        RequestError(IMAGE_PATH_DISABLED): no roots are configured.
        RequestError(IMAGE_PATH_FORBIDDEN): outside, not a regular file, or not readable; all look alike from outside.
        RequestError(IMAGE_TOO_MANY_BYTES): longer than `max_bytes`.
    """
    if not roots:
        raise RequestError(ErrorCode.IMAGE_PATH_DISABLED, "image_roots is empty")
    try:
        body = _read_bounded(path, roots, max_bytes + 1)
    except (OSError, ValueError) as err:  # ValueError: a NUL or a lone surrogate in the path
        detail = "not a readable regular file inside image_roots"
        raise RequestError(ErrorCode.IMAGE_PATH_FORBIDDEN, detail) from err
    if len(body) > max_bytes:
        raise RequestError(ErrorCode.IMAGE_TOO_MANY_BYTES, f"more than {max_bytes} bytes")
    return body


def _read_bounded(path: str, roots: Sequence[Path], limit_bytes: int) -> bytes:
    if len(path) > _MAX_PATH_CHARACTERS or not _is_inside(os.path.realpath(path), roots):
        raise PermissionError("outside")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        really = os.path.realpath(f"/proc/self/fd/{descriptor}")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode) or not _is_inside(really, roots):
            raise PermissionError("outside, or not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(limit_bytes)
    finally:
        os.close(descriptor)


def _is_inside(real_path: str, roots: Sequence[Path]) -> bool:
    return any(Path(real_path).is_relative_to(os.path.realpath(root)) for root in roots)
