"""How prepared pictures reach the model, as an interface. Ring: domain.

`local_engine` is one process with one session thread; other engines put a queue between machines. All of them run
the same `BatchRunner`.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cloud.detect import RawOutput
from shared.deadline import Deadline


class BatchRunner(Protocol):
    """Runs the network on some pictures at once."""

    def __call__(self, tensors: Sequence[NDArray[np.float32]]) -> list[RawOutput]:
        """Run a batch.

        Args:
            tensors: each of shape (1, 3, H, W), float32, all of one canvas.

        Returns:
            one output a tensor, in order.

        Raises:
            ModelError(MODEL_FAILED)
        """
        ...


class Engine(Protocol):
    """Accepts prepared pictures and promises their output."""

    def submit(self, tensor: NDArray[np.float32], deadline: Deadline) -> Future[RawOutput]:
        """Queue one picture; the future fails with a FireError when it cannot be done, also when it comes too late."""
        ...

    def queued(self) -> int:
        """Tell how many pictures wait for the session."""
        ...

    def stop(self, timeout_s: float) -> None:
        """Finish what was accepted, then end; what is left after `timeout_s` fails with HTTP_UNAVAILABLE."""
        ...
