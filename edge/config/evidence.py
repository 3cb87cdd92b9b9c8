"""Settings of the evidence store. Ring: rim."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from edge.record.retention import KeepRules
from shared.config import Section


class EvidenceSection(Section):
    """What is kept of events, for how long, and how much room it may take."""

    folder: Path | None = Field(
        None,
        description="Folder of pictures and journal; `evidence` in the state folder when unset. Not a symbolic link.",
    )
    keep_days: int = Field(
        30,
        ge=1,
        le=3650,
        description="An event is kept this long after its last picture, and is gone a day later unless it is held.",
    )
    max_bytes: int = Field(
        0,
        ge=0,
        le=1 << 50,
        description="Most bytes of pictures; the least valuable go first. 0 is as many as the disk has room for.",
    )
    min_free_bytes: int = Field(
        1_000_000_000,
        ge=0,
        le=1 << 50,
        description="Bytes of the disk that pictures leave free; below this the least valuable go first.",
    )

    def keep_rules(self) -> KeepRules:
        """Give the value that retention works from."""
        return KeepRules(**self.model_dump(exclude={"folder"}))
