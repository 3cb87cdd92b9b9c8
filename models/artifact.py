"""Where a model's files are made and where the finished artifact goes, and its manifest."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from models.data import LABELS
from models.training_run import RUNS_DIR
from shared.picture.letterbox import InputContract

ARTIFACTS_DIR = Path(__file__).parent / "artifacts"
Kind = Literal["classifier", "detector"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactPlan:
    """What the artifact of a network is called, and which file is which variant; the first variant is the default."""

    kind: Kind
    name: str
    files: dict[str, str]
    outputs: tuple[str, ...]
    version: str

    @property
    def stage(self) -> Path:
        """Folder in which the stages leave what they made."""
        return RUNS_DIR / self.name / "stage"

    @property
    def target(self) -> Path:
        """Folder of the finished artifact."""
        return ARTIFACTS_DIR / self.name / self.version

    def variant(self, variant: str) -> Path:
        """Path of a variant's file while it is being made."""
        return self.stage / f"{variant}.onnx"


def shipped(plan: ArtifactPlan) -> Path:
    """Find the newest finished artifact of a network.

    Raises:
        FileNotFoundError: there is none.
    """
    found = list((ARTIFACTS_DIR / plan.name).glob("*/manifest.json"))
    if not found:
        raise FileNotFoundError(f"no {plan.name} below {ARTIFACTS_DIR}")
    return max(found, key=lambda p: tuple(int(n) for n in p.parent.name.split("."))).parent


PLANS: dict[str, ArtifactPlan] = {
    "classifier": ArtifactPlan(
        kind="classifier",
        name="edge-classifier",
        version="0.5.0",
        files={"int8": "model.onnx", "fp32": "model.fp32.onnx"},
        outputs=("logits", "cells"),
    ),
    "detector": ArtifactPlan(
        kind="detector",
        name="cloud-detector",
        version="0.3.0",
        files={"fp32": "model.onnx", "int8": "model.int8.onnx"},
        outputs=("scores", "boxes"),
    ),
}


def read_stage(plan: ArtifactPlan, name: str) -> dict[str, Any]:
    """Read a JSON file that an earlier stage left.

    Raises:
        FileNotFoundError: that stage has not run.
    """
    path = plan.stage / name
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there: run the stages export, quantize, calibrate, evaluate in order"
        )
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write_stage(plan: ArtifactPlan, name: str, content: dict[str, Any]) -> None:
    """Leave a JSON file for a later stage."""
    plan.stage.mkdir(parents=True, exist_ok=True)
    (plan.stage / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def input_section(contract: InputContract) -> dict[str, Any]:
    """Write an input contract as the manifest holds it."""
    return json.loads(json.dumps(asdict(contract)))  # type: ignore[no-any-return]  # a dict by construction


def file_section(path: Path, stored_as: str) -> dict[str, Any]:
    """Describe a file: its name in the artifact, sha256 and size."""
    content = path.read_bytes()
    return {"path": stored_as, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def sha256_of(path: Path) -> str:
    """Hash a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def self_test_section(path: Path, label: str) -> dict[str, str]:
    """Describe a picture whose answer is known, as the manifest lists it."""
    return {"file": f"{path.parent.name}/{path.name}", "sha256": sha256_of(path), "label": label}


def place(plan: ArtifactPlan, manifest: dict[str, Any], card: str, pictures: list[Path]) -> Path:
    """Put a finished artifact in its place; files first and the manifest last, each complete when it appears."""
    plan.target.mkdir(parents=True, exist_ok=True)
    for entry in manifest["selftest"]:
        target = plan.target / entry["file"]
        target.parent.mkdir(exist_ok=True)
        _copy(plan.stage / entry["file"], target)
    for variant, entry in manifest["files"].items():
        _copy(plan.variant(variant), plan.target / entry["path"])
    for picture in pictures:
        _copy(picture, plan.target / picture.name)
    _write(plan.target / "CARD.md", card)
    _write(plan.target / "manifest.json", json.dumps(manifest, indent=1) + "\n")
    known = {e["path"] for e in manifest["files"].values()}
    known |= {"CARD.md", "manifest.json", *(p.name for p in pictures)}
    known |= {entry["file"] for entry in manifest["selftest"]}
    for stale in [p for p in plan.target.rglob("*") if p.is_file()]:
        if str(stale.relative_to(plan.target)) not in known:
            stale.unlink()
    return plan.target


def labels() -> list[str]:
    """List the labels in the order of every output."""
    return list(LABELS)


def _copy(source: Path, target: Path) -> None:
    partial = target.with_name(target.name + ".partial")
    shutil.copyfile(source, partial)
    os.replace(partial, target)


def _write(target: Path, text: str) -> None:
    partial = target.with_name(target.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, target)
