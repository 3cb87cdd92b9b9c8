"""What a worker says of itself every few seconds: which model it runs, and what is wrong. Ring: adapter (a text)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.watch.trouble import Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """The model as `Detector.status` tells it, the troubles, their subjects with the worker's name before them.

    `is_open`: it takes pictures.
    """

    model: dict[str, Any]
    troubles: tuple[Trouble, ...]
    is_open: bool = True

    def to_json(self) -> bytes:
        """Write it down."""
        return _STATUS.dump_json(self)

    @classmethod
    def from_json(cls, text: bytes) -> WorkerStatus | None:
        """Read what `to_json` wrote; None of what a worker of another version wrote otherwise."""
        try:
            return _STATUS.validate_json(text)
        except ValidationError:
            return None


_STATUS = TypeAdapter(WorkerStatus)
