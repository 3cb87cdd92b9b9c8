"""Settings of the edge service. Ring: rim."""

from __future__ import annotations

import re
from datetime import time
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import tzlocal
from pydantic import Field, SecretStr, field_validator, model_validator

from edge.cloud_client import MockCloudClient
from edge.config_alerts import AlertsSection, OutboxSection, SelfTestSection
from edge.config_events import EventsSection, ZoneSections
from edge.config_evidence import EvidenceSection
from edge.policies import PolicyName
from shared.breaker import BreakerSettings
from shared.config import (
    AccessSection,
    LimitsSection,
    LogSection,
    Port,
    Seconds,
    Section,
    ServerSection,
    open_door_warnings,
)
from shared.types import MICROS

ENV_PREFIX = "EMBERLINK_EDGE"


class EdgeServerSection(ServerSection):
    """Where the edge listens."""

    port: Port = Field(5000, description="TCP port; 0 lets the system choose.")


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


class RetryProfile(StrEnum):
    """How often and how patiently the cloud is asked."""

    DEFAULT = "default"
    CLASSIC = "classic"


class CloudSection(Section):
    """The way to the cloud."""

    url: str = Field(
        "",
        description="The cloud, http(s)://; `mock:` pretends one; empty runs the edge alone.",
    )
    endpoints: tuple[str, ...] = Field(
        (),
        max_length=16,
        description="Several clouds instead of one: https://…, dns+srv://_emberlink._tcp.example.com, consul://host/service.",
    )
    look_up_every_s: Seconds = Field(
        30.0, description="How often DNS and Consul are asked where the clouds are."
    )
    consul_token_file: Path | None = Field(None, description="File with Consul's access token.")
    edge_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="This box's name, for a cloud that wants signed requests.",
    )
    key: SecretStr | None = Field(
        None, description="Key that signs requests, from `emberlink-cloud keys new`."
    )
    key_file: Path | None = Field(None, description="File that holds the key.")
    profile: RetryProfile = Field(
        RetryProfile.DEFAULT,
        description="default: 2 tries of 1.0 s, pauses from 0.1 s; classic: 3 tries of 1.5 s, pauses of 1–10 s.",
    )
    tries: int | None = Field(
        None, ge=1, le=10, description="Tries per frame; the profile's when unset."
    )
    timeout_s: Seconds | None = Field(
        None, description="Longest single try; the profile's when unset."
    )
    backoff_s: Seconds | None = Field(
        None, description="First pause between tries; the profile's when unset."
    )
    upload_long_side_px: int = Field(
        1280,
        ge=320,
        le=8192,
        description="A larger frame is scaled down to this before it is sent.",
    )
    upload_quality: int = Field(
        75, ge=30, le=95, description="JPEG quality of a frame that was scaled down."
    )

    uplink_bytes_per_s: int = Field(
        0,
        ge=0,
        le=1_000_000_000,
        description="What a thin link may carry; frames are scaled to fit. 0 is no limit.",
    )
    uplink_burst_bytes: int = Field(
        1_000_000,
        ge=10_000,
        le=1_000_000_000,
        description="Bytes that may go up at once after a pause.",
    )

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and parts.scheme not in ("http", "https", "mock"):
            raise ValueError("must begin with http://, https:// or mock:")
        if parts.scheme in ("http", "https") and not parts.hostname:
            raise ValueError("has no host name")
        if parts.password:
            raise ValueError("must not hold a password")
        if parts.scheme == "mock":
            MockCloudClient.from_url(url)
        elif parts.port == 0:  # reading the port raises ValueError when it is none
            raise ValueError("has port 0")
        return url.rstrip("/")

    @field_validator("endpoints")
    @classmethod
    def _known_directories(cls, endpoints: tuple[str, ...]) -> tuple[str, ...]:
        for endpoint in endpoints:
            parts = urlsplit(endpoint)
            if parts.scheme not in ("http", "https", "dns+srv", "consul"):
                raise ValueError(
                    f"{endpoint[:60]!r} begins with none of http, https, dns+srv, consul"
                )
            if not parts.hostname or parts.password:
                raise ValueError(f"{parts.scheme}: needs a host and must not hold a password")
            if parts.scheme == "consul" and not re.fullmatch(
                r"/[A-Za-z0-9._-]{1,128}/?", parts.path
            ):
                raise ValueError("consul:// needs one service name after the host")
        return tuple(endpoint.rstrip("/") for endpoint in endpoints)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Give all addresses, of one cloud or of several."""
        return self.endpoints or ((self.url,) if self.url else ())

    @property
    def is_configured(self) -> bool:
        """Tell whether there is a cloud at all."""
        return bool(self.addresses)

    @model_validator(mode="after")
    def _name_and_one_key(self) -> CloudSection:
        if self.url and self.endpoints:
            raise ValueError("url and endpoints exclude each other")
        if self.key and self.key_file:
            raise ValueError("key and key_file exclude each other")
        if (self.edge_id is None) != (self.key is None and self.key_file is None):
            raise ValueError("edge_id and a key need each other")
        return self


class BreakerSection(Section):
    """When to stop asking the cloud, and when to try again."""

    failures_to_open: int = Field(
        3, ge=1, le=100, description="Failed calls in a row that open the breaker."
    )
    probe_after_s: Seconds = Field(
        5.0, description="First pause before one call is let through again; doubles."
    )
    probe_after_max_s: Seconds = Field(15.0, description="The longest such pause.")

    def breaker_settings(self) -> BreakerSettings:
        """Give the value that the breaker works from."""
        return BreakerSettings(**self.model_dump())


class PolicySection(Section):
    """Which frames go to the cloud, and what that may cost."""

    name: PolicyName = Field(
        PolicyName.PRICE, description="price, fixed, sliding_window, always or edge_only."
    )
    threshold: float = Field(
        0.7, gt=0.5, le=1.0, description="fixed: frames of lower confidence are forwarded."
    )
    daily_limit: Decimal = Field(
        Decimal("10.00"),
        ge=0,
        le=1_000_000,
        decimal_places=6,
        description="Money a day; 0 keeps everything at the edge.",
    )
    monthly_limit: Decimal | None = Field(
        None,
        ge=0,
        le=100_000_000,
        decimal_places=6,
        description="Money a calendar month; no cap when unset.",
    )
    cost_per_call: Decimal = Field(
        Decimal("0.02"), ge=0, le=1_000, decimal_places=6, description="What one call is charged."
    )
    timezone: str = Field(
        "local", description="Zone whose midnight starts a new budget; `local` is this machine's."
    )
    deadline_ms: int = Field(
        2500,
        ge=50,
        le=600_000,
        description="How long a caller of /joint_predict waits when it sends no X-Request-Deadline-Ms.",
    )
    max_in_flight: int = Field(
        8,
        ge=1,
        le=128,
        description="Calls to the cloud at once; the next frame is answered by the edge at once.",
    )

    c_miss: float = Field(100.0, gt=0, le=1e6, description="price: loss of a missed fire.")
    c_false: float = Field(1.0, gt=0, le=1e6, description="price: loss of a false alarm.")
    reserve: float = Field(
        0.3,
        ge=0,
        le=1,
        description="price: share of the rest of the day that routine questions leave.",
    )
    verify_reserve: float = Field(
        0.6,
        ge=0,
        le=1,
        description="price: share that checks before an alarm leave; they pay no price.",
    )
    audit: float = Field(
        0.02,
        ge=0,
        le=0.5,
        description="price: share of the budget for random checks of quiet frames.",
    )
    price_min: float = Field(0.0005, gt=0, le=1, description="price: never below this.")
    veto_max_s: float = Field(
        60.0, ge=10, le=60, description="Longest time that the cloud's no holds an alarm back."
    )
    battery_soft: float = Field(
        0.3, ge=0, le=1, description="price: below this charge the price rises, up to tenfold."
    )
    battery_hard: float = Field(
        0.1, ge=0, le=1, description="price: below this charge only alarms are checked."
    )

    def price_settings(self) -> dict[str, float]:
        """Give what the price policy takes, by name."""
        names = ("c_miss", "c_false", "reserve", "verify_reserve", "audit", "price_min")
        more = ("veto_max_s", "battery_soft", "battery_hard")
        return {name: getattr(self, name) for name in (*names, *more)}

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(tzlocal.get_localzone_name() if name == "local" else name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as err:
            raise ValueError("is not a known time zone, for instance Europe/Berlin") from err
        return name

    @property
    def zone(self) -> ZoneInfo:
        """Give the zone itself."""
        return ZoneInfo(tzlocal.get_localzone_name() if self.timezone == "local" else self.timezone)

    @property
    def daily_limit_micros(self) -> int:
        """Give the limit in millionths."""
        return int(self.daily_limit * MICROS)

    @property
    def monthly_limit_micros(self) -> int | None:
        """Give the monthly cap in millionths."""
        return None if self.monthly_limit is None else int(self.monthly_limit * MICROS)

    @property
    def cost_micros(self) -> int:
        """Give the cost of a call in millionths."""
        return int(self.cost_per_call * MICROS)


class PriorityHours(Section):
    """A span of the day in which a camera counts more or less; it may cross midnight."""

    begin: time = Field(description="Local time, for instance 22:00.")
    end: time = Field(description="Local time, for instance 06:00.")
    priority: float = Field(gt=0, le=100, description="Priority in this span.")


class ConsoleSection(Section):
    """The pages for people."""

    site: str = Field(
        "", max_length=64, description="Name of the site, shown at the top of every page."
    )


class CameraSection(Section):
    """One camera."""

    title: str = Field(
        "",
        max_length=200,
        description="What people call it, shown on the pages; its name in the configuration when empty.",
    )

    source: str = Field(
        min_length=1,
        max_length=2000,
        description="rtsp://…, http(s)://… of a snapshot, /dev/videoN, a video file, a folder of pictures, "
        "push: for frames that are posted, or sim:.",
    )
    password: SecretStr | None = Field(
        None, description="Password of the camera; from the environment or a secret file."
    )
    password_file: Path | None = Field(None, description="File that holds the password.")
    priority: float = Field(
        1.0, gt=0, le=100, description="price: how much this camera counts against the others."
    )
    priority_hours: tuple[PriorityHours, ...] = Field(
        (), description="price: other priorities by time of day, the first that fits holds."
    )
    fps: float = Field(
        2.0,
        gt=0,
        le=30,
        description="Frames a second given to the classifier; the rest is skipped.",
    )
    max_age_s: float = Field(
        5.0,
        ge=0.5,
        le=3600,
        description="A live frame older than this when its turn comes is dropped and counted.",
    )
    zones: ZoneSections = Field(
        {}, description="Polygons in its picture by name, each a table of its own."
    )

    @model_validator(mode="after")
    def _one_password(self) -> CameraSection:
        if self.password and self.password_file:
            raise ValueError("password and password_file exclude each other")
        return self


CameraName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]


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

    def warnings(self) -> list[str]:
        """Name legal settings that probably are not meant."""
        found = []
        if self.server.threads <= self.policy.max_in_flight + 2:
            found.append(
                "server.threads leaves no thread free while max_in_flight callers wait for the cloud"
            )
        found += open_door_warnings(self.access, self.server)
        if self.cloud.url.startswith("http://") and not self.may_pull:
            found.append("cloud.url is not https: frames cross the network in the clear")
        if self.model.pull_every_s and not self.may_pull:
            found.append(
                "model.pull_every_s does nothing: cloud.url is not https, and a model could be changed on the way"
            )
        if self.policy.cost_micros > self.policy.daily_limit_micros > 0:
            found.append("policy.cost_per_call is above daily_limit: the cloud will never be asked")
        if not self.alerts.base_url and any(s.kind != "log" for s in self.alerts.sinks.values()):
            found.append("alerts.base_url is empty: alerts carry no link to the event")
        return found

    @property
    def may_pull(self) -> bool:
        """Tell whether a model may come from the cloud: over https, or from this machine."""
        parts = urlsplit(self.cloud.url)
        is_here = parts.hostname in ("127.0.0.1", "localhost", "::1")
        return parts.scheme == "https" or (parts.scheme == "http" and is_here)
