"""The two networks in plain PyTorch, and how their pretrained weights are read. Ring: none (training only).

Edge classifier: MobileNetV2 (Sandler et al. 2018) up to its 160-channel stage with a 1×1-convolution head, pooled by a
log-mean-exp that keeps small fires. Cloud detector: NanoDet-Plus (RangiLyu, Apache-2.0) run from its stored layer list.
Batch norm is folded in both pretrained files, so neither network holds any.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

TRUNK_FILE = "mobilenetv2_100_imagenet_folded.fp16.safetensors"
DETECTOR_GRAPH_FILE = "nanodet_plus_m_1.5x_416_graph.json"
DETECTOR_WEIGHTS_FILE = "nanodet_plus_m_1.5x_416_coco.fp16.safetensors"
COCO_CLASSES = 80
DISTANCE_BINS = 8
STRIDES_PX = (8, 16, 32, 64)
CELL_STRIDE_PX = 32

# (expansion, channels, repeats, first stride): table 2 of the MobileNetV2 paper.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
)
_TRUNK_CHANNELS = 160
# Width of the head's hidden layer: 40 kB of int8 weights; without it the last trunk layer has to serve both as a
# feature and as a decision, more than 256 gained nothing measurable.
_HEAD_CHANNELS = 256
# Sharpness of the log-mean-exp pooling. 0 is the mean (a small fire drowns in the other cells), large is the maximum
# (one noisy cell decides, and only one cell learns).
_POOL_SHARPNESS = 2.0


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding, which the ImageNet weights were trained with."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; with stride 2 an even side is padded after, an odd side on both ends."""
        if self.stride[0] == 1:
            pad = self.kernel_size[0] // 2
            return F.conv2d(x, self.weight, self.bias, 1, pad, 1, self.groups)
        top, left = x.shape[-2] % 2, x.shape[-1] % 2
        padded = F.pad(x, (left, 1, top, 1))
        return F.conv2d(padded, self.weight, self.bias, 2, 0, 1, self.groups)


class InvertedResidual(nn.Module):
    """One MobileNetV2 block: expand, depthwise, project."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, expansion: int) -> None:
        """Build the block; without expansion there is no first convolution."""
        super().__init__()
        hidden = channels_in * expansion
        self.expand = SameConv(channels_in, hidden, 1) if expansion > 1 else None
        self.dw = SameConv(hidden, hidden, 3, stride, groups=hidden)
        self.project = SameConv(hidden, channels_out, 1)
        self.add = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block; the shortcut is there only where the shape is kept."""
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.dw(y)))
        answer: Tensor = x + y if self.add else y
        return answer


class EdgeClassifier(nn.Module):
    """Fire and smoke logits for a frame, with a coarse map of where."""

    def __init__(self, classes: int = 2, dropout: float = 0.2) -> None:
        """Build trunk and head with random weights; see `pretrained_classifier`."""
        super().__init__()
        self.stem = SameConv(3, 32, 3, 2)
        self.blocks = nn.Sequential(*_trunk_blocks())
        self.hidden = nn.Conv2d(_TRUNK_CHANNELS, _HEAD_CHANNELS, 1)
        self.dropout = nn.Dropout2d(dropout)
        self.cells = nn.Conv2d(_HEAD_CHANNELS, classes, 1)
        nn.init.kaiming_normal_(self.hidden.weight)
        nn.init.zeros_(_bias(self.hidden))
        nn.init.normal_(self.cells.weight, std=0.01)
        # About one cell in ten holds fire or smoke in the pack.
        nn.init.constant_(_bias(self.cells), math.log(0.1 / 0.9))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Classify a batch.

        Args:
            x: shape (N, 3, H, W), float32, **RGB**, (value − 127.5) / 127.5, H and W multiples of 32.

        Returns:
            logits (N, 2) and cells (N, 2, H/32, W/32), both fire then smoke, before calibration.
        """
        y = self.blocks(F.relu6(self.stem(x)))
        y = self.dropout(F.relu6(self.hidden(y)))
        cells: Tensor = self.cells(y)
        return log_mean_exp(cells.float()), cells

    def trunk_parameters(self) -> list[nn.Parameter]:
        """List the pretrained parameters, which take a smaller learning rate."""
        return [*self.stem.parameters(), *self.blocks.parameters()]

    def head_parameters(self) -> list[nn.Parameter]:
        """List the parameters that start from noise."""
        return [*self.hidden.parameters(), *self.cells.parameters()]

    def freeze_early(self, blocks: int) -> None:
        """Keep the stem and the first `blocks` blocks as they are."""
        for module in (self.stem, *list(self.blocks)[:blocks]):
            module.requires_grad_(False)


def log_mean_exp(cells: Tensor, sharpness: float = _POOL_SHARPNESS) -> Tensor:
    """Pool (N, C, h, w) to (N, C) between the mean and the maximum (Pinheiro and Collobert 2015)."""
    sharp = cells * sharpness
    top = sharp.amax((2, 3), keepdim=True)
    pooled = torch.exp(sharp - top).mean((2, 3)).log() + top[:, :, 0, 0]
    return pooled / sharpness


def _trunk_blocks() -> list[nn.Module]:
    blocks: list[nn.Module] = []
    channels = 32
    for expansion, width, repeats, first_stride in _STAGES:
        for index in range(repeats):
            stride = first_stride if index == 0 else 1
            blocks.append(InvertedResidual(channels, width, stride, expansion))
            channels = width
    return blocks


def _bias(conv: nn.Conv2d) -> Tensor:
    if conv.bias is None:
        raise ValueError("this convolution was built without a bias")
    return conv.bias


def pretrained_classifier(weights_dir: Path) -> EdgeClassifier:
    """Build the edge classifier on ImageNet weights; its head starts from noise.

    Raises:
        FileNotFoundError: the weights are not there.
        ValueError: the file lacks a layer of the trunk.
    """
    model = EdgeClassifier()
    stored = {k: v.float() for k, v in load_file(_found(weights_dir / TRUNK_FILE)).items()}
    own = model.state_dict()
    wanted = [k for k in own if k.startswith(("stem.", "blocks."))]
    lacking = [k for k in wanted if k not in stored or stored[k].shape != own[k].shape]
    if lacking:
        raise ValueError(f"{TRUNK_FILE} lacks {len(lacking)} layers, for instance {lacking[0]}")
    model.load_state_dict({k: stored[k] for k in wanted}, strict=False)
    return model


@dataclass(frozen=True, slots=True, kw_only=True)
class RawDetections:
    """What the detector says for every place of a batch, before decoding.

    `class_logits` is (N, A, 2), fire then smoke. `distance_logits` is (N, A, 4, 8): left, top, right, bottom,
    a distribution over 0…7 strides each. `places` is (A, 3): x, y in canvas pixels and the stride.
    """

    class_logits: Tensor
    distance_logits: Tensor
    places: Tensor


class CloudDetector(nn.Module):
    """NanoDet-Plus run from its stored layer list, with the class rows replaced by fire and smoke."""

    def __init__(self, graph: Sequence[dict[str, Any]], classes: int = 2) -> None:
        """Build the layers of `detector_graph` with random weights; see `pretrained_detector`."""
        super().__init__()
        self.graph = list(graph)
        self.classes = classes
        self.convs = nn.ModuleDict()
        for node in self.graph:
            if node["op"].startswith("Convolution"):
                self.convs[node["name"]] = self._conv(node)

    def _conv(self, node: dict[str, Any]) -> nn.Conv2d:
        params, groups = node["params"], node["groups"]
        channels_in = self._channels_in(node)
        channels_out = params["0"]
        if channels_out == COCO_CLASSES + 4 * DISTANCE_BINS:
            channels_out = self.classes + 4 * DISTANCE_BINS
        stride, pad = params.get("3", 1), params.get("4", 0)
        return nn.Conv2d(channels_in, channels_out, params["1"], stride, pad, groups=groups)

    def _channels_in(self, node: dict[str, Any]) -> int:
        channels = node.get("channels_in")
        if channels is None:
            raise ValueError("build the graph with `detector_graph`, which adds the input widths")
        return int(channels)

    def forward(self, x: Tensor) -> RawDetections:
        """Detect on a batch.

        Args:
            x: shape (N, 3, H, W), float32, **BGR**, minus (103.53, 116.28, 123.675) over (57.375, 57.12, 58.395),
                H and W multiples of 32.
        """
        values = {"data": x}
        maps: dict[int, Tensor] = {}
        for node in self.graph:
            self._step(node, values, maps)
        ordered = [maps[s] for s in sorted(maps)]
        flat = torch.cat([m.flatten(2) for m in ordered], 2).transpose(1, 2).float()
        classes, distances = flat[..., : self.classes], flat[..., self.classes :]
        places = torch.cat([_places(m, s) for m, s in zip(ordered, STRIDES_PX, strict=True)])
        shaped = distances.reshape(-1, distances.shape[1], 4, DISTANCE_BINS)
        return RawDetections(class_logits=classes, distance_logits=shaped, places=places)

    def _step(
        self, node: dict[str, Any], values: dict[str, Tensor], maps: dict[int, Tensor]
    ) -> None:
        op, params = node["op"], node["params"]
        if op in ("Input", "Sigmoid", "Permute"):
            return
        inputs = [values[name] for name in node["inputs"]]
        if op == "Slice" and params["0"][0] == COCO_CLASSES:
            stride = int(node["outputs"][1].removeprefix("dis").removesuffix("_pre"))
            maps[stride] = inputs[0]
            return
        values.update(zip(node["outputs"], self._layer(node, inputs), strict=True))

    def _layer(self, node: dict[str, Any], inputs: list[Tensor]) -> list[Tensor]:
        op, params = node["op"], node["params"]
        first = inputs[0]
        if op.startswith("Convolution"):
            return [_activate(self.convs[node["name"]](first), params)]
        if op == "Pooling":
            return [F.max_pool2d(first, params["1"], params["2"], params.get("3", 0))]
        if op == "Split":
            return [first] * len(node["outputs"])
        if op == "Concat":
            return [torch.cat(inputs, 1)]
        if op == "ShuffleChannel":
            n, c, h, w = first.shape
            groups = params["0"]
            return [first.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)]
        if op == "Slice":
            return list(first.chunk(len(params["0"]), 1))
        if op == "BinaryOp":
            return [first + inputs[1]]
        if op == "Interp":
            return [F.interpolate(first, scale_factor=2, mode="bilinear", align_corners=False)]
        raise ValueError(f"unknown layer {op} in the graph")

    def head_parameters(self) -> list[nn.Parameter]:
        """List the parameters of the four output layers, which hold the new class rows."""
        return [p for name in self.output_layers() for p in self.convs[name].parameters()]

    def trunk_parameters(self) -> list[nn.Parameter]:
        """List all pretrained parameters, which take a smaller learning rate."""
        heads = {id(p) for p in self.head_parameters()}
        return [p for p in self.parameters() if id(p) not in heads]

    def output_layers(self) -> list[str]:
        """Name the layers that end in classes and distances."""
        width = COCO_CLASSES + 4 * DISTANCE_BINS
        return [
            n["name"] for n in self.graph if n["op"] == "Convolution" and n["params"]["0"] == width
        ]


def _activate(y: Tensor, params: dict[str, Any]) -> Tensor:
    kind = params.get("9", 0)
    if kind == 1:
        return F.relu(y)
    if kind == 2:
        return F.leaky_relu(y, params["10"][0])
    return y


def _places(level: Tensor, stride_px: int) -> Tensor:
    """List x, y and stride of a level's cells, row by row. NanoDet-Plus measures from a cell's top-left corner."""
    height, width = level.shape[-2:]
    xs = torch.arange(width, device=level.device, dtype=torch.float32) * stride_px
    ys = torch.arange(height, device=level.device, dtype=torch.float32) * stride_px
    grid_y, grid_x = torch.meshgrid(ys, xs, indexing="ij")
    strides = torch.full_like(grid_x, float(stride_px))
    return torch.stack([grid_x, grid_y, strides], -1).flatten(0, 1)


def decode_boxes(raw: RawDetections) -> Tensor:
    """Turn distance distributions into boxes.

    Returns:
        shape (N, A, 4), float32, xyxy in canvas pixels, not clipped.
    """
    bins = torch.arange(DISTANCE_BINS, device=raw.places.device, dtype=torch.float32)
    distances = (raw.distance_logits.softmax(-1) * bins).sum(-1) * raw.places[:, 2:3]
    centre = raw.places[:, :2]
    return torch.cat([centre - distances[..., :2], centre + distances[..., 2:]], -1)


def detector_graph(weights_dir: Path) -> list[dict[str, Any]]:
    """Read the stored layer list and add each convolution's input width."""
    graph: list[dict[str, Any]] = json.loads(_found(weights_dir / DETECTOR_GRAPH_FILE).read_text())
    stored = load_file(_found(weights_dir / DETECTOR_WEIGHTS_FILE))
    for node in graph:
        if node["op"].startswith("Convolution"):
            node["channels_in"] = stored[node["name"] + ".weight"].shape[1] * node["groups"]
    return graph


def pretrained_detector(weights_dir: Path, *, prior: float = 0.02) -> CloudDetector:
    """Build the detector on COCO weights; its two class rows start from noise.

    Args:
        weights_dir: folder with the layer list and the weights.
        prior: probability that the new class rows give at the start; too large and the first steps are spent
            on silencing every place, too small and positives start with a vanishing gradient.
    """
    model = CloudDetector(detector_graph(weights_dir))
    stored = {
        k: v.float() for k, v in load_file(_found(weights_dir / DETECTOR_WEIGHTS_FILE)).items()
    }
    outputs = set(model.output_layers())
    for name, conv in model.convs.items():
        weight, bias = stored[name + ".weight"], stored[name + ".bias"]
        if name in outputs:
            fresh = torch.randn(model.classes, *weight.shape[1:]) * 0.01
            start = torch.full((model.classes,), math.log(prior / (1 - prior)))
            weight = torch.cat([fresh, weight[COCO_CLASSES:]])
            bias = torch.cat([start, bias[COCO_CLASSES:]])
        conv.load_state_dict({"weight": weight, "bias": bias})
    return model


def load_exported(model: nn.Module, path: Path) -> None:
    """Take the weights of a file that `models.export` wrote: a shipped model is a place to start from.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: it lacks a layer of the network, or has it in another shape.
    """
    model.load_state_dict(exported_weights(path, model.state_dict()))


def exported_weights(path: Path, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read the weights of a file that `models.export` wrote, by the names that the network gives them.

    Neither network holds batch norm, so the file has every weight as it was trained.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: it lacks one of the `wanted` weights, or has it in another shape.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; an fp32 ONNX file is wanted")
    stored = {
        _trained_name(t.name): torch.from_numpy(onnx.numpy_helper.to_array(t).copy())
        for t in onnx.load(path).graph.initializer
    }
    lacking = [k for k in wanted if k not in stored or stored[k].shape != wanted[k].shape]
    if lacking:
        raise ValueError(f"{path} lacks {len(lacking)} layers, for instance {lacking[0]}")
    return {k: stored[k] for k in wanted}


def _trained_name(exported: str) -> str:
    """Undo what the wrappers of the export put before and into a weight's name."""
    layer, _, kind = exported.removeprefix("model.").rpartition(".")
    return f"{layer.removesuffix('.conv')}.{kind}"


def _found(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there; name the folder of pretrained weights with --weights"
        )
    return path
