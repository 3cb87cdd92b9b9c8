"""What a training without some sources measured on them is read from what that run left."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from models.detector_report import left_out_run
from models.training_run import log_epoch, save_checkpoint


def test_without_a_run_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert left_out_run(tmp_path / "none") is None


def test_the_last_epoch_counts(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"config": {"pictures_per_epoch": 320}})
    for epoch, fire in ((1, 0.1), (2, 0.3)):
        log_epoch(tmp_path, {"epoch": epoch, "loss": 1.0, "map50_fire": fire, "map50_smoke": 0.2})
    assert left_out_run(tmp_path) == {
        "epochs": 2,
        "pictures_per_epoch": 320,
        "map50_fire": 0.3,
        "map50_smoke": 0.2,
    }
