"""One ONNX Runtime session. Ring: adapter.

Settings as measured: one intra-op thread and no spinning on a CPU (more threads with spinning doubled CPU time and
halved throughput on a shared machine); parallelism comes from frames, not from inside one.

On a card: CUDA's provider, half precision from a converted file of the artifact (`fp16`). The provider itself has no
option that computes a float32 file in half precision, and TensorRT's has one that compiles for minutes at each start
and needs a gigabyte more of libraries; a converted file starts at once and was judged before it was shipped.
"""

from __future__ import annotations

import importlib.metadata
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from shared.error_code import ErrorCode
from shared.errors import DeviceLost, ModelError, OutOfMemory
from shared.model.manifest import Artifact

_DOT_PRODUCT_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
_CUDA_OPTIONS = {
    # Grow the arena by what is asked for: doubling it (the default) takes twice the memory that a neighbour could use.
    "arena_extend_strategy": "kSameAsRequested",
    # Try cuDNN's algorithms once per shape. Shapes are fixed and warmed up, so that no request pays for it.
    "cudnn_conv_algo_search": "EXHAUSTIVE",
}
_NO_MEMORY = (
    "Failed to allocate memory for requested buffer",  # the arena (bfc_arena.cc)
    "out of memory",  # CUDA failure 2, cudaErrorMemoryAllocation
    "STATUS_ALLOC_FAILED",  # cuDNN and cuBLAS
)
_CARD_FAILED = ("CUDA failure", "CUDA error", "CUDNN failure", "CUDNN_STATUS", "CUBLAS")


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
        device: str = "cpu",
        threads: int = 1,
        batch_sizes: Sequence[int] = (1,),
        may_fall_back: bool = False,
    ) -> None:
        """Build from the verified bytes, check providers and names, and run every canvas in every batch size once.

        Args:
            artifact: what `load_artifact` verified.
            device: `cpu` or `cuda`.
            threads: intra-op threads on a CPU, ≥ 1.
            batch_sizes: what will be run; a size that finds no memory in the warm-up is left to `OutOfMemory` later.
            may_fall_back: run on the CPU where CUDA does not load, instead of refusing; `providers` tells.

        Raises:
            ModelError(MODEL_REFUSED): not loadable, other inputs or outputs than its manifest says, CUDA that does
                not load, or a warm-up that fails.
        """
        self._input = artifact.manifest.input
        self._outputs = list(artifact.manifest.outputs)
        is_wanted = device == "cuda"
        try:
            self._session = onnxruntime.InferenceSession(
                artifact.model_bytes,
                _options(threads),
                providers=_cuda_providers() if is_wanted else [CPU],
                enable_fallback=0,  # else a failing card becomes a CPU without a word
            )
        except Exception as err:  # onnxruntime raises many unrelated types from its C++ side
            raise ModelError(ErrorCode.MODEL_REFUSED, f"{artifact.identity.name}: {err}") from err
        self._check(artifact, CUDA if is_wanted and not may_fall_back else None)
        self._warm_up(artifact, batch_sizes)

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
            OutOfMemory, DeviceLost: what a card may do.
            ModelError(MODEL_FAILED): the runtime failed.
        """
        try:
            values = self._session.run(self._outputs, {self._input.name: tensor_nchw_f32})
        except Exception as err:  # see __init__
            raise _as_model_error(str(err)) from err
        return dict(zip(self._outputs, values, strict=True))

    def _check(self, artifact: Artifact, wanted: str | None) -> None:
        name = artifact.identity.name
        if wanted and self.providers[0] != wanted:
            detail = f"{name}: {wanted} did not load, only {', '.join(self.providers)}"
            remedy = (
                "Install the extra `cloud` with CUDA and cuDNN (`nvidia-smi` must name the card), or take the "
                "device cpu."
            )
            raise ModelError(ErrorCode.MODEL_REFUSED, detail, remedy=remedy)
        inputs = [i.name for i in self._session.get_inputs()]
        missing = set(self._outputs) - {o.name for o in self._session.get_outputs()}
        if inputs != [self._input.name] or missing:
            detail = f"{name}: inputs {inputs}, missing outputs {sorted(missing)}; its manifest says otherwise"
            raise ModelError(ErrorCode.MODEL_REFUSED, detail)

    def _warm_up(self, artifact: Artifact, batch_sizes: Sequence[int]) -> None:
        for size, (width_px, height_px) in itertools.product(batch_sizes, self._input.sizes_px):
            tensor = np.zeros((size, 3, height_px, width_px), np.float32)
            try:
                self.run(tensor)
            except ModelError as err:
                if isinstance(err, OutOfMemory) and size > min(batch_sizes):
                    continue
                detail = f"{artifact.identity.name}: warm-up at {width_px} x {height_px} failed: {err.detail}"
                raise ModelError(ErrorCode.MODEL_REFUSED, detail) from err


def _cuda_providers() -> list[Any]:
    """List what to try for a card; a runtime that was built without CUDA gets the CPU alone, without its warning."""
    if CUDA not in onnxruntime.get_available_providers():
        return [CPU]
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # finds CUDA and cuDNN in NVIDIA's Python packages, too
    return [(CUDA, _CUDA_OPTIONS), CPU]


def _as_model_error(text: str) -> ModelError:
    """Tell by the runtime's text what happened; it has no error type for either."""
    if any(mark in text for mark in _NO_MEMORY):
        return OutOfMemory(ErrorCode.MODEL_FAILED, text)
    if any(mark in text for mark in _CARD_FAILED):
        return DeviceLost(ErrorCode.MODEL_FAILED, text)
    return ModelError(ErrorCode.MODEL_FAILED, text)


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
