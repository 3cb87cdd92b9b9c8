"""The shipped files say the same: PyTorch, fp32 and int8, on rendered pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from models.artifact import PLANS  # noqa: E402
from models.data import default_weights_dir  # noqa: E402
from models.networks import (  # noqa: E402
    DETECTOR_GRAPH_FILE,
    CloudDetector,
    EdgeClassifier,
    decode_boxes,
    detector_graph,
    load_exported,
)
from models.onnx_model import OnnxModel  # noqa: E402
from models.self_test import render_self_tests  # noqa: E402
from models.train_classifier import CONTRACT as CLASSIFIER_CONTRACT  # noqa: E402
from models.train_detector import CONTRACT as DETECTOR_CONTRACT  # noqa: E402
from shared.picture.letterbox import InputContract  # noqa: E402
from shared.picture.preprocess import preprocess  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Keep PyTorch from spinning on cores that other tests use."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tensors(contract: InputContract) -> list[np.ndarray]:
    return [preprocess(bgr, contract).tensor for bgr in render_self_tests().values()]


def shipped(kind: str, variant: str) -> OnnxModel:
    plan = PLANS[kind]
    return OnnxModel(plan.target / plan.files[variant])


def test_the_classifier_in_pytorch_is_the_fp32_file() -> None:
    file = shipped("classifier", "fp32")
    network = EdgeClassifier().eval()
    load_exported(network, file.path)
    for tensor in tensors(CLASSIFIER_CONTRACT):
        with torch.no_grad():
            wanted = [t.numpy() for t in network(torch.from_numpy(tensor))]
        for want, got in zip(wanted, file.run(tensor), strict=True):
            np.testing.assert_allclose(got, want, atol=2e-3)


def test_the_int8_classifier_is_near_the_fp32_file() -> None:
    fp32, int8 = shipped("classifier", "fp32"), shipped("classifier", "int8")
    for tensor in tensors(CLASSIFIER_CONTRACT):
        np.testing.assert_allclose(int8.run(tensor)[0], fp32.run(tensor)[0], atol=1.5)


def test_the_detector_in_pytorch_is_the_fp32_file() -> None:
    weights = default_weights_dir()
    if not (weights / DETECTOR_GRAPH_FILE).is_file():
        pytest.skip("needs the folder of pretrained weights")
    file = shipped("detector", "fp32")
    network = CloudDetector(detector_graph(weights)).eval()
    load_exported(network, file.path)
    for tensor in tensors(DETECTOR_CONTRACT):
        with torch.no_grad():
            raw = network(torch.from_numpy(tensor))
        scores, boxes = file.run(tensor)
        np.testing.assert_allclose(scores, raw.class_logits.sigmoid().numpy(), atol=2e-3)
        np.testing.assert_allclose(boxes, decode_boxes(raw).numpy(), atol=0.5)


def test_the_int8_detector_is_near_the_fp32_file() -> None:
    fp32, int8 = shipped("detector", "fp32"), shipped("detector", "int8")
    for tensor in tensors(DETECTOR_CONTRACT):
        best = [model.run(tensor)[0][0].max(0) for model in (fp32, int8)]
        np.testing.assert_allclose(best[1], best[0], atol=0.15)
