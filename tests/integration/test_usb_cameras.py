"""USB cameras at the boundary of OpenCV: no camera is needed, so what V4L2 itself does is not tested here."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import edge.capture.video
from edge.capture.open_source import open_source
from edge.capture.shot import CameraAddress, Pace
from shared.errors import CameraError
from shared.types import ImageLimits
from tests.helpers.services import Running, running_edge

_NOBODY = 65534


def row(edge: Running, camera: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = edge.get("/cameras").json()["result"]["cameras"]
    return next(row for row in rows if row["name"] == camera)


def wait_until(is_true: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + 40
    while not is_true():
        assert time.monotonic() < ends_s
        time.sleep(0.1)


def why_not(source: str) -> str:
    with pytest.raises(CameraError) as caught:
        list(open_source(CameraAddress(url=source), 2.0, ImageLimits()).shots(Pace()))
    return caught.value.detail


@pytest.fixture
def locked_device() -> Iterator[Path]:
    """Make a device that only root may open."""
    path = Path(f"/dev/emberlink-{os.getpid()}")
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except OSError as err:
        pytest.skip(f"only root may make a device: {err}")
    yield path
    path.unlink()


def test_a_device_that_is_not_there_is_named(tmp_path):
    assert why_not("/dev/video97") == "/dev/video97: no such device, file, folder or address"


def test_a_number_alone_means_the_device_of_that_number():
    assert why_not("97") == "/dev/video97: no such device, file, folder or address"


def test_a_device_that_is_no_camera_says_so():
    assert "gives no pictures, or another program uses it" in why_not("/dev/null")


def test_a_device_that_the_service_may_not_open_names_the_group(locked_device):
    os.seteuid(_NOBODY)
    try:
        assert "add its user to the group `video`" in why_not(str(locked_device))
    finally:
        os.seteuid(0)


class Unplugged:
    """A device that gives three frames and is gone; OpenCV cannot open it again until it is `back`."""

    is_back = False
    opened = 0

    def __init__(self, url: str, api: int) -> None:
        assert (url, api) == ("/dev/null", cv2.CAP_V4L2)
        Unplugged.opened += 1
        self._left = 3 if Unplugged.opened == 1 else 10_000
        self._is_open = Unplugged.opened == 1 or Unplugged.is_back

    def isOpened(self) -> bool:
        return self._is_open

    def grab(self) -> bool:
        time.sleep(0.05)
        self._left -= 1
        return self._left >= 0

    def retrieve(self) -> tuple[bool, Any]:
        return True, np.full((120, 160, 3), 90, np.uint8)

    def release(self) -> None:
        pass


def test_a_camera_that_is_unplugged_is_a_trouble_and_goes_on_when_it_is_back(
    tmp_path, models, monkeypatch
):
    monkeypatch.setattr(edge.capture.video.cv2, "VideoCapture", Unplugged)
    cameras = {"usb": {"source": "/dev/null"}, "other": {"source": "sim:"}}
    with running_edge(tmp_path, models, cameras=cameras) as running:
        wait_until(lambda: row(running, "usb")["trouble"] is not None)
        assert row(running, "usb")["received"] >= 1
        seen = row(running, "other")["received"]
        wait_until(lambda: row(running, "other")["received"] > seen)
        Unplugged.is_back = True
        wait_until(lambda: row(running, "usb")["trouble"] is None)
        seen = row(running, "usb")["received"]
        wait_until(lambda: row(running, "usb")["received"] > seen)
