"""The picture that all speed measurements post: one 720p JPEG of about 150 kB, the same on every machine."""

from __future__ import annotations

import numpy as np

from shared.picture.imaging import encode_jpeg
from shared.rendered.scene import Scene, SceneSettings

_WANTED_BYTES = 150_000
_BEFORE_FIRE_S = 4.0  # second of the scene; almost all frames that a service sees show no fire
_NOISE = 5.0  # standard deviation in grey levels: a rendered scene is cleaner than any camera's


def posted_jpeg() -> bytes:
    """Render the scene, add a camera's noise, and encode it at the quality that comes nearest to 150 kB."""
    clean_bgr = Scene(SceneSettings()).render(_BEFORE_FIRE_S).bgr_hwc_u8
    noise = np.random.default_rng(0).normal(0.0, _NOISE, clean_bgr.shape)
    noisy_bgr = np.clip(clean_bgr + noise, 0, 255).astype(np.uint8)
    candidates = [encode_jpeg(noisy_bgr, quality) for quality in range(70, 96)]
    return min(candidates, key=lambda jpeg: abs(len(jpeg) - _WANTED_BYTES))
