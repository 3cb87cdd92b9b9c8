"""Tiny real ONNX files with a manifest: red means fire, so that a test can choose what the model says.

The classifier's fire logit is 12 · (mean red − mean blue) / 255 − 3 per picture: a red picture is a sure fire, a grey
one surely none, and one between is unsure. The detector puts one box on the left half with the same evidence.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_GAIN = 12.0
_FIRE_BIAS = -3.0
_SMOKE_LOGIT = -6.0


def write_classifier(
    models_dir: Path, *, version: str = "0.1.0", fire_bias: float = _FIRE_BIAS
) -> Path:
    """Write the artifact `edge-classifier`; returns its folder. A bias of NaN makes every run fail."""
    # RGB in, scaled to 0…1.
    weights = np.array([[_GAIN, 0.0], [0.0, 0.0], [-_GAIN, 0.0]], np.float32)
    bias = np.array([fire_bias, _SMOKE_LOGIT], np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"]),
    ]
    model = _model(nodes, {"weights": weights, "bias": bias}, {"logits": ["n", 2]})
    return _write(
        models_dir / "edge-classifier" / version, model, kind="classifier", outputs=["logits"]
    )


def write_detector(
    models_dir: Path, *, version: str = "0.1.0", fire_bias: float = _FIRE_BIAS
) -> Path:
    """Write the artifact `cloud-detector`; returns its folder."""
    weights = np.array([[_GAIN, 0.0], [0.0, 0.0], [-_GAIN, 0.0]], np.float32)
    bias = np.array([fire_bias, _SMOKE_LOGIT], np.float32)
    boxes = np.array([[[0.0, 0.0, 64.0, 64.0]]], np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["flat_scores"]),
        helper.make_node("Unsqueeze", ["flat_scores", "axis"], ["scores"]),
        helper.make_node("Shape", ["image"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["n"], axis=0),
        helper.make_node("Concat", ["n", "ones"], ["repeats"], axis=0),
        helper.make_node("Tile", ["one_box", "repeats"], ["boxes"]),
    ]
    constants = {
        "weights": weights,
        "bias": bias,
        "axis": np.array([1], np.int64),
        "first": np.array([0], np.int64),
        "ones": np.array([1, 1], np.int64),
        "one_box": boxes,
    }
    model = _model(nodes, constants, {"scores": ["n", 1, 2], "boxes": ["n", 1, 4]})
    return _write(
        models_dir / "cloud-detector" / version, model, kind="detector", outputs=["scores", "boxes"]
    )


def add_self_test(folder: Path, label: str, jpeg: bytes) -> Path:
    """Add a picture that the artifact's model must answer with `label`; returns the picture's file."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    tests = manifest.setdefault("selftest", [])
    name = f"selftest/{label}-{len(tests) + 1}.jpg"
    tests.append({"file": name, "sha256": hashlib.sha256(jpeg).hexdigest(), "label": label})
    (folder / "selftest").mkdir(exist_ok=True)
    (folder / name).write_bytes(jpeg)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    return folder / name


def _model(nodes: list[Any], constants: dict[str, Any], outputs: dict[str, list[Any]]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _write(folder: Path, model: bytes, *, kind: str, outputs: list[str]) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model)
    platt = {"scale": 1.0, "bias": 0.0}
    is_classifier = kind == "classifier"
    entry = {"path": "model.onnx", "sha256": hashlib.sha256(model).hexdigest(), "bytes": len(model)}
    variants = ("int8", "fp32") if is_classifier else ("fp32",)
    manifest = {
        "schema": 1,
        "name": folder.parent.name,
        "version": folder.name,
        "kind": kind,
        "created_at": "2026-01-01T00:00:00Z",
        "labels": ["fire", "smoke"],
        "files": dict.fromkeys(variants, entry),
        "default_variant": variants[0],
        "input": {
            "name": "image",
            "sizes_px": [[128, 64], [64, 128]] if is_classifier else [[128, 128]],
            "colour": "RGB",
            "mean": [0.0, 0.0, 0.0],
            "std": [255.0, 255.0, 255.0],
            "pad_value": 114,
        },
        "outputs": outputs,
        "calibration": {v: {"fire": platt, "smoke": platt} for v in variants}
        if is_classifier
        else {},
        "thresholds": {"fire": 0.5, "smoke": 0.5},
        "nms_iou": None if is_classifier else 0.6,
        "training": {},
        "metrics": {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder
