"""What a process does before anything else: memory that stays, walls for OpenCV. Ring: adapter (the process)."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

from shared.error_code import ErrorCode
from shared.errors import FolderTaken, StoreError

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEEP_BELOW_BYTES = 1 << 30
_MOST_PIXELS = 200_000_000
_OURS = frozenset({"edge", "cloud", "shared"})
_INSTALL = (
    "Install the program with one of its extras, `pip install 'emberlink[edge]'` on a box; "
    "[cloud] on a machine with a card, [cpu] for both on one machine."
)
_LOAD = (
    "Install the system's libraries, `apt-get install libgl1 libglib2.0-0`; if they are there, "
    "install the program again."
)


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory instead of returning it to the kernel after every picture.

    Decoding one 720p JPEG otherwise costs some 1,300 page faults: 5.3 ms instead of 2.4 ms. Both settings are
    needed; the process keeps its high-water mark, which the picture limits bound.

    Returns:
        False where the C library is not glibc; nothing is changed then.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_THRESHOLD, _KEEP_BELOW_BYTES)) and bool(
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    )


def prepare_libraries() -> None:
    """Set what OpenCV, FFmpeg and ONNX Runtime read from the environment once; call it before importing any of them.

    The pixel limit is the second wall behind the header check, at the largest value that `limits.max_pixels` may
    have. FFmpeg's own messages would repeat every failed read of a camera, which we report once ourselves.
    OpenCV opens streams one after another unless told that its FFmpeg bears more, which every FFmpeg does that was
    built with threads, as in the wheels: a camera that hangs while it is opened would keep out all others.
    ONNX Runtime 1.31 would give the machine an id and send Microsoft what runs on it.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(_MOST_PIXELS)
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "8")  # AV_LOG_FATAL
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
    os.environ.setdefault("OPENCV_FFMPEG_IS_THREAD_SAFE", "1")


def end_beside_daemons(end: SystemExit) -> NoReturn:
    """End the process as a command wanted, although threads of it still hang in a library.

    One that came back from C++ while the interpreter is being taken down would abort the process: a service that was
    stopped while a camera was being opened would be told as crashed.
    """
    if not any(thread.daemon for thread in threading.enumerate()) or isinstance(end.code, str):
        raise end
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(end.code or 0)


@contextmanager
def loading() -> Iterator[None]:
    """Turn a library that cannot be loaded into a message with its remedy and exit status 2, without a stack trace."""
    try:
        yield
    except ImportError as err:
        package = (err.name or "").partition(".")[0]
        if package in _OURS:
            raise
        row = ErrorCode.COMMAND_REFUSED.row
        what_to_do = _INSTALL if isinstance(err, ModuleNotFoundError) else _LOAD
        sys.stderr.write(
            f"error {row.number}: {row.text_en}\n  {err}\n  what to do: {what_to_do}\n"
        )
        sys.exit(2)


def hold_folder(folder: Path) -> IO[bytes]:
    """Make a folder ours for as long as the returned file is open: two processes would spend one budget twice.

    Raises:
        StoreError(STORE_UNAVAILABLE): it cannot be written.
        FolderTaken: another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = (folder / "lock").open("ab")
    except OSError as err:
        raise StoreError(ErrorCode.STORE_UNAVAILABLE, f"{folder}: {err.strerror or err}") from err
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        held.close()
        raise FolderTaken(
            ErrorCode.STORE_UNAVAILABLE,
            f"{folder} is in use by another process",
            remedy="Stop that one (`systemctl stop` its unit), or choose a folder of its own for each.",
        ) from err
    return held
