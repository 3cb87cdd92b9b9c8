"""The watch over a camera's view: what is found within a minute, and what must never be found."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.capture.quality import THUMB_HEIGHT_PX, THUMB_WIDTH_PX, ViewHealth
from edge.capture.state import ViewFinding
from shared.rendered.scene import Scene, SceneSettings

_CLIPS = Path(__file__).parents[2].parent / "shared" / "data" / "clips"
_WITHIN_S = 60

Bgr = NDArray[np.uint8]
Transform = Callable[[Bgr], Bgr]


class _Camera:
    """Shows a picture with the noise of a sensor, once a second."""

    def __init__(self, view: Bgr, noise: float = 1.2) -> None:
        """Show `view`; `noise` is that of a thumbnail's pixels: 3 of a 640 x 360 sensor's."""
        self.view = view
        self.health = ViewHealth()
        rng = np.random.default_rng(0)
        shape = (17, THUMB_HEIGHT_PX, THUMB_WIDTH_PX)
        self._noise = rng.normal(0, noise, shape).astype(np.float32)
        self._at_s = 0.0

    def show(self, seconds: int, transform: Transform = lambda bgr: bgr) -> list[ViewFinding]:
        """Show the transformed view for some seconds; gives every finding that was told meanwhile."""
        thumbnail = _thumbnail(transform(self.view))
        told: list[ViewFinding] = []
        for _ in range(seconds):
            told += [f for f in self._show_thumbnail(thumbnail) if f not in told]
        return told

    def show_once(self, bgr: Bgr) -> Iterable[ViewFinding]:
        return self._show_thumbnail(_thumbnail(bgr))

    def _show_thumbnail(self, thumbnail: NDArray[np.float32]) -> Iterable[ViewFinding]:
        self._at_s += 1.0
        noise = self._noise[int(self._at_s) % len(self._noise)]
        noisy = thumbnail + np.roll(noise, int(self._at_s * 7919))  # no two looks have the same
        seen = np.clip(noisy, 0, 255).astype(np.uint8)
        self.health.note(seen, seen.tobytes(), self._at_s)
        return self.health.findings()


def _thumbnail(bgr: Bgr) -> NDArray[np.float32]:
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return cv2.resize(grey, (THUMB_WIDTH_PX, THUMB_HEIGHT_PX), interpolation=cv2.INTER_AREA)


@functools.lru_cache(maxsize=64)
def _scene(seed: int) -> Bgr:
    return Scene(SceneSettings(width_px=640, height_px=360, seed=seed)).render(0.0).bgr_hwc_u8


def _real_view(name: str) -> Bgr:
    """Give the first picture of a clip, where the clips are."""
    clip = cv2.VideoCapture(str(_CLIPS / f"{name}.mp4"))
    ok, bgr = clip.read()
    clip.release()
    if not ok:
        pytest.skip(f"{_CLIPS}/{name}.mp4 is not there")
    return np.asarray(cv2.resize(bgr, (640, 360), interpolation=cv2.INTER_AREA), dtype=np.uint8)


_SEEDS = pytest.mark.parametrize("seed", [0, 1])


def _gamma(exponent: float) -> Transform:
    table = (255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)
    return lambda bgr: table[bgr]


def _grey(bgr: Bgr) -> Bgr:
    return cv2.cvtColor(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def _infrared(bgr: Bgr) -> Bgr:
    """Light the grey scene by a lamp at the camera, bright in the middle."""
    y, x = np.mgrid[-1 : 1 : bgr.shape[0] * 1j, -1 : 1 : bgr.shape[1] * 1j]
    lamp = 0.3 + 0.9 * np.exp(-(x**2) - y**2)
    return np.clip(_grey(bgr) * lamp[..., None] + 5, 0, 255).astype(np.uint8)


def _fog(density: float, *, grows_with_height: bool = False) -> Transform:
    def fogged(bgr: Bgr) -> Bgr:
        height = np.linspace(1, 0, bgr.shape[0])[:, None, None] ** 2
        amount = density + (1 - density) * 0.8 * height * grows_with_height
        return np.clip(bgr * (1 - amount) + 210 * amount, 0, 255).astype(np.uint8)

    return fogged


def _dark(share: float) -> Transform:
    return lambda bgr: (bgr * share).astype(np.uint8)


def _blur(sigma_px: float) -> Transform:
    return lambda bgr: np.asarray(cv2.GaussianBlur(bgr, (0, 0), sigma_px), dtype=np.uint8)


def _cloth(bgr: Bgr) -> Bgr:
    """Cover everything with something near the lens: out of focus, unevenly lit."""
    shade = np.linspace(60, 120, bgr.shape[1])[None, :, None]
    return np.broadcast_to(shade, bgr.shape).astype(np.uint8)


def _bag(bgr: Bgr) -> Bgr:
    """Cover four fifths."""
    covered = bgr.copy()
    covered[:, : bgr.shape[1] * 4 // 5] = (60, 50, 40)
    return covered


def _turned(share: float) -> Transform:
    return lambda bgr: np.roll(bgr, int(bgr.shape[1] * share), axis=1)


def _even(level: int) -> Transform:
    return lambda bgr: np.full_like(bgr, level)


_FAULTS: dict[ViewFinding, list[Transform]] = {
    ViewFinding.BLACK: [_even(0), _even(6)],
    ViewFinding.OVEREXPOSED: [_even(255)],
    ViewFinding.BLURRED: [_blur(6), _blur(9)],
    ViewFinding.COVERED: [_cloth, _bag, _even(128)],
    ViewFinding.MOVED: [_turned(0.25), _turned(0.5), lambda bgr: bgr[::-1].copy()],
}


@_SEEDS
@pytest.mark.parametrize(
    ("finding", "fault"), [(f, fault) for f, faults in _FAULTS.items() for fault in faults]
)
def test_a_fault_is_told_within_a_minute_and_its_end_too(seed, finding, fault):
    camera = _Camera(_scene(seed))
    assert camera.show(40) == []
    assert camera.show(_WITHIN_S, fault) == [finding]
    camera.show(_WITHIN_S)
    assert camera.health.findings() == ()


def test_a_fault_of_a_few_seconds_is_not_told():
    camera = _Camera(_scene(0))
    camera.show(40)
    for _ in range(5):
        assert camera.show(12, _cloth) == []
        assert camera.show(20) == []


def test_exact_repeats_are_a_frozen_view_within_a_minute():
    camera = _Camera(_scene(0), noise=0.0)
    assert camera.show(_WITHIN_S) == [ViewFinding.FROZEN]


def test_a_frozen_view_that_moves_again_is_well():
    camera = _Camera(_scene(0), noise=0.0)
    camera.show(_WITHIN_S)
    camera.health.note(np.zeros((144, 256), np.uint8), b"other", 61.0)
    still = _Camera(_scene(0))
    still.health, still._at_s = camera.health, 61.0
    still.show(30)
    assert still.health.findings() == ()


def test_a_thrifty_encoder_that_repeats_pictures_between_key_frames_is_not_frozen():
    camera = _Camera(_scene(0))
    thumbnail = np.zeros((144, 256), np.uint8)
    for second in range(300):
        camera.health.note(thumbnail + 100, second // 15, float(second))
        assert ViewFinding.FROZEN not in camera.health.findings()


@_SEEDS
def test_an_empty_scene_with_the_noise_of_a_sensor_is_well_for_an_hour(seed):
    assert _Camera(_scene(seed)).show(3600) == []


# --- what must never be told -----------------------------------------------------------------------------------


def _day_and_night(view: Bgr) -> list[ViewFinding]:
    camera = _Camera(view)
    told = camera.show(30)
    for exponent in (*np.linspace(1, 2.5, 15), *np.linspace(2.5, 0.6, 15), *np.linspace(0.6, 1, 5)):
        told += camera.show(4, _gamma(float(exponent)))
    for share in (*np.linspace(1, 0.18, 20), *np.linspace(0.18, 1, 20)):
        told += camera.show(4, _dark(float(share)))
    return told


def _infrared_switch(view: Bgr) -> list[ViewFinding]:
    camera = _Camera(view)
    told = camera.show(30) + camera.show(10, _dark(0.25))
    return told + camera.show(90, _infrared) + camera.show(60, _grey) + camera.show(60)


def _fog_comes_and_goes(view: Bgr) -> list[ViewFinding]:
    camera = _Camera(view)
    told = camera.show(30)
    for grows in (False, True):
        for density in (*np.linspace(0, 0.75, 15), 0.75, *np.linspace(0.75, 0, 10)):
            told += camera.show(5, _fog(float(density), grows_with_height=grows))
        told += camera.show(60, _fog(0.7)) + camera.show(60)
    return told


_CYCLES = pytest.mark.parametrize("cycle", [_day_and_night, _infrared_switch, _fog_comes_and_goes])


@_SEEDS
@_CYCLES
def test_light_and_weather_over_a_rendered_scene_are_no_trouble(seed, cycle):
    assert cycle(_scene(seed)) == []


@_CYCLES
@pytest.mark.parametrize(
    "name",
    ["bus_burning", "forest_ground_fire", "indoor_battery_ignites", "warehouse_no_fire"],
)
def test_light_and_weather_over_real_scenes_are_no_trouble(name, cycle):
    assert cycle(_real_view(name)) == []


@settings(max_examples=12)
@given(
    seed=st.integers(0, 5),
    exponent=st.floats(0.5, 2.0),
    share=st.floats(0.5, 1.0),
    density=st.floats(0.0, 0.5),
    is_grey=st.booleans(),
)
def test_any_light_and_fog_that_leaves_something_to_be_seen_is_no_trouble(
    seed, exponent, share, density, is_grey
):
    camera = _Camera(_scene(seed))
    camera.show(20)

    def changed(bgr: Bgr) -> Bgr:
        lit = _dark(share)(_gamma(exponent)(bgr))
        return _fog(density)(_grey(lit) if is_grey else lit)

    assume(_thumbnail(changed(camera.view)).std() > 6)  # something can still be seen
    assert camera.show(_WITHIN_S, changed) == []


@_SEEDS
def test_a_fire_that_grows_in_the_view_is_no_trouble(seed):
    scene = Scene(SceneSettings(width_px=640, height_px=360, seed=seed, ignite_at_s=20))
    camera = _Camera(_scene(seed))
    told = camera.show(20)
    for second in range(20, 80):
        told += camera.show_once(scene.render(second).bgr_hwc_u8)
    assert told == []


def test_a_camera_that_shakes_in_the_wind_has_not_moved():
    camera = _Camera(_scene(0))
    rng = np.random.default_rng(0)
    for _ in range(120):
        shift = tuple(int(v) for v in rng.integers(-3, 4, 2))
        assert list(camera.show_once(np.roll(camera.view, shift, axis=(0, 1)))) == []


# --- learning --------------------------------------------------------------------------------------------------


def test_a_turned_camera_stays_a_trouble_until_somebody_says_that_it_was_meant():
    camera = _Camera(_scene(0))
    camera.show(40)
    camera.show(600, _turned(0.5))
    assert camera.health.findings() == (ViewFinding.MOVED,)
    camera.health.learn_anew()
    camera.show(_WITHIN_S, _turned(0.5))
    assert camera.health.findings() == ()
    assert camera.show(_WITHIN_S) == [ViewFinding.MOVED]


@pytest.mark.parametrize("shape", [(16, 16), (4001, 17), (17, 4001)])
def test_views_of_any_shape_are_looked_at(shape):
    rng = np.random.default_rng(0)
    view = rng.integers(0, 255, (*shape, 3)).astype(np.uint8)
    assert _Camera(view).show(30) == []
