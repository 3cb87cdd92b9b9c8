"""The cloud's yardstick: decode, resize, normalise and the detector in a bare loop.

As `bench.bare_loop` for the edge: no web server, no threads, no checks, every buffer kept. `--batch` runs the network
on so many copies at once; the decoding is done for each.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from shared.model.inference import Session
from shared.model.manifest import Artifact, load_artifact
from shared.picture.letterbox import letterbox_for
from shared.startup import keep_freed_memory

_WARM_UP = 3


def build_loop(artifact: Artifact, jpeg: bytes, batch: int, device: str) -> Callable[[], None]:
    """Build the loop's body for `batch` copies of one picture."""
    session = Session(artifact, device=device, batch_sizes=(batch,))
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
    tensor = np.empty((batch, 3, place.canvas_height_px, place.canvas_width_px), np.float32)
    order = (2, 1, 0) if contract.colour == "RGB" else (0, 1, 2)
    scales = [np.float32(1.0 / std) for std in contract.std]
    shifts = [np.float32(mean / std) for mean, std in zip(contract.mean, contract.std, strict=True)]

    def once() -> None:
        for number in range(batch):
            small = simplejpeg.decode_jpeg(
                jpeg, colorspace="BGR", min_width=inner_px[0], min_height=inner_px[1], min_factor=1
            )
            cv2.resize(small, inner_px, dst=inside, interpolation=cv2.INTER_LINEAR)
            planes = cv2.split(canvas)
            for channel in range(3):
                target = tensor[number, channel]
                np.multiply(planes[order[channel]], scales[channel], out=target)
                np.subtract(target, shifts[channel], out=target)
        session.run(tensor)

    return once


def main() -> None:
    """Run the loop until `--count` pictures are done; print CPU time and wall time a picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    wanted = parser.parse_args()
    keep_freed_memory()
    cv2.setNumThreads(1)
    artifact = load_artifact(
        wanted.models,
        "cloud-detector",
        kind="detector",
        prefer="fp16" if wanted.device == "cuda" else None,
    )
    once = build_loop(artifact, wanted.picture.read_bytes(), wanted.batch, wanted.device)
    for _ in range(_WARM_UP):
        once()
    turns = -(-wanted.count // wanted.batch)
    started_cpu_s, started_s = time.process_time(), time.perf_counter()
    for _ in range(turns):
        once()
    pictures = turns * wanted.batch
    cpu_ms = 1000 * (time.process_time() - started_cpu_s) / pictures
    wall_ms = 1000 * (time.perf_counter() - started_s) / pictures
    print(json.dumps({"cpu_ms": cpu_ms, "wall_ms": wall_ms}))


if __name__ == "__main__":
    main()
