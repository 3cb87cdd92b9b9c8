"""Networks, losses and assignment, on small inputs and without any stored weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from models.assign import assign  # noqa: E402
from models.data import Truth  # noqa: E402
from models.losses import (  # noqa: E402
    balanced_cell_bce,
    distribution_focal,
    masked_bce,
    paired_iou,
    quality_focal,
)
from models.networks import EdgeClassifier, RawDetections, decode_boxes, log_mean_exp  # noqa: E402
from models.train_classifier import cell_labels  # noqa: E402
from models.training_run import (  # noqa: E402
    Learner,
    MovingAverage,
    cosine_rate,
    load_checkpoint,
    log_epoch,
    optimiser_for,
    save_checkpoint,
)

NAN = float("nan")


def truth(boxes: list[list[float]], known: tuple[bool, bool] = (True, True)) -> Truth:
    return Truth(
        present=(1.0, 0.0),
        boxes_xyxy=np.asarray(boxes, np.float32).reshape(-1, 4),
        box_labels=np.zeros(len(boxes), np.int64),
        boxes_known=known,
    )


def test_classifier_answers_logits_and_cells_of_any_canvas() -> None:
    model = EdgeClassifier().eval()
    with torch.no_grad():
        logits, cells = model(torch.zeros(2, 3, 64, 96))
    assert logits.shape == (2, 2)
    assert cells.shape == (2, 2, 2, 3)


def test_pooling_lies_between_mean_and_maximum() -> None:
    cells = torch.zeros(1, 1, 4, 4)
    cells[0, 0, 1, 2] = 6.0
    pooled = float(log_mean_exp(cells))
    assert float(cells.mean()) < pooled < 6.0
    assert pooled > 4.0


def test_unknown_labels_teach_nothing() -> None:
    logits = torch.zeros(1, 2, requires_grad=True)
    masked_bce(logits, torch.tensor([[1.0, NAN]])).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] != 0
    assert logits.grad[0, 1] == 0


def test_one_burning_cell_weighs_as_much_as_all_quiet_ones() -> None:
    cells = torch.zeros(1, 1, 2, 2, requires_grad=True)
    targets = torch.tensor([[[[1.0, 0.0], [0.0, NAN]]]])
    balanced_cell_bce(cells, targets).backward()
    assert cells.grad is not None
    grad = cells.grad.flatten()
    assert grad[0] == pytest.approx(-float(grad[1] + grad[2]))
    assert grad[3] == 0


def test_cells_are_labelled_from_boxes() -> None:
    cells = cell_labels(truth([[0, 0, 64, 32], [100, 40, 104, 44]]), 128, 64)
    np.testing.assert_array_equal(cells[0], [[1, 1, 0, 0], [0, 0, 0, 1]])
    assert not cells[1].any()


def test_cells_of_an_unboxed_class_are_unknown() -> None:
    assert np.isnan(cell_labels(truth([], known=(False, True)), 64, 64)[0]).all()


def test_paired_iou_of_known_boxes() -> None:
    a = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    b = torch.tensor([[5.0, 0.0, 15.0, 10.0]])
    assert float(paired_iou(a, b)) == pytest.approx(1 / 3)
    apart = torch.tensor([[20.0, 0.0, 30.0, 10.0]])
    assert float(paired_iou(a, apart, generalized=True)) == pytest.approx(-1 / 3)


def test_quality_focal_is_least_at_the_wanted_quality() -> None:
    logits = torch.linspace(-3, 3, 61)
    losses = quality_focal(logits, torch.full((61,), 0.5))
    assert int(losses.argmin()) == 30


def test_distribution_focal_is_least_between_the_two_bins() -> None:
    right = torch.full((1, 8), -9.0)
    right[0, 2], right[0, 3] = 0.0, 0.0
    wrong = right.roll(1, 1)
    target = torch.tensor([2.5])
    assert float(distribution_focal(right, target)) < float(distribution_focal(wrong, target))


def test_boxes_are_decoded_in_canvas_pixels() -> None:
    logits = torch.full((1, 1, 4, 8), -50.0)
    for side, bins in enumerate((1, 2, 3, 4)):
        logits[0, 0, side, bins] = 50.0
    raw = RawDetections(
        class_logits=torch.zeros(1, 1, 2),
        distance_logits=logits,
        places=torch.tensor([[80.0, 40.0, 8.0]]),
    )
    np.testing.assert_allclose(decode_boxes(raw)[0, 0], [72, 24, 104, 72], atol=1e-3)


def grid(size: int, stride: int) -> torch.Tensor:
    steps = torch.arange(0, size, stride, dtype=torch.float32)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x.flatten(), y.flatten(), torch.full((x.numel(),), float(stride))], 1)


def run_assign(truth_xyxy: list[list[float]]) -> tuple[torch.Tensor, torch.Tensor]:
    places = torch.cat([grid(128, 8), grid(128, 32)])
    wanted = torch.tensor(truth_xyxy).reshape(-1, 4)
    reach = places[:, 2:3] * 2
    around = torch.cat([places[:, :2] - reach, places[:, :2] + reach], 1)
    found = assign(
        class_logits=torch.zeros(len(places), 2),
        boxes_xyxy=around,
        places=places,
        truth_xyxy=wanted,
        truth_labels=torch.zeros(len(wanted), dtype=torch.long),
    )
    return found.box_index, places


def test_every_box_gets_a_place_even_a_tiny_one() -> None:
    index, _ = run_assign([[20, 20, 60, 60], [101, 101, 105, 105]])
    assert set(index.tolist()) >= {0, 1}


def test_places_that_answer_lie_near_their_box() -> None:
    index, places = run_assign([[20, 20, 60, 60]])
    chosen = places[index == 0]
    assert (chosen[:, :2] >= 0).all()
    assert (chosen[:, :2] <= 80).all()


def test_a_picture_without_boxes_gets_no_places() -> None:
    index, _ = run_assign([])
    assert (index == -1).all()


def test_rate_rises_then_falls() -> None:
    rates = [cosine_rate(s, 100, warm_up=10) for s in range(100)]
    assert rates[0] < rates[9] == 1.0
    assert rates[99] < 0.05


def test_moving_average_follows_slowly_and_ends_there() -> None:
    model = torch.nn.Linear(1, 1)
    average = MovingAverage(model, 0.9)
    with torch.no_grad():
        model.weight.fill_(5.0)
    for _ in range(200):
        average.update(model)
    assert float(average.state["weight"]) == pytest.approx(5.0, abs=1e-3)


def test_checkpoint_comes_back_and_a_new_run_has_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    save_checkpoint(tmp_path, {"step": 3, "average": {"w": torch.ones(2)}})
    kept = load_checkpoint(tmp_path)
    assert kept is not None
    assert kept["step"] == 3


def learner(seed: int) -> Learner[EdgeClassifier]:
    torch.manual_seed(seed)
    model = EdgeClassifier(dropout=0.0)
    optimiser = optimiser_for(model, trunk_rate=1e-3, head_rate=1e-2, weight_decay=0.0)
    return Learner(model, optimiser, average_decay=0.9)


def step(taught: Learner[EdgeClassifier]) -> None:
    logits, _ = taught.model(torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32))
    taught.descend(masked_bce(logits, torch.tensor([[1.0, 0.0]])), rate_factor=1.0, clip_norm=1.0)


def test_a_resumed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = learner(0)
    step(whole)
    save_checkpoint(tmp_path, whole.snapshot())
    step(whole)
    resumed = learner(1)
    resumed.resume(tmp_path)
    step(resumed)
    assert resumed.steps_done == 2
    for name, value in whole.average.state.items():
        torch.testing.assert_close(resumed.average.state[name], value)


def test_an_epoch_without_validation_leaves_its_columns_empty(tmp_path: Path) -> None:
    log_epoch(tmp_path, {"epoch": 1, "loss": 2.0, "auc": 0.5, "seconds": 1.0})
    log_epoch(tmp_path, {"epoch": 2, "loss": 1.5, "seconds": 1.0})
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert lines == ["epoch,loss,auc,seconds", "1,2,0.5,1", "2,1.5,,1"]
    assert (tmp_path / "curves.png").stat().st_size > 0
