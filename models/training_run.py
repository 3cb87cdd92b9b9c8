"""What both training stages share of a run: its folder, checkpoints, moving average, learning rate and curves."""

from __future__ import annotations

import argparse
import csv
import math
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2
import matplotlib as mpl
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from models.data import (
    DataError,
    Picture,
    correct,
    default_data_dir,
    default_weights_dir,
    load_pack,
    read_corrections,
)
from models.networks import CloudDetector, EdgeClassifier

RUNS_DIR = Path(__file__).parent / "runs"
_CHECKPOINT = "last.pt"
Network = TypeVar("Network", bound=nn.Module)


def seed_everything(seed: int, threads: int) -> None:
    """Fix all sources of chance, and keep PyTorch and OpenCV to their share of the machine."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    cv2.setNumThreads(0)


def pick_device() -> torch.device:
    """Use the GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def cosine_rate(step: int, steps: int, *, warm_up: int, floor: float = 0.02) -> float:
    """Give the factor on the learning rate: linear up, then half a cosine down to `floor`."""
    if step < warm_up:
        return (step + 1) / warm_up
    share = (step - warm_up) / max(1, steps - warm_up)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


class MovingAverage:
    """An exponential moving average of a network's weights, which is what is evaluated and shipped."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Start from the model's weights; `decay` is reached after a warm-up of about 10 / (1 − decay) steps."""
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self._decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards the model's weights."""
        self.updates += 1
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        for name, value in model.state_dict().items():
            self.state[name].lerp_(value.to(self.state[name].dtype), 1 - decay)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunArguments:
    """What the command line of both training stages says."""

    data: Path
    weights: Path
    folder: Path
    seed: int
    epochs: int
    pictures: int
    threads: int
    skip_unreadable: bool
    start_from: Path | None = None
    left_out: tuple[str, ...] = ()


def read_run_arguments(description: str, *, run: str, epochs: int, pictures: int) -> RunArguments:
    """Read the command line of a training stage, with these defaults."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=default_data_dir(), help="folder of the pack")
    parser.add_argument(
        "--weights", type=Path, default=default_weights_dir(), help="pretrained weights"
    )
    parser.add_argument(
        "--run", default=run, help="name of the folder below models/runs; resumed if it is there"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--pictures", type=int, default=pictures, help="pictures an epoch")
    parser.add_argument("--threads", type=int, default=1, help="cores that PyTorch may use")
    parser.add_argument("--skip-unreadable", action="store_true", help="leave broken pictures out")
    parser.add_argument(
        "--start-from",
        type=Path,
        help="fp32 ONNX file of an earlier run whose weights a new run starts with",
    )
    parser.add_argument(
        "--leave-out",
        default="",
        metavar="SOURCE,…",
        help="sources that are not trained on, and that the run is judged by instead of val",
    )
    given = parser.parse_args()
    return RunArguments(
        data=given.data,
        weights=given.weights,
        folder=RUNS_DIR / given.run,
        seed=given.seed,
        epochs=given.epochs,
        pictures=given.pictures,
        threads=given.threads,
        skip_unreadable=given.skip_unreadable,
        start_from=given.start_from,
        left_out=tuple(s for s in given.leave_out.split(",") if s),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPictures:
    """What a run trains on, corrected, and what it is judged by, as labelled."""

    seen: tuple[Picture, ...]
    judged_by: tuple[Picture, ...]
    data_sha256: str


def load_run_pictures(run: RunArguments) -> RunPictures:
    """Read the pack as a run asks for it.

    Raises:
        DataError: the pack does not fit together, or has no source of a name to leave out.
    """
    train = load_pack(run.data, "train", skip_unreadable=run.skip_unreadable)
    val = load_pack(run.data, "val", skip_unreadable=run.skip_unreadable)
    unknown = set(run.left_out) - {p.source for p in train.pictures}
    if unknown:
        raise DataError(f"there is no source {', '.join(sorted(unknown))} to leave out")
    corrections = read_corrections()
    right = (correct(p, corrections.get(p.file)) for p in train.pictures)
    everything = (*train.pictures, *val.pictures)
    held = tuple(p for p in everything if p.source in run.left_out)
    return RunPictures(
        seen=tuple(p for p in right if p is not None and p.source not in run.left_out),
        judged_by=held or val.pictures,
        data_sha256=train.sha256,
    )


class Learner(Generic[Network]):
    """A network in training with its optimiser and moving average: what a checkpoint holds and a step changes."""

    def __init__(
        self, model: Network, optimiser: torch.optim.Optimizer, *, average_decay: float
    ) -> None:
        """Begin at the model's present weights; the optimiser's groups carry their full rate as `base_rate`."""
        self.model = model
        self.optimiser = optimiser
        self.average = MovingAverage(model, average_decay)
        self.epochs_done = 0
        self.steps_done = 0

    @property
    def device(self) -> torch.device:
        """Tell where the network is."""
        return next(self.model.parameters()).device

    def descend(self, loss: Tensor, *, rate_factor: float, clip_norm: float) -> None:
        """Take one step down the loss with clipped gradients, and let the average follow."""
        for group in self.optimiser.param_groups:
            group["lr"] = group["base_rate"] * rate_factor
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), clip_norm)
        self.optimiser.step()
        self.average.update(self.model)
        self.steps_done += 1

    def snapshot(self) -> dict[str, Any]:
        """Give what a checkpoint must hold to go on from here."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.state,
            "average_updates": self.average.updates,
            "epochs_done": self.epochs_done,
            "step": self.steps_done,
        }

    def resume(self, folder: Path) -> None:
        """Go on from the checkpoint of a run; without one nothing changes."""
        kept = load_checkpoint(folder)
        if kept is None:
            return
        self.model.load_state_dict(kept["model"])
        self.optimiser.load_state_dict(kept["optimiser"])
        self.average.state = kept["average"]
        self.average.updates = int(kept["average_updates"])
        self.epochs_done = int(kept["epochs_done"])
        self.steps_done = int(kept["step"])


def optimiser_for(
    model: EdgeClassifier | CloudDetector,
    *,
    trunk_rate: float,
    head_rate: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """Build AdamW with a small rate for what was pretrained and a larger one for what starts from noise."""
    trunk = [p for p in model.trunk_parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": trunk, "lr": trunk_rate, "base_rate": trunk_rate},
        {"params": model.head_parameters(), "lr": head_rate, "base_rate": head_rate},
    ]
    return torch.optim.AdamW(groups, weight_decay=weight_decay)


def on_device(model: Network, device: torch.device) -> Network:
    """Move a network, with its weights channels-last, which is what makes bfloat16 pay on a CPU."""
    model.to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    return model


def save_checkpoint(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the checkpoint of a run; the old one stays until the new one is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / (_CHECKPOINT + ".partial")
    torch.save(dict(content), partial)
    os.replace(partial, folder / _CHECKPOINT)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Read the checkpoint of a run, or None when it has none yet."""
    path = folder / _CHECKPOINT
    if not path.is_file():
        return None
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content


def log_epoch(folder: Path, row: Mapping[str, float]) -> None:
    """Add one row to the run's `log.csv`, draw its curves again, and say it on the terminal.

    Columns are those of the first row; what a later row lacks stays empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "log.csv"
    if not path.is_file():
        path.write_text(",".join(row) + "\n", encoding="utf-8")
    columns = path.read_text(encoding="utf-8").splitlines()[0].split(",")
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=columns)
        writer.writerow({k: f"{v:.6g}" for k, v in row.items()})
    draw_curves(path, folder / "curves.png")
    tqdm.write("  ".join(f"{k} {v:.4g}" for k, v in row.items()))


def draw_curves(log: Path, target: Path) -> None:
    """Draw every column of a log over the epochs: losses left, measures right."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    with log.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), dpi=90)
    for column in rows[0]:
        if column in ("epoch", "seconds"):
            continue
        axis = left if "loss" in column else right
        points = [(float(r["epoch"]), float(r[column])) for r in rows if r[column]]
        axis.plot(*zip(*points, strict=True), label=column, linewidth=1.2, marker=".", markersize=3)
    for axis, title in ((left, "training"), (right, "validation (moving average)")):
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(target)
    plt.close(figure)


def to_device(array: np.ndarray[Any, Any], device: torch.device) -> Tensor:
    """Move an array to the device; pictures become channels-last, which is what makes bfloat16 pay on a CPU."""
    tensor = torch.from_numpy(array).to(device)
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
