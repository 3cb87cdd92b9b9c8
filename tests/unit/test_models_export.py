"""What leaves training: the mean of a run and of the file it started from is the mean of every weight."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from models.artifact import PLANS  # noqa: E402
from models.export import mean_weights  # noqa: E402
from models.networks import EdgeClassifier, exported_weights  # noqa: E402

SHIPPED = PLANS["classifier"].target / PLANS["classifier"].files["fp32"]


def test_the_mean_of_a_run_and_an_earlier_file_is_half_of_each() -> None:
    torch.manual_seed(3)
    run = EdgeClassifier().state_dict()
    before = exported_weights(SHIPPED, run)
    mean = mean_weights(run, SHIPPED)
    assert mean.keys() == run.keys()
    for name, weight in mean.items():
        assert torch.allclose(weight, (run[name] + before[name]) / 2)
    assert not torch.allclose(mean["stem.weight"], run["stem.weight"])


def test_the_mean_with_a_file_that_is_not_there_or_of_another_network_is_refused() -> None:
    run = EdgeClassifier().state_dict()
    with pytest.raises(FileNotFoundError, match="fp32 ONNX"):
        mean_weights(run, Path("nowhere.onnx"))
    with pytest.raises(ValueError, match="lacks 1 layers, for instance other"):
        mean_weights(run | {"other.weight": torch.zeros(3)}, SHIPPED)
