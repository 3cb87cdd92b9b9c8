"""Train the edge classifier: `python -m models.train_classifier`.

Multi-label fire and smoke on a pretrained MobileNetV2 trunk. Picture labels where known, cell labels where boxes exist;
look-alikes are a fixed share of every batch. Resumes from its last epoch; the same command runs on a CPU and on a GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from models.augment import (
    AugmentConfig,
    MixConfig,
    Mixer,
    augment,
    picture_sample,
    place_on_canvas,
    to_tensor,
)
from models.data import Picture, Truth
from models.losses import balanced_cell_bce, masked_bce
from models.metrics import auc
from models.networks import (
    CELL_STRIDE_PX,
    EdgeClassifier,
    load_exported,
    pretrained_classifier,
)
from models.teacher import Teacher
from models.training_run import (
    Learner,
    RunArguments,
    cosine_rate,
    load_run_pictures,
    log_epoch,
    on_device,
    optimiser_for,
    pick_device,
    read_run_arguments,
    save_checkpoint,
    seed_everything,
    to_device,
)
from shared.picture.letterbox import InputContract, canvas_size
from shared.picture.preprocess import preprocess

CONTRACT = InputContract(
    name="frame",
    sizes_px=((288, 192), (224, 224), (192, 288)),
    colour="RGB",
    mean=(127.5, 127.5, 127.5),
    std=(127.5, 127.5, 127.5),
)
# Shares of the canvases that crops lean towards: cameras are mostly wide.
_CANVAS_SHARES = (0.5, 0.3, 0.2)
# A cell is inside a box from this covered share on, outside below the other; between them it is not judged.
_CELL_INSIDE, _CELL_OUTSIDE = 0.40, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierConfig:
    """Everything that decides a run; it is kept in the checkpoint and in the manifest."""

    seed: int = 1
    epochs: int = 18
    pictures_per_epoch: int = 5600
    batch: int = 32
    # The trunk knows ImageNet and has no batch norm to hold it: ten times more destroys it, ten times less freezes it.
    trunk_rate: float = 3e-4
    head_rate: float = 1.5e-3
    weight_decay: float = 0.02
    warm_up_steps: int = 150
    clip_norm: float = 2.0
    average_decay: float = 0.998
    # Edges and colours are what ImageNet taught; these layers have the largest maps and cost half of a step on a CPU
    # (22 pictures a second on one core with them, 41 without).
    frozen_blocks: int = 3
    cell_weight: float = 0.4
    smoothing: float = 0.02
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    mix: MixConfig = field(default_factory=MixConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Inputs (N, 3, H, W) float32, labels (N, 2) and cell labels (N, 2, h, w), NaN where not known."""

    inputs: NDArray[np.float32]
    labels: NDArray[np.float32]
    cells: NDArray[np.float32]


def cell_labels(truth: Truth, width_px: int, height_px: int) -> NDArray[np.float32]:
    """Label the cells of a canvas from its boxes.

    Returns:
        shape (2, H/32, W/32), float32: 1 where a box covers the cell or has its middle in it, 0 where none touches
        it, NaN between and for a class whose boxes were not drawn.
    """
    rows, cols = height_px // CELL_STRIDE_PX, width_px // CELL_STRIDE_PX
    cells = np.zeros((2, rows, cols), np.float32)
    x0 = np.arange(cols, dtype=np.float32) * CELL_STRIDE_PX
    y0 = np.arange(rows, dtype=np.float32) * CELL_STRIDE_PX
    for label, known in enumerate(truth.boxes_known):
        if not known:
            cells[label] = np.nan
            continue
        covered = np.zeros((rows, cols), np.float32)
        middle = np.zeros((rows, cols), bool)
        for left, top, right, bottom in truth.boxes_xyxy[truth.box_labels == label]:
            wide = np.clip(np.minimum(right, x0 + CELL_STRIDE_PX) - np.maximum(left, x0), 0, None)
            high = np.clip(np.minimum(bottom, y0 + CELL_STRIDE_PX) - np.maximum(top, y0), 0, None)
            covered = np.maximum(covered, high[:, None] * wide[None, :] / CELL_STRIDE_PX**2)
            row = min(rows - 1, max(0, int((top + bottom) / 2 // CELL_STRIDE_PX)))
            col = min(cols - 1, max(0, int((left + right) / 2 // CELL_STRIDE_PX)))
            middle[row, col] = True
        unsure = (covered > _CELL_OUTSIDE) & (covered < _CELL_INSIDE)
        cells[label] = np.where(unsure, np.nan, covered >= _CELL_INSIDE)
        cells[label][middle] = 1.0
    return cells


def batches(
    mixer: Mixer, config: ClassifierConfig, epoch: int, teacher: Teacher | None = None
) -> Iterator[Batch]:
    """Yield an epoch's batches; pictures wait in one bucket a canvas until it is full, so that little is padding."""
    buckets: dict[tuple[int, int], list[tuple[NDArray[np.uint8], Truth]]] = {
        s: [] for s in CONTRACT.sizes_px
    }
    for rng, picture in mixer.epoch(epoch, config.pictures_per_epoch):
        sample = picture_sample(picture) if picture is not None else mixer.render(rng)
        wanted = CONTRACT.sizes_px[int(rng.choice(len(_CANVAS_SHARES), p=_CANVAS_SHARES))]
        varied = augment(sample, config.augment, rng, wanted)
        if teacher is not None and picture is not None:
            varied = replace(varied, truth=teacher.soften(picture, varied.truth))
        height, width = varied.bgr.shape[:2]
        bucket = buckets[canvas_size(CONTRACT, width, height)]
        bucket.append(place_on_canvas(varied, CONTRACT))
        if len(bucket) == config.batch:
            yield _collate(bucket)
            bucket.clear()


def _collate(bucket: list[tuple[NDArray[np.uint8], Truth]]) -> Batch:
    height, width = bucket[0][0].shape[:2]
    return Batch(
        inputs=np.stack([to_tensor(canvas, CONTRACT) for canvas, _ in bucket]),
        labels=np.asarray([truth.present for _, truth in bucket], np.float32),
        cells=np.stack([cell_labels(truth, width, height) for _, truth in bucket]),
    )


def train_epoch(
    learner: Learner[EdgeClassifier], stream: Iterator[Batch], config: ClassifierConfig
) -> float:
    """Train on the batches of one epoch; returns the mean loss."""
    learner.model.train()
    device = learner.device
    steps = config.pictures_per_epoch // config.batch
    losses: list[float] = []
    for batch in tqdm(stream, total=steps, unit="batch", leave=False, mininterval=10):
        with torch.autocast(device.type, dtype=torch.bfloat16):
            logits, cells = learner.model(to_device(batch.inputs, device))
        picture_loss = masked_bce(logits, to_device(batch.labels, device), config.smoothing)
        cell_loss = balanced_cell_bce(cells, torch.from_numpy(batch.cells).to(device))
        loss = picture_loss + config.cell_weight * cell_loss
        factor = cosine_rate(
            learner.steps_done, config.epochs * steps, warm_up=config.warm_up_steps
        )
        learner.descend(loss, rate_factor=factor, clip_norm=config.clip_norm)
        losses.append(float(loss.detach()))
    return float(np.mean(losses))


@torch.no_grad()
def score_pictures(model: EdgeClassifier, pictures: tuple[Picture, ...]) -> NDArray[np.float32]:
    """Score pictures as served (one preprocess, batch of one canvas each); returns logits (N, 2)."""
    model.eval()
    device = next(model.parameters()).device
    logits: list[Tensor] = []
    for picture in pictures:
        prepared = preprocess(picture.decode(), CONTRACT)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=False):
            logits.append(model(to_device(prepared.tensor, device))[0].float().cpu())
    return np.asarray(torch.cat(logits).numpy(), np.float32)


def validate(model: EdgeClassifier, pictures: tuple[Picture, ...]) -> dict[str, float]:
    """Measure AUC of both classes on pictures that training never saw, where the label is known."""
    logits = score_pictures(model, pictures)
    truth = np.asarray([p.truth.present for p in pictures], np.float32)
    known = ~np.isnan(truth)
    return {
        f"auc_{name}": auc(logits[known[:, i], i], truth[known[:, i], i])
        for i, name in enumerate(("fire", "smoke"))
    }


def train(config: ClassifierConfig, run: RunArguments) -> None:
    """Train on what the run may see, and measure after every epoch."""
    seed_everything(config.seed, run.threads)
    pictures = load_run_pictures(run)
    learner = build_learner(config, weights=run.weights, start_from=run.start_from)
    fit(
        learner,
        pictures.seen,
        config,
        run.folder,
        data_sha256=pictures.data_sha256,
        measure=lambda model: validate(model, pictures.judged_by),
    )


def build_learner(
    config: ClassifierConfig, *, weights: Path, start_from: Path | None = None
) -> Learner[EdgeClassifier]:
    """Build the network on ImageNet weights, or on those of an exported file, with its optimiser."""
    model = pretrained_classifier(weights)
    if start_from is not None:
        load_exported(model, start_from)
    model.freeze_early(config.frozen_blocks)
    model = on_device(model, pick_device())
    optimiser = optimiser_for(
        model,
        trunk_rate=config.trunk_rate,
        head_rate=config.head_rate,
        weight_decay=config.weight_decay,
    )
    return Learner(model, optimiser, average_decay=config.average_decay)


def fit(
    learner: Learner[EdgeClassifier],
    pictures: Sequence[Picture],
    config: ClassifierConfig,
    folder: Path,
    *,
    data_sha256: str,
    measure: Callable[[EdgeClassifier], dict[str, float]],
    teacher: Teacher | None = None,
) -> None:
    """Train from the folder's last checkpoint, or from the start, to the last epoch; `measure` gets the average."""
    mixer = Mixer(pictures, config.mix, config.seed)
    learner.resume(folder)
    shadow = on_device(EdgeClassifier(), learner.device)
    for epoch in range(learner.epochs_done, config.epochs):
        began = time.perf_counter()
        torch.manual_seed(config.seed * 1000 + epoch)
        loss = train_epoch(learner, batches(mixer, config, epoch, teacher), config)
        learner.epochs_done = epoch + 1
        save_checkpoint(
            folder, learner.snapshot() | {"config": asdict(config), "data_sha256": data_sha256}
        )
        shadow.load_state_dict(learner.average.state)
        measured = measure(shadow)
        log_epoch(
            folder,
            {"epoch": epoch + 1, "loss": loss, **measured, "seconds": time.perf_counter() - began},
        )


def main() -> None:
    """Read the command line and train."""
    config = ClassifierConfig()
    run = read_run_arguments(
        str(__doc__),
        run="edge-classifier",
        epochs=config.epochs,
        pictures=config.pictures_per_epoch,
    )
    chosen = replace(config, seed=run.seed, epochs=run.epochs, pictures_per_epoch=run.pictures)
    train(chosen, run)


if __name__ == "__main__":
    main()
