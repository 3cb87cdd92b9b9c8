"""Settings of the cloud service. Ring: rim."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import Field

from shared.config import LimitsSection, LogSection, Port, Section, ServerSection

ENV_PREFIX = "EMBERLINK_CLOUD"


class CloudServerSection(ServerSection):
    """Where the cloud listens."""

    port: Port = Field(5001, description="TCP port; 0 lets the system choose.")
    threads: int = Field(
        32,
        ge=2,
        le=256,
        description="Request threads; keep above engine.places, or refusals wait behind accepted work.",
    )
    reference_port: Port = Field(
        0,
        description="A second port for existing callers of /fire_detector (they expect 2222); 0 is off.",
    )


class EngineSection(Section):
    """How pictures reach the model."""

    places: int = Field(
        16,
        ge=1,
        le=4096,
        description="Pictures in the house at once, decoding and waiting; the next is refused with 503.",
    )
    max_batch: int = Field(
        8,
        ge=1,
        le=64,
        description="Most pictures in one run; what is queued is taken, never waited for.",
    )
    decoders: int = Field(
        2, ge=1, le=64, description="Pictures decoded at once; keep at or below the cores."
    )
    deadline_ms: int = Field(
        10_000,
        ge=10,
        le=600_000,
        description="How long a picture may take when the caller sends no X-Request-Deadline-Ms.",
    )


class ModelSection(Section):
    """Which detector runs, and on what."""

    name: str = Field(
        "cloud-detector", pattern=r"^[a-z0-9-]+$", description="Name of the artifact."
    )
    variant: str | None = Field(
        None, description="File of the artifact, fp32 or int8; its manifest's default when unset."
    )
    device: Literal["cpu", "cuda"] = Field(
        "cpu",
        description="cuda needs the extra `cloud`; it refuses to start when CUDA does not load.",
    )
    threads: int = Field(1, ge=1, le=64, description="Threads inside one run on a CPU.")


class CloudSettings(Section):
    """Everything the cloud service can be told."""

    server: CloudServerSection = CloudServerSection()
    limits: LimitsSection = LimitsSection()
    engine: EngineSection = EngineSection()
    model: ModelSection = ModelSection()
    log: LogSection = LogSection()
    state: Path = Field(Path("run/cloud"), description="Folder for what must survive a restart.")
    models: Path | None = Field(
        None, description="Folder of model artifacts; the shipped ones when unset."
    )
    image_roots: tuple[Path, ...] = Field(
        (), description="Folders that image_path may read from; none by default."
    )
    cost_per_call: Decimal = Field(
        Decimal("0.02"),
        ge=0,
        le=1000,
        decimal_places=6,
        description="What one picture costs, told with every answer.",
    )

    def warnings(self) -> list[str]:
        """Name legal settings that probably are not meant."""
        found = []
        if self.server.threads <= self.engine.places:
            found.append(
                "server.threads is not above engine.places: refusals will wait behind accepted work"
            )
        if self.server.host not in ("127.0.0.1", "localhost", "::1"):
            found.append("the service listens beyond this machine without authentication")
        return found
