"""Settings of the edge service. Ring: rim."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from edge.config.alerts import AlertsSection, OutboxSection, SelfTestSection
from edge.config.cameras import CameraName, CameraSection
from edge.config.cloud import BreakerSection, CloudSection
from edge.config.events import EventsSection
from edge.config.evidence import EvidenceSection
from edge.config.policy import PolicySection
from shared.config import (
    AccessSection,
    LimitsSection,
    LogSection,
    Port,
    Section,
    ServerSection,
)

ENV_PREFIX = "EMBERLINK_EDGE"


class EdgeServerSection(ServerSection):
    """Where the edge listens."""

    port: Port = Field(5000, description="TCP port; 0 lets the system choose.")
    threads: int = Field(
        96,
        ge=2,
        le=256,
        description="Request threads; keep above places plus policy.max_in_flight, or refusals wait behind accepted "
        "work.",
    )
    # At some 180 pictures a second the last of 64 waits a third of a second. Fewer refuse a burst that could be
    # answered in time; more only wait for a deadline that is checked anyway.
    places: int = Field(
        64,
        ge=1,
        le=256,
        description="Posted pictures at the edge's classifier at once; the next is refused with 503. Cameras' own "
        "frames need none.",
    )


class ModelSection(Section):
    """Which classifier runs."""

    name: str = Field(
        "edge-classifier", pattern=r"^[a-z0-9-]+$", description="Name of the artifact."
    )
    variant: Literal["int8", "fp32"] | None = Field(
        None,
        description="int8 or fp32; unset takes int8 where the CPU has fast 8-bit instructions, else fp32.",
    )
    sessions: int = Field(
        1,
        ge=1,
        le=64,
        description="Frames classified at once, some 180 a second each; keep below the cores.",
    )
    watch_s: float = Field(
        0.0,
        ge=0,
        le=86_400,
        description="Look for a newer version in the models folder this often and take it; 0 is off.",
    )
    pull_every_s: float = Field(
        0.0,
        ge=0,
        le=604_800,
        description="Ask the cloud for a newer version this often and take it; 0 asks only at `reload`.",
    )


class ConsoleSection(Section):
    """The pages for people."""

    site: str = Field(
        "", max_length=64, description="Name of the site, shown at the top of every page."
    )


class EdgeLogSection(LogSection):
    """What the edge writes to stderr."""

    scores_keep_days: int = Field(
        7,
        ge=0,
        le=366,
        description="Days of frame scores kept for `replay`, 1.4 MB a day and camera; 0 is off.",
    )
    file: Path | None = Field(
        None,
        description="File that lines go to instead of stderr; full ones are numbered .1, .2 and so on.",
    )
    max_bytes: int = Field(
        20_000_000, ge=10_000, le=10_000_000_000, description="A log file of this length is full."
    )
    keep: int = Field(5, ge=0, le=1000, description="Full log files that are kept.")
    decisions: bool = Field(
        False,
        description="One line for every camera frame, also those kept at the edge; forwarded ones always have one.",
    )


class EdgeSettings(Section):
    """Everything the edge service can be told."""

    server: EdgeServerSection = EdgeServerSection()
    access: AccessSection = AccessSection()
    limits: LimitsSection = LimitsSection()
    model: ModelSection = ModelSection()
    cloud: CloudSection = CloudSection()
    breaker: BreakerSection = BreakerSection()
    policy: PolicySection = PolicySection()
    cameras: dict[CameraName, CameraSection] = Field(
        {}, max_length=64, description="Cameras by name, each a table of its own; at most 64."
    )
    evidence: EvidenceSection = EvidenceSection()
    outbox: OutboxSection = OutboxSection()
    alerts: AlertsSection = AlertsSection()
    selftest: SelfTestSection = SelfTestSection()
    console: ConsoleSection = ConsoleSection()
    events: EventsSection = EventsSection()
    log: EdgeLogSection = EdgeLogSection()
    state: Path = Field(Path("run/edge"), description="Folder for what must survive a restart.")
    models: Path | None = Field(
        None, description="Folder of model artifacts; the shipped ones when unset."
    )

    @property
    def users_path(self) -> Path:
        """Tell where users and tokens are."""
        return self.access.users_file or self.state / "users.json"

    @property
    def may_pull(self) -> bool:
        """Tell whether a model may come from the cloud: over https, or from this machine."""
        return self.cloud.url.startswith("http") and not self.cloud.in_the_clear
