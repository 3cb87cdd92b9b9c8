"""One ONNX Runtime session. Ring: adapter.

Settings as measured: one intra-op thread and no spinning on a CPU (more threads with spinning doubled CPU time and
halved throughput on a shared machine); parallelism comes from frames, not from inside one.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from shared.error_code import ErrorCode
from shared.errors import ModelError
from shared.manifest import Artifact

_DOT_PRODUCT_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")


def refuse_two_runtimes(installed: Sequence[str] | None = None) -> None:
    """Stop when both ONNX runtimes are installed: they overwrite each other's files and pip says nothing.

    Args:
        installed: distribution names; None asks the environment.

    Raises:
        ModelError(RUNTIME_CONFLICT)
    """
    names = installed if installed is not None else _installed_runtimes()
    if set(_RUNTIMES) <= set(names):
        detail = (
            "onnxruntime and onnxruntime-gpu are both installed: `pip uninstall -y "
            + " ".join(_RUNTIMES)
        )
        raise ModelError(
            ErrorCode.RUNTIME_CONFLICT, detail + "`, then install one extra (edge, cpu or cloud)"
        )


def _installed_runtimes() -> list[str]:
    found = []
    for name in _RUNTIMES:
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(name)
    return found


def best_cpu_variant(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Choose int8 where the CPU has 8-bit dot products (VNNI, ARM dotprod), else fp32.

    Without them uint8 × int8 products may saturate in 16 bits on x86, and int8 is no faster.
    """
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "fp32"
    line = next((row for row in text.splitlines() if row.startswith(("flags", "Features"))), "")
    return "int8" if _DOT_PRODUCT_FLAGS & set(line.split()) else "fp32"


class Session:
    """A warmed-up session over a verified artifact. `run` may be called by several threads at once."""

    def __init__(
        self,
        artifact: Artifact,
        *,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        threads: int = 1,
    ) -> None:
        """Build from the verified bytes, check providers and names, and run every canvas once.

        Args:
            artifact: what `load_artifact` verified.
            providers: ONNX Runtime execution providers, most wanted first; the first must load.
            threads: intra-op threads, ≥ 1.

        Raises:
            ModelError(MODEL_REFUSED): not loadable, other inputs or outputs than its manifest says, a provider that
                did not load, or a warm-up that fails.
        """
        self._input = artifact.manifest.input
        self._outputs = list(artifact.manifest.outputs)
        try:
            self._session = onnxruntime.InferenceSession(
                artifact.model_bytes, _options(threads), providers=list(providers)
            )
        except Exception as err:  # onnxruntime raises many unrelated types from its C++ side
            raise ModelError(ErrorCode.MODEL_REFUSED, f"{artifact.identity.name}: {err}") from err
        self._check(artifact, providers)
        self._warm_up(artifact)

    @property
    def providers(self) -> tuple[str, ...]:
        """Tell which execution providers really loaded (the list of available ones promises more)."""
        return tuple(self._session.get_providers())

    def run(self, tensor_nchw_f32: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run one batch.

        Args:
            tensor_nchw_f32: shape (N, 3, H, W), float32, normalised as the manifest's input section says.

        Returns:
            output name → array, first axis N; owned by the caller.

        Raises:
            ModelError(MODEL_FAILED): the runtime failed.
        """
        try:
            values = self._session.run(self._outputs, {self._input.name: tensor_nchw_f32})
        except Exception as err:  # see __init__
            raise ModelError(ErrorCode.MODEL_FAILED, str(err)) from err
        return dict(zip(self._outputs, values, strict=True))

    def _check(self, artifact: Artifact, providers: Sequence[str]) -> None:
        name = artifact.identity.name
        if self.providers[0] != providers[0]:
            detail = f"{name}: {providers[0]} did not load, only {', '.join(self.providers)}"
            raise ModelError(ErrorCode.MODEL_REFUSED, detail)
        inputs = [i.name for i in self._session.get_inputs()]
        missing = set(self._outputs) - {o.name for o in self._session.get_outputs()}
        if inputs != [self._input.name] or missing:
            detail = f"{name}: inputs {inputs}, missing outputs {sorted(missing)}; its manifest says otherwise"
            raise ModelError(ErrorCode.MODEL_REFUSED, detail)

    def _warm_up(self, artifact: Artifact) -> None:
        for width_px, height_px in self._input.sizes_px:
            tensor = np.zeros((1, 3, height_px, width_px), np.float32)
            try:
                self.run(tensor)
            except ModelError as err:
                detail = f"{artifact.identity.name}: warm-up at {width_px} x {height_px} failed: {err.detail}"
                raise ModelError(ErrorCode.MODEL_REFUSED, detail) from err


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def check_finite(outputs: Mapping[str, NDArray[np.float32]]) -> None:
    """Refuse an answer with NaN or infinity in it.

    Raises:
        ModelError(MODEL_FAILED)
    """
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            raise ModelError(ErrorCode.MODEL_FAILED, f"output {name} is not finite")
