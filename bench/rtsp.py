"""Films as cameras send them, and a real RTSP server that plays them (see `bench/rtsp_server.py`)."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_PYTHON = "/usr/bin/python3"
_SCRIPT = Path(__file__).with_name("rtsp_server.py")
_NEEDED = ("rtph264pay", "openh264enc", "mp4mux", "h264parse", "appsrc")
_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """What one path of the server plays, and how it misbehaves."""

    file: Path
    fault: str | None = None
    second: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RtspServer:
    """A running server."""

    port: int
    pid: int

    def url(self, path: str, user: str = "") -> str:
        """Give the address of a mount."""
        return f"rtsp://{user}{'@' if user else ''}127.0.0.1:{self.port}{path}"


@functools.lru_cache(maxsize=1)
def missing() -> str | None:
    """Tell what this machine lacks; None when it lacks nothing."""
    names = ", ".join(repr(name) for name in _NEEDED)
    code = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); "
        "from gi.repository import Gst, GstRtspServer; Gst.init(None); "
        f"exit(not all(map(Gst.ElementFactory.find, ({names}))))"
    )
    try:
        done = subprocess.run([_PYTHON, "-c", code], capture_output=True, timeout=_WITHIN_S)
    except OSError as err:
        return f"{_PYTHON}: {err.strerror}"
    packages = "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-{base,good,bad}"
    return (
        f"GStreamer's RTSP server is not there: apt install {packages}" if done.returncode else None
    )


def encode_film(path: Path, frames: Sequence[NDArray[np.uint8]], fps: int) -> Path:
    """Encode frames, each (H, W, 3) uint8 BGR, as H.264 in MP4; returns the path."""
    height_px, width_px = frames[0].shape[:2]
    wanted = {"file": str(path), "width": width_px, "height": height_px, "fps": fps}
    subprocess.run(
        [_PYTHON, str(_SCRIPT), "encode", json.dumps(wanted)],
        input=b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames),
        check=True,
        capture_output=True,
        timeout=_WITHIN_S,
    )
    return path


@contextmanager
def rtsp_server(
    mounts: Mapping[str, Mount], *, user: str = "", password: str = ""
) -> Iterator[RtspServer]:
    """Run a server for the length of a block; with a `user` it wants a login."""
    wanted = {
        "mounts": {
            path: {"file": str(m.file), "fault": m.fault, "second": str(m.second or "")}
            for path, m in mounts.items()
        },
        "user": user,
        "password": password,
    }
    process = subprocess.Popen(
        [_PYTHON, str(_SCRIPT), "serve", json.dumps(wanted)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        assert process.stdin is not None  # noqa: S101 # it is piped
        assert process.stdout is not None  # noqa: S101 # it is piped
        try:
            yield RtspServer(port=int(process.stdout.readline()), pid=process.pid)
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
