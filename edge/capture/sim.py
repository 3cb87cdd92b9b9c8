"""The `sim:` camera: a rendered scene in which a fire starts. Ring: adapter (clock)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

from edge.capture.shot import JPEG_QUALITY, Pace, Shot
from shared.error_code import ErrorCode
from shared.errors import CameraError
from shared.picture.imaging import jpeg_picture
from shared.rendered.scene import Scene, SceneSettings


class SimSource:
    """The rendered scene; needs no camera and no data."""

    is_live = True

    def __init__(self, url: str, fps: float) -> None:
        """Read the scene's settings from the URL.

        Raises:
            CameraError(CAMERA_SOURCE_INVALID): an unknown or impossible setting.
        """
        self._scene = Scene(sim_settings(url))
        self._period_s = 1.0 / fps

    def shots(self, pace: Pace) -> Iterator[Shot]:
        """Render in real time, from the scene's second 0."""
        started_s = time.monotonic()
        while pace.goes_on():
            at_s = time.monotonic() - started_s
            picture = jpeg_picture(self._scene.render(at_s).bgr_hwc_u8, JPEG_QUALITY)
            yield Shot(picture=picture, took_s=time.monotonic() - started_s - at_s)
            pace.wait(self._period_s - (time.monotonic() - started_s - at_s))


def sim_settings(url: str) -> SceneSettings:
    """Read `sim:?seed=0&ignite_at_s=8&growth_s=30&width_px=1280&height_px=720`.

    Raises:
        CameraError(CAMERA_SOURCE_INVALID)
    """
    kinds: dict[str, type[int] | type[float]] = {
        "seed": int,
        "ignite_at_s": float,
        "growth_s": float,
        "width_px": int,
        "height_px": int,
    }
    try:
        given = {
            key: kinds[key](values[-1]) for key, values in parse_qs(urlsplit(url).query).items()
        }
        settings = SceneSettings(**given)  # type: ignore[arg-type] # each key has its own kind
    except (KeyError, ValueError) as err:
        detail = f"{url[:80]}: {err}; known settings are {', '.join(kinds)}"
        raise CameraError(ErrorCode.CAMERA_SOURCE_INVALID, detail) from err
    if not (
        64 <= settings.width_px <= 3840
        and 64 <= settings.height_px <= 2160
        and settings.growth_s > 0
        and math.isfinite(settings.growth_s + settings.ignite_at_s)
    ):
        raise CameraError(
            ErrorCode.CAMERA_SOURCE_INVALID, f"{url[:80]}: size or growth out of range"
        )
    return settings
