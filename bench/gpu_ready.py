"""`python -m bench.gpu_ready`: can the card of this machine be measured? Says what is missing, one sentence a line.

`bench.cloud --device cuda` asks the same before it starts.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

import onnxruntime

from shared.errors import FireError
from shared.model.inference import CUDA, Session
from shared.model.manifest import load_artifact, shipped_models

_DRIVER_ANSWERS_WITHIN_S = 30.0


def missing() -> list[str]:
    """List what is missing, the first cause first; nothing is missing when it is empty."""
    driver = _driver_trouble()
    if driver:
        return [driver]
    if CUDA not in onnxruntime.get_available_providers():
        return [
            "onnxruntime is its CPU build here: `make bench-gpu` installs onnxruntime-gpu into .venv-gpu"
        ]
    artifact = load_artifact(shipped_models(), "cloud-detector", kind="detector", prefer="fp16")
    try:
        Session(artifact, device="cuda")
    except FireError as err:
        return [
            f"CUDA does not load: {err.detail}",
            "onnxruntime-gpu needs CUDA 12 or 13 as it was built for, and cuDNN 9: "
            "`pip install 'onnxruntime-gpu[cuda,cudnn]'` brings both",
        ]
    return []


def _driver_trouble() -> str | None:
    if shutil.which("nvidia-smi") is None:
        return "there is no NVIDIA driver on this machine: nvidia-smi is not installed"
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"],
            capture_output=True,
            text=True,
            timeout=_DRIVER_ANSWERS_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        return f"the NVIDIA driver does not answer: nvidia-smi: {type(err).__name__}"
    if done.returncode != 0 or "GPU 0" not in done.stdout:
        first = next(iter((done.stdout + done.stderr).splitlines()), "no output")
        return f"the NVIDIA driver finds no card: nvidia-smi says {first!r}"
    return None


def refuse_without_card() -> None:
    """End the process with status 2 and sentences when something is missing."""
    lines = missing()
    for line in lines:
        print(f"bench-gpu: {line}", file=sys.stderr)
    if lines:
        sys.exit(2)


if __name__ == "__main__":
    refuse_without_card()
    print("bench-gpu: the card can be measured")
