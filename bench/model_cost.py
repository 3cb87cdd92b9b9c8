"""What one classification costs on one core, without decoding, and how large its file is."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from bench.numbers import Number, median
from bench.processes import Setting
from shared.model.inference import Session
from shared.model.manifest import load_artifact
from shared.picture.imaging import decode, read_picture
from shared.picture.letterbox import letterbox_for
from shared.picture.preprocess import preprocess
from shared.startup import keep_freed_memory
from shared.types import ImageLimits


def measure(setting: Setting) -> list[Number]:
    """Measure the int8 session alone and with the preparation of its input."""
    keep_freed_memory()
    artifact = load_artifact(setting.models, "edge-classifier", kind="classifier", variant="int8")
    session, contract = Session(artifact), artifact.manifest.input.contract()
    picture = read_picture(setting.picture.read_bytes(), ImageLimits())
    place = letterbox_for(contract, picture.width_px, picture.height_px)
    small = decode(picture, at_least_px=place.inner_size_px)
    kept = preprocess(small.bgr_hwc_u8, contract, letterbox=place).tensor

    def prepare_and_run() -> None:
        prepared = preprocess(small.bgr_hwc_u8, contract, letterbox=place, out=kept)
        session.run(prepared.tensor)

    count = 100 if setting.is_quick else 500
    return [
        Number(
            name="edge.classify_ms_one_core",
            value=_cpu_ms(prepare_and_run, count),
            unit="ms",
            accept=5.0,
            goal=3.0,
        ),
        Number(
            name="edge.session_ms_one_core",
            value=_cpu_ms(lambda: session.run(kept), count),
            unit="ms",
        ),
        Number(
            name="edge.int8_file_mb",
            value=len(artifact.model_bytes) / 1e6,
            unit="MB",
            accept=2.5,
            goal=2.5,
        ),
    ]


def _cpu_ms(work: Callable[[], object], count: int) -> float:
    """Give the median CPU time of one run, all threads of this process together."""
    for _ in range(20):
        work()
    found = np.empty(count)
    for index in range(count):
        started_s = time.process_time()
        work()
        found[index] = 1000 * (time.process_time() - started_s)
    return float(median(found))
