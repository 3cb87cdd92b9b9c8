"""Quantise an exported network to int8: `python -m models.quantize classifier|detector`.

Static QDQ, uint8 activations, int8 weights, per channel: on CPUs with VNNI two to three times as fast as fp32. What is
left in float: the classifier's last 1×1 convolution and pooling, the detector's output layers and box decoding;
they cost nothing and their rounding would go straight into the answer.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from models import train_classifier, train_detector
from models.artifact import PLANS, ArtifactPlan
from models.data import Picture, default_data_dir, load_pack, read_corrections
from shared.picture.letterbox import InputContract
from shared.picture.preprocess import preprocess

# Ranges of activations are taken from this many training pictures; fewer miss bright or dark ones, more change nothing.
_CALIBRATION_PICTURES = 256
_SEED = 11
# The first layers see raw pixels and have a range of their own in every channel: as int8 they cost the classifier 0.001
# of AUC (correlation with fp32 .994 instead of .998) and save no time that can be measured. More as float gain nothing
# and take longer: the fourth and fifth of the classifier are its widest.
_FLOAT_FIRST_LAYERS = {"classifier": 3, "detector": 1}


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    """Hands the calibration pictures to the quantiser, one a step."""

    def __init__(self, pictures: list[Picture], contract: InputContract) -> None:
        self._name = contract.name
        self._stream = self._tensors(pictures, contract)

    @staticmethod
    def _tensors(pictures: list[Picture], contract: InputContract) -> Iterator[NDArray[np.float32]]:
        for picture in pictures:
            yield preprocess(picture.decode(), contract).tensor

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        tensor = next(self._stream, None)
        return None if tensor is None else {self._name: tensor}


def quantize(plan: ArtifactPlan, pictures: Sequence[Picture]) -> Path:
    """Quantise the staged fp32 file of a network; the ranges of its activations come from some of the pictures.

    Raises:
        FileNotFoundError: it was not exported.
    """
    is_classifier = plan.kind == "classifier"
    contract = train_classifier.CONTRACT if is_classifier else train_detector.CONTRACT
    rng = np.random.default_rng(_SEED)
    chosen = [
        pictures[int(i)] for i in rng.choice(len(pictures), _CALIBRATION_PICTURES, replace=False)
    ]
    prepared = plan.stage / "prepared.onnx"
    quant_pre_process(str(plan.variant("fp32")), str(prepared), skip_symbolic_shape=True)
    target = plan.variant("int8")
    logging.getLogger().setLevel(logging.ERROR)
    quantize_static(
        str(prepared),
        str(target),
        _Reader(chosen, contract),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        calibrate_method=CalibrationMethod.MinMax,
        op_types_to_quantize=[
            "Conv",
            "Clip",  # the classifier's ReLU6: alone in float, each would cost two conversions and a rounding
            "Add",
            "MaxPool",
            "Concat",
            "Resize",
            "LeakyRelu",
            "Split",
            "Reshape",
            "Transpose",
        ],
        nodes_to_exclude=float_nodes(prepared, _FLOAT_FIRST_LAYERS[plan.kind]),
        extra_options={"CalibMovingAverage": True},
    )
    prepared.unlink()
    return target


def float_nodes(path: Path, first_layers: int) -> list[str]:
    """Name the nodes that stay in float: the first convolutions, the last ones, and all after those."""
    graph = onnx.load(path).graph
    makers: dict[str, Any] = {output: node for node in graph.node for output in node.output}
    waiting = [makers[o.name] for o in graph.output if o.name in makers]
    kept = [node.name for node in graph.node if node.op_type == "Conv"][:first_layers]
    while waiting:
        node = waiting.pop()
        if node.name in kept:
            continue
        kept.append(node.name)
        if node.op_type == "Conv":
            continue
        waiting += [makers[name] for name in node.input if name in makers]
    return kept


def main() -> None:
    """Read the command line and quantise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(PLANS))
    parser.add_argument("--data", type=Path, default=default_data_dir())
    arguments = parser.parse_args()
    pictures = load_pack(arguments.data, "train", corrections=read_corrections()).pictures
    path = quantize(PLANS[arguments.kind], pictures)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
