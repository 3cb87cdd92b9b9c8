"""Train the cloud detector: `python -m models.train_detector`.

NanoDet-Plus-m-1.5x from COCO weights with new rows for fire and smoke. Losses as in Generalized Focal Loss, places
chosen by dynamic soft-label assignment. A class whose boxes were not drawn on a picture is masked there. Resumes from
its last epoch; with `--start-from` a shipped detector is trained further, more gently; the same command runs on a CPU
and on a GPU.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from models.assign import assign
from models.augment import (
    AugmentConfig,
    MixConfig,
    Mixer,
    Rng,
    Sample,
    augment,
    mosaic,
    picture_sample,
    place_on_canvas,
    to_tensor,
)
from models.data import Picture, Truth
from models.detections import box_metrics, detect_pictures
from models.losses import distribution_focal, paired_iou, quality_focal
from models.networks import (
    DISTANCE_BINS,
    CloudDetector,
    RawDetections,
    decode_boxes,
    load_exported,
    pretrained_detector,
)
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

_MEAN, _STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
CONTRACT = InputContract(name="frames", sizes_px=((416, 416),), colour="BGR", mean=_MEAN, std=_STD)
# Canvases of training: with the aspects of the pictures, so that little is padding, and as long as the one of serving,
# so that objects are as large as there.
TRAIN_CONTRACT = InputContract(
    name="frames", sizes_px=((416, 320), (416, 416), (320, 416)), colour="BGR", mean=_MEAN, std=_STD
)
_CANVAS_SHARES = (0.5, 0.3, 0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorConfig:
    """Everything that decides a run; it is kept in the checkpoint and in the manifest."""

    seed: int = 1
    epochs: int = 10
    pictures_per_epoch: int = 4000
    batch: int = 16
    trunk_rate: float = 4e-4
    head_rate: float = 1e-3
    weight_decay: float = 0.03
    warm_up_steps: int = 200
    clip_norm: float = 20.0
    average_decay: float = 0.998
    class_weight: float = 1.0
    box_weight: float = 2.0
    distribution_weight: float = 0.25
    mosaic_probability: float = 0.2
    # The last epochs see whole pictures only, as serving does.
    mosaic_until_share: float = 0.75
    validate_every: int = 2
    # Drawn look-alikes help the classifier, not the detector: ten more epochs with them, with labels put right and with
    # the first stage frozen took mAP50 of fire from .566 to .556 and of smoke from .589 to .573.
    augment: AugmentConfig = field(
        default_factory=lambda: AugmentConfig(
            long_side_px=(224, 512), crop_area=(0.35, 1.0), lookalike_probability=0.0
        )
    )
    mix: MixConfig = field(
        default_factory=lambda: MixConfig(
            positive=0.66, hard_negative=0.13, ordinary_negative=0.14, rendered=0.07
        )
    )

    def further(self) -> DetectorConfig:
        """Give the same at half the rates and nearer to what is served, for a detector that knows fire already."""
        return replace(
            self,
            trunk_rate=2e-4,
            head_rate=4e-4,
            mosaic_probability=0.0,
            augment=replace(self.augment, long_side_px=(256, 640), crop_area=(0.5, 1.0)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Inputs (N, 3, H, W) float32 and the truth of each picture in canvas pixels."""

    inputs: NDArray[np.float32]
    truths: list[Truth]


def usable(picture: Picture) -> bool:
    """Tell whether the boxes of at least fire are known; a fire nobody boxed would teach the wrong thing."""
    return picture.truth.boxes_known[0]


def batches(mixer: Mixer, config: DetectorConfig, epoch: int) -> Iterator[Batch]:
    """Yield an epoch's batches, one bucket a canvas."""
    buckets: dict[tuple[int, int], list[tuple[NDArray[np.uint8], Truth]]]
    buckets = {size: [] for size in TRAIN_CONTRACT.sizes_px}
    with_mosaic = epoch < config.mosaic_until_share * config.epochs
    probability = config.mosaic_probability if with_mosaic else 0.0
    drawn = mixer.epoch(epoch, config.pictures_per_epoch)
    recent: list[Sample] = []
    for rng, picture in drawn:
        sample = picture_sample(picture) if picture is not None else mixer.render(rng)
        sample = _vary(sample, recent, config, rng, probability)
        height, width = sample.bgr.shape[:2]
        bucket = buckets[canvas_size(TRAIN_CONTRACT, width, height)]
        bucket.append(place_on_canvas(sample, TRAIN_CONTRACT))
        if len(bucket) == config.batch:
            yield _collate(bucket)
            bucket.clear()


def _vary(
    sample: Sample,
    recent: list[Sample],
    config: DetectorConfig,
    rng: Rng,
    mosaic_probability: float,
) -> Sample:
    """Augment a picture; sometimes join it with three of the pictures before it."""
    wanted = TRAIN_CONTRACT.sizes_px[int(rng.choice(len(_CANVAS_SHARES), p=_CANVAS_SHARES))]
    varied = augment(sample, config.augment, rng, wanted)
    recent.append(varied)
    del recent[:-12]
    if len(recent) < 4 or rng.random() >= mosaic_probability:
        return varied
    others = rng.choice(len(recent) - 1, size=3, replace=False)
    return mosaic([varied, *(recent[int(i)] for i in others)], wanted)


def _collate(bucket: list[tuple[NDArray[np.uint8], Truth]]) -> Batch:
    inputs = np.stack([to_tensor(canvas, TRAIN_CONTRACT) for canvas, _ in bucket])
    return Batch(inputs=inputs, truths=[truth for _, truth in bucket])


def detection_loss(raw: RawDetections, truths: list[Truth], config: DetectorConfig) -> Tensor:
    """Compute the loss of a batch: quality focal for classes, GIoU and distribution focal for boxes."""
    boxes = decode_boxes(raw)
    class_targets = torch.zeros_like(raw.class_logits)
    class_known = torch.ones_like(raw.class_logits)
    picked: list[tuple[int, Tensor, Tensor, Tensor]] = []
    for index, truth in enumerate(truths):
        for label, known in enumerate(truth.boxes_known):
            class_known[index, :, label] = float(known)
        wanted = torch.from_numpy(truth.boxes_xyxy).to(boxes.device)
        labels = torch.from_numpy(truth.box_labels).to(boxes.device)
        found = assign(
            class_logits=raw.class_logits[index],
            boxes_xyxy=boxes[index],
            places=raw.places,
            truth_xyxy=wanted,
            truth_labels=labels,
        )
        places = torch.nonzero(found.box_index >= 0)[:, 0]
        answer = found.box_index[places]
        class_targets[index, places, labels[answer]] = found.quality[places]
        picked.append((index, places, wanted[answer], found.quality[places]))
    class_loss = (quality_focal(raw.class_logits, class_targets) * class_known).sum()
    box_loss, distribution_loss, weight = _box_losses(raw, boxes, picked)
    norm = weight.clamp(min=1.0)
    return (
        config.class_weight * class_loss
        + config.box_weight * box_loss
        + config.distribution_weight * distribution_loss
    ) / norm


def _box_losses(
    raw: RawDetections, boxes: Tensor, picked: list[tuple[int, Tensor, Tensor, Tensor]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Sum GIoU and distribution losses over the places that answer for a box, weighted by their quality."""
    predicted = torch.cat([boxes[i, places] for i, places, _, _ in picked])
    wanted = torch.cat([w for _, _, w, _ in picked])
    # A place that fits badly still counts a little, else the first steps have no gradient.
    weight = torch.cat([q for _, _, _, q in picked]).clamp(min=0.05)
    logits = torch.cat([raw.distance_logits[i, places] for i, places, _, _ in picked])
    places = torch.cat([raw.places[places] for _, places, _, _ in picked])
    giou = ((1 - paired_iou(predicted, wanted, generalized=True)) * weight).sum()
    centre, stride = places[:, :2], places[:, 2:3]
    distances = torch.cat([centre - wanted[:, :2], wanted[:, 2:] - centre], 1) / stride
    targets = distances.clamp(0, DISTANCE_BINS - 1 - 0.01)
    per_side = distribution_focal(logits.flatten(0, 1), targets.flatten())
    distribution = (per_side.view(-1, 4).sum(1) * weight).sum()
    return giou, distribution, weight.sum()


def train_epoch(
    learner: Learner[CloudDetector], stream: Iterator[Batch], config: DetectorConfig
) -> float:
    """Train on the batches of one epoch; returns the mean loss."""
    learner.model.train()
    device = learner.device
    steps = config.pictures_per_epoch // config.batch
    losses: list[float] = []
    for batch in tqdm(stream, total=steps, unit="batch", leave=False, mininterval=10):
        with torch.autocast(device.type, dtype=torch.bfloat16):
            raw = learner.model(to_device(batch.inputs, device))
        loss = detection_loss(raw, batch.truths, config)
        factor = cosine_rate(
            learner.steps_done, config.epochs * steps, warm_up=config.warm_up_steps
        )
        learner.descend(loss, rate_factor=factor, clip_norm=config.clip_norm)
        losses.append(float(loss.detach()))
    return float(np.mean(losses))


@torch.no_grad()
def validate(model: CloudDetector, pictures: tuple[Picture, ...]) -> dict[str, float]:
    """Measure the boxes on pictures that training never saw, as served."""
    model.eval()
    device = next(model.parameters()).device

    def detect(tensor: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            raw = model(to_device(tensor, device))
        return raw.class_logits.sigmoid().cpu().numpy(), decode_boxes(raw).cpu().numpy()

    boxed = [p for p in pictures if usable(p)]
    return box_metrics(detect_pictures(detect, boxed, CONTRACT), boxed)


def train(config: DetectorConfig, run: RunArguments) -> None:
    """Train from the run's last checkpoint, or from the start, to the last epoch."""
    seed_everything(config.seed, run.threads)
    pictures = load_run_pictures(run)
    mixer = Mixer([p for p in pictures.seen if usable(p)], config.mix, config.seed)
    learner = _build_learner(config, run)
    learner.resume(run.folder)
    shadow = on_device(CloudDetector(learner.model.graph), learner.device)
    for epoch in range(learner.epochs_done, config.epochs):
        began = time.perf_counter()
        loss = train_epoch(learner, batches(mixer, config, epoch), config)
        learner.epochs_done = epoch + 1
        known = {
            "config": asdict(config),
            "graph": learner.model.graph,
            "data_sha256": pictures.data_sha256,
        }
        save_checkpoint(run.folder, learner.snapshot() | known)
        # The first epoch too: a run that does not learn should show it early, and the log takes its columns from it.
        due = epoch in (0, config.epochs - 1) or (epoch + 1) % config.validate_every == 0
        shadow.load_state_dict(learner.average.state)
        measured = validate(shadow, pictures.judged_by) if due else {}
        log_epoch(
            run.folder,
            {"epoch": epoch + 1, "loss": loss, **measured, "seconds": time.perf_counter() - began},
        )


def _build_learner(config: DetectorConfig, run: RunArguments) -> Learner[CloudDetector]:
    device = pick_device()
    model = pretrained_detector(run.weights)
    if run.start_from is not None:
        load_exported(model, run.start_from)
    model = on_device(model, device)
    optimiser = optimiser_for(
        model,
        trunk_rate=config.trunk_rate,
        head_rate=config.head_rate,
        weight_decay=config.weight_decay,
    )
    return Learner(model, optimiser, average_decay=config.average_decay)


def main() -> None:
    """Read the command line and train."""
    config = DetectorConfig()
    run = read_run_arguments(
        str(__doc__), run="cloud-detector", epochs=config.epochs, pictures=config.pictures_per_epoch
    )
    if run.start_from is not None:
        config = config.further()
    chosen = replace(config, seed=run.seed, epochs=run.epochs, pictures_per_epoch=run.pictures)
    train(chosen, run)


if __name__ == "__main__":
    main()
