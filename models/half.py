"""Add a half-precision file to the published detector, for cards: `python -m models.half [FOLDER]`.

The fp32 file is converted (weights and arithmetic in float16,
inputs and outputs stay float32) and compared with what it came from on the artifact's own pictures and on noise; one
that answers differently is not written. On a CPU it is slower than fp32: runtimes compute it in float32 there.
"""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel as GraphEditor

from models.artifact import PLANS, file_section
from models.card import write_card
from models.onnx_model import OnnxModel
from shared.model.manifest import MANIFEST_NAME, Artifact, load_version
from shared.picture.imaging import decode, read_picture
from shared.picture.letterbox import InputContract
from shared.picture.preprocess import preprocess
from shared.types import ImageLimits

VARIANT = "fp16"
_FILE = "model.fp16.onnx"
# float16 has three digits; a score that moves by more than this was not one of rounding.
_MOST_SCORE = 0.02
_MOST_PX = 2.0  # on a canvas of 416 px one step of float16 is a quarter of a pixel


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert the arithmetic of a model to float16; its inputs and outputs stay float32."""
    logging.getLogger("onnxruntime.transformers.float16").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one for every weight that is rounded
        half: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True)
    _drop_repeated_casts(half)
    GraphEditor(half).topological_sort()  # the converter appends its casts at the end
    onnx.checker.check_model(half)
    return half


def _drop_repeated_casts(model: onnx.ModelProto) -> None:
    """Leave one cast of each name: the converter writes one for every use of a value that must stay float32."""
    seen: set[str] = set()
    for node in list(model.graph.node):
        if node.op_type == "Cast" and node.output[0] in seen:
            model.graph.node.remove(node)
        seen.update(node.output)


def add_half(folder: Path) -> dict[str, float]:
    """Write the file and its entry in the manifest; returns how far its answers are from those of fp32.

    Raises:
        ModelError: the folder holds no detector, or not the one its manifest tells of.
        RuntimeError: the answers differ by more than rounding.
    """
    artifact = load_version(folder, folder.parent.name, kind="detector", variant="fp32")
    whole = folder / artifact.manifest.files["fp32"].path
    partial = folder / f"{_FILE}.partial"
    onnx.save(to_half(onnx.load(whole)), partial)
    try:
        differences = _compare(whole, partial, artifact)
    except RuntimeError:
        partial.unlink()
        raise
    partial.replace(folder / _FILE)
    path = folder / MANIFEST_NAME
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    manifest["files"][VARIANT] = file_section(folder / _FILE, _FILE)
    manifest["metrics"][VARIANT] = {"against_fp32": differences}
    beside = path.with_name(f"{MANIFEST_NAME}.partial")
    beside.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    beside.replace(path)
    card = folder / "CARD.md"
    if card.is_file():
        card.write_text(write_card(manifest), encoding="utf-8")
    return differences


def _compare(whole: Path, half: Path, artifact: Artifact) -> dict[str, float]:
    score, px = 0.0, 0.0
    first, second = OnnxModel(whole), OnnxModel(half)
    for tensor in _tensors(artifact):
        wanted, found = (
            dict(zip(artifact.manifest.outputs, model.run(tensor), strict=True))
            for model in (first, second)
        )
        score = max(score, float(np.abs(wanted["scores"] - found["scores"]).max()))
        is_seen = wanted["scores"].max(axis=-1) >= min(artifact.manifest.thresholds.values())
        moved = np.abs(wanted["boxes"] - found["boxes"]).max(axis=-1)[is_seen]
        px = max(px, float(moved.max(initial=0.0)))
    if score > _MOST_SCORE or px > _MOST_PX:
        raise RuntimeError(f"differs from fp32 by {score:.3f} in scores and {px:.1f} px in boxes")
    return {"score": round(score, 5), "box_px": round(px, 3)}


def _tensors(artifact: Artifact) -> Iterator[NDArray[np.float32]]:
    contract: InputContract = artifact.manifest.input.contract()
    for test in artifact.self_tests:
        picture = read_picture(test.encoded, ImageLimits())
        yield preprocess(decode(picture).bgr_hwc_u8, contract).tensor
    random = np.random.default_rng(0)
    for _ in range(4):
        noise = random.integers(0, 256, (360, 640, 3), dtype=np.uint8)
        yield preprocess(noise, contract).tensor


def main() -> None:
    """Read the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=PLANS["detector"].target)
    folder = parser.parse_args().folder
    differences = add_half(folder)
    click.echo(f"{folder / _FILE}: {(folder / _FILE).stat().st_size / 1e6:.2f} MB, {differences}")


if __name__ == "__main__":
    main()
