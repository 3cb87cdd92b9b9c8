"""Export a trained network to ONNX fp32: `python -m models.export classifier|detector`.

The moving average of the last checkpoint is exported, or its mean with the weights of an earlier file, and the file is
compared with PyTorch before it is kept.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import torch
from torch import Tensor, nn

from models import train_classifier, train_detector
from models.artifact import PLANS, ArtifactPlan, sha256_of, write_stage
from models.networks import (
    CloudDetector,
    EdgeClassifier,
    SameConv,
    decode_boxes,
    exported_weights,
)
from models.onnx_model import OnnxModel
from models.training_run import RUNS_DIR, load_checkpoint

_OPSET = 18
# Largest difference between PyTorch and the file that is float rounding and nothing else.
_TOLERANCE = 2e-3


class _EvenConv(nn.Module):
    """A stride-2 SAME convolution for even sides only: the padding is a constant, which the exporter folds into it."""

    def __init__(self, conv: SameConv) -> None:
        super().__init__()
        self.pad = nn.ZeroPad2d((0, 1, 0, 1))
        self.conv = nn.Conv2d(
            conv.in_channels, conv.out_channels, conv.kernel_size[0], 2, 0, groups=conv.groups
        )
        self.conv.load_state_dict(conv.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        padded: Tensor = self.conv(self.pad(x))
        return padded


class _Served(nn.Module):
    """The detector with its boxes decoded, as the file answers."""

    def __init__(self, model: CloudDetector) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        raw = self.model(x)
        return raw.class_logits.sigmoid(), decode_boxes(raw)


def export_classifier(plan: ArtifactPlan, checkpoint: dict[str, Any]) -> Path:
    """Write the classifier with free batch, height and width (multiples of 32)."""
    model = EdgeClassifier()
    model.load_state_dict(checkpoint["average"])
    model.eval()
    _fix_padding(model)
    # Each canvas doubled in batch, so that no dimension looks constant to the exporter.
    example = torch.randn(2, 3, 160, 256)
    dimensions = {
        0: torch.export.Dim("batch"),
        2: torch.export.Dim("height"),
        3: torch.export.Dim("width"),
    }
    target = plan.variant("fp32")
    _export(model, example, target, train_classifier.CONTRACT.name, plan.outputs, dimensions)
    for width, height in train_classifier.CONTRACT.sizes_px:
        _compare(model, target, torch.randn(1, 3, height, width))
    return target


def export_detector(plan: ArtifactPlan, checkpoint: dict[str, Any]) -> Path:
    """Write the detector with a free batch and a fixed canvas."""
    model = CloudDetector(checkpoint["graph"])
    model.load_state_dict(checkpoint["average"])
    served = _Served(model).eval()
    width, height = train_detector.CONTRACT.sizes_px[0]
    target = plan.variant("fp32")
    dimensions = {0: torch.export.Dim("batch")}
    example = torch.randn(2, 3, height, width)
    _export(served, example, target, train_detector.CONTRACT.name, plan.outputs, dimensions)
    _compare(served, target, torch.randn(3, 3, height, width))
    return target


def _fix_padding(model: nn.Module) -> None:
    for name, child in model.named_children():
        if isinstance(child, SameConv) and child.stride[0] == 2:
            setattr(model, name, _EvenConv(child))
        else:
            _fix_padding(child)


def _export(
    model: nn.Module,
    example: Tensor,
    target: Path,
    input_name: str,
    outputs: tuple[str, ...],
    dimensions: dict[int, Any],
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            opset_version=_OPSET,
            input_names=[input_name],
            output_names=list(outputs),
            dynamic_shapes=(dimensions,),
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter returned nothing")
    proto = program.model_proto
    # The exporter notes source lines and paths of this machine in every node; a shipped file needs none of it.
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del value.metadata_props[:]
    onnx.checker.check_model(proto)
    onnx.save(proto, target)


def _compare(model: nn.Module, path: Path, tensor: Tensor) -> None:
    with torch.no_grad():
        wanted = [t.numpy() for t in model(tensor)]
    for want, got in zip(wanted, OnnxModel(path).run(tensor.numpy()), strict=True):
        difference = float(np.abs(want - got).max() / max(1.0, float(np.abs(want).max())))
        if difference > _TOLERANCE:
            raise RuntimeError(f"{path}: differs from PyTorch by {difference:.2g}")


def mean_weights(average: Mapping[str, Tensor], earlier: Path) -> dict[str, Tensor]:
    """Average a run's weights with those of the file it started from.

    Both lie in one valley, and their mean is right more often than either on pictures unlike those of the second run
    (Wortsman et al. 2022, model soups and robust fine-tuning).

    Raises:
        FileNotFoundError: the earlier file is not there.
        ValueError: it is of another network.
    """
    before = exported_weights(earlier, average)
    return {name: (weight + before[name]) / 2 for name, weight in average.items()}


def export(kind: str, mean_with: Path | None = None) -> Path:
    """Export the last checkpoint of a network and note what it was trained with.

    Args:
        kind: classifier or detector.
        mean_with: an earlier fp32 file of the same network; the mean of both is exported.

    Raises:
        FileNotFoundError: no training run has left a checkpoint, or the earlier file is not there.
        ValueError: the earlier file is of another network.
        RuntimeError: the file answers differently from PyTorch.
    """
    plan = PLANS[kind]
    checkpoint = load_checkpoint(RUNS_DIR / plan.name)
    if checkpoint is None:
        raise FileNotFoundError(f"no checkpoint below {RUNS_DIR / plan.name}: train first")
    if mean_with is not None:
        checkpoint |= {"average": mean_weights(checkpoint["average"], mean_with)}
    torch.manual_seed(0)
    torch.set_num_threads(1)
    target = (export_classifier if kind == "classifier" else export_detector)(plan, checkpoint)
    write_stage(
        plan,
        "training.json",
        {
            "data_sha256": checkpoint["data_sha256"],
            "seed": checkpoint["config"]["seed"],
            "epochs": checkpoint["epochs_done"],
            "recipe": checkpoint["config"],
            "mean_with_sha256": None if mean_with is None else sha256_of(mean_with),
        },
    )
    return target


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(PLANS))
    parser.add_argument("--mean-with", type=Path, help="fp32 file to average the weights with")
    given = parser.parse_args()
    path = export(given.kind, given.mean_with)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
