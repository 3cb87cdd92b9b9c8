"""An ONNX file opened the way the services open it: one thread, no spinning, CPU."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray


class OnnxModel:
    """A session over a model file with one input."""

    def __init__(self, path: Path) -> None:
        """Load the file; about 0.1 s."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        self.path = path

    def run(self, tensor: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Run one batch; outputs in the file's order."""
        outputs: list[NDArray[np.float32]] = self._session.run(None, {self._input: tensor})
        return outputs

    def latency_ms(self, width_px: int, height_px: int, *, rounds: int = 200) -> float:
        """Measure the CPU time of one picture on one core: the median of `rounds` runs after ten to warm up.

        CPU time, because other work on the machine takes the core away but hardly changes what a run costs.
        """
        tensor = np.random.default_rng(0).standard_normal((1, 3, height_px, width_px), np.float32)
        times = []
        for index in range(rounds + 10):
            began = time.thread_time()
            self.run(tensor)
            if index >= 10:
                times.append((time.thread_time() - began) * 1e3)
        return float(np.median(times))
