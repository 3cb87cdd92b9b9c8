"""The yardstick: decode, resize, normalise and the model in a bare loop, as fast as these libraries go.

It is fixed: it is not changed to follow the service. No web server, no threads, no checks, every buffer kept; only the
model's bytes, its session options and the memory settings are the service's own. Runs as a process of its own and
prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from shared.model.inference import Session, best_cpu_variant
from shared.model.manifest import Artifact, load_artifact
from shared.picture.letterbox import letterbox_for
from shared.startup import keep_freed_memory

_WARM_UP = 50
# Before each picture whose latency is taken: a service rests between a caller's posts, and the scheduler of a busy
# machine favours who rests. Without it the loop is cut in pieces there and looks slower than the service.
_PAUSE_S = 0.001


def build_loop(artifact: Artifact, jpeg: bytes) -> Callable[[], NDArray[np.float32]]:
    """Build the loop's body for one picture: encoded bytes in, logits (1, 2) out."""
    session = Session(artifact)
    contract = artifact.manifest.input.contract()
    height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
    place = letterbox_for(contract, width, height)
    inner_px = place.inner_size_px
    canvas = np.full(
        (place.canvas_height_px, place.canvas_width_px, 3), contract.pad_value, np.uint8
    )
    inside = canvas[
        place.top_px : place.top_px + inner_px[1], place.left_px : place.left_px + inner_px[0]
    ]
    tensor = np.empty((1, 3, place.canvas_height_px, place.canvas_width_px), np.float32)
    order = (2, 1, 0) if contract.colour == "RGB" else (0, 1, 2)
    scales = [np.float32(1.0 / std) for std in contract.std]
    shifts = [np.float32(mean / std) for mean, std in zip(contract.mean, contract.std, strict=True)]

    def once() -> NDArray[np.float32]:
        small = simplejpeg.decode_jpeg(
            jpeg, colorspace="BGR", min_width=inner_px[0], min_height=inner_px[1], min_factor=1
        )
        cv2.resize(small, inner_px, dst=inside, interpolation=cv2.INTER_LINEAR)
        planes = cv2.split(canvas)
        for channel in range(3):
            target = tensor[0, channel]
            np.multiply(planes[order[channel]], scales[channel], out=target)
            np.subtract(target, shifts[channel], out=target)
        return session.run(tensor)["logits"]

    return once


def main() -> None:
    """Run the loop `--count` times for its CPU time, then half as often for its latencies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    wanted = parser.parse_args()
    keep_freed_memory()
    cv2.setNumThreads(1)
    artifact = load_artifact(
        wanted.models, "edge-classifier", kind="classifier", variant=best_cpu_variant()
    )
    once = build_loop(artifact, wanted.picture.read_bytes())
    for _ in range(_WARM_UP):
        logits = once()
    started_cpu_s = time.process_time()
    for _ in range(wanted.count):
        logits = once()
    cpu_ms = 1000 * (time.process_time() - started_cpu_s) / wanted.count
    latencies_ms = []
    for _ in range(wanted.count // 2):
        time.sleep(_PAUSE_S)
        started_s = time.perf_counter()
        logits = once()
        latencies_ms.append(1000 * (time.perf_counter() - started_s))
    calibration = artifact.manifest.calibration[artifact.variant]
    answer = {
        name: 1 / (1 + math.exp(-(calibration[name].scale * float(v) + calibration[name].bias)))
        for name, v in zip(("fire", "smoke"), logits[0], strict=True)
    }
    print(json.dumps({"cpu_ms": cpu_ms, "latencies_ms": latencies_ms, "answer": answer}))


if __name__ == "__main__":
    main()
