"""What became of a forwarded frame. Ring: domain."""

from __future__ import annotations

from dataclasses import dataclass

from edge.decide.reasons import Reason
from edge.forward.cloud_client import CloudAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a forwarded frame: an answer in source pixels, or the reason why there is none."""

    answer: CloudAnswer | None
    reason: Reason
    charged_micros: int
    detail: str = ""
