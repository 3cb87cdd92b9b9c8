"""Settings of the cloud service. Ring: rim."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from shared.access.webhook_secret import is_webhook_secret, webhook_key
from shared.config import (
    AccessSection,
    LimitsSection,
    LogSection,
    Port,
    Seconds,
    Section,
    ServerSection,
)
from shared.roles import is_local_address

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


class EngineKind(StrEnum):
    """Where the queue before the model is."""

    LOCAL = "local"
    REDIS = "redis"


class EngineSection(Section):
    """How pictures reach the model."""

    kind: EngineKind = Field(
        EngineKind.LOCAL,
        description="local: the model runs in this process; redis: workers run it, on any number of machines.",
    )

    places: int = Field(
        16,
        ge=1,
        le=4096,
        description="Pictures in the house at once, decoding and waiting; the next is refused with 503.",
    )
    max_batch: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Most pictures in one run; what is queued is taken, never waited for. Unset: 8 on a GPU, 1 on a "
        "CPU, where a batch costs a tenth more a picture.",
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


class AuthMode(StrEnum):
    """Whether requests must be signed."""

    AUTO = "auto"
    SIGNED = "signed"
    OPEN = "open"


class AuthSection(Section):
    """Who may ask."""

    mode: AuthMode = Field(
        AuthMode.AUTO,
        description="signed: every request about pictures needs a signature; open: none does; auto: signed as soon as "
        "an edge has a key, and without keys the service starts on 127.0.0.1 only.",
    )
    keys_file: Path | None = Field(
        None,
        description="Keys that `emberlink-cloud keys new` writes; keys.json in the state folder when unset.",
    )


class RateSection(Section):
    """How many pictures a second one caller may send; more is refused with 429."""

    per_s: float = Field(
        0.0, ge=0, le=100_000, description="Pictures a second and caller; 0 is no limit."
    )
    burst: int = Field(
        32, ge=1, le=100_000, description="Pictures a caller may send at once after a pause."
    )


class JobsSection(Section):
    """Pictures that are asked about now and answered later, and how long answers are kept."""

    max_waiting: int = Field(
        100, ge=1, le=100_000, description="Jobs that wait; the next is refused with 503."
    )
    max_waiting_bytes: int = Field(
        64_000_000,
        ge=1_000_000,
        le=16_000_000_000,
        description="Bytes of pictures that wait; above, the next is refused with 503.",
    )
    runners: int = Field(
        2,
        ge=1,
        le=64,
        description="Jobs in the house beside the callers who wait; up to max_batch fills a GPU's batches.",
    )
    deadline_s: Seconds = Field(
        300.0, description="A job that waited longer fails, unless its caller said otherwise."
    )
    ttl_s: Seconds = Field(
        600.0,
        description="How long results and answers by Idempotency-Key are kept; as long again the id is known "
        "to have expired.",
    )
    max_kept: int = Field(
        10_000,
        ge=1,
        le=10_000_000,
        description="Most results kept, about 1 kB each; above, the oldest expire early.",
    )


class CallbacksSection(Section):
    """Telling a caller's own server that a job is finished."""

    allowed: tuple[str, ...] = Field(
        (),
        max_length=64,
        description="Addresses that may be called; one that ends in / allows all below it. None by default.",
    )
    key: SecretStr | None = Field(
        None,
        description="Secret that signs callbacks, `whsec_…` after Standard Webhooks (other text counts as it "
        "stands); needed as soon as an address is allowed.",
    )
    tries: int = Field(
        5, ge=1, le=20, description="Tries a callback, with pauses of 1 s that double up to 60 s."
    )
    timeout_s: Seconds = Field(5.0, description="Longest single try.")

    @model_validator(mode="after")
    def _signed_and_plain(self) -> CallbacksSection:
        if self.allowed and (self.key is None or len(self.key.get_secret_value()) < 16):
            raise ValueError("callbacks.key needs 16 characters or more when addresses are allowed")
        if self.key and is_webhook_secret(self.key.get_secret_value()):
            self.signing_key()
        for url in self.allowed:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
                raise ValueError(f"{url[:60]!r} is not a plain http(s) address")
            if not parts.path:
                raise ValueError(f"{url[:60]!r} needs a path, at least a / at its end")
        return self

    def signing_key(self) -> bytes:
        """Give the bytes that sign.

        Raises:
            ValueError: a `whsec_` that is none; never after the settings were read.
        """
        key = self.key.get_secret_value() if self.key else ""
        return webhook_key(key) if is_webhook_secret(key) else key.encode()


class RedisSection(Section):
    """The queue between front ends and workers, with engine.kind = redis."""

    url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="redis://, rediss:// or unix://, with its password if it has one.",
    )
    prefix: str = Field(
        "emberlink", pattern=r"^[a-z0-9-]{1,32}$", description="What every key begins with."
    )
    claim_s: Seconds = Field(
        5.0,
        description="A worker silent for this long is taken for dead, and its pictures go to another; keep above the "
        "longest batch.",
    )
    deliveries: int = Field(
        3, ge=1, le=100, description="Workers that may die over one picture before it is given up."
    )
    timeout_s: Seconds = Field(2.0, description="Longest wait for an answer of Redis itself.")
    fallback: bool = Field(
        False,
        description="Load the model in the front end too, and run it there while Redis or every worker is away.",
    )


class WorkerSection(Section):
    """Where a worker of the Redis engine answers whoever watches it."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 is every interface.")
    port: Port = Field(
        0,
        description="Port of a worker's /healthz, /readyz and /metrics, one a worker on a machine; 0 is off.",
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
    allow_cpu: bool = Field(
        False,
        description="Run on the CPU when CUDA does not load, or fails later; /readyz says `degraded` then.",
    )
    threads: int = Field(1, ge=1, le=64, description="Threads inside one run on a CPU.")
    watch_s: float = Field(
        0.0,
        ge=0,
        le=86_400,
        description="Look for a newer version in the models folder this often and take it; 0 is off.",
    )


class CloudLogSection(LogSection):
    """What the cloud writes to stderr."""

    requests: bool = Field(
        True, description="One line for every picture asked about; refusals are only counted."
    )


class ConsulSection(Section):
    """Telling Consul where this cloud is, so that edges find it."""

    url: str | None = Field(
        None,
        pattern=r"^https?://[^/@]+$",
        description="Consul's agent, http(s)://host:port; unset tells nobody.",
    )
    service: str = Field(
        "emberlink-cloud", pattern=r"^[A-Za-z0-9._-]{1,128}$", description="Name of the service."
    )
    address: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9.:-]{1,253}$",
        description="Host name or address that edges reach this cloud at.",
    )
    port: Port | None = Field(
        None, description="Port that edges use; the service's own when unset."
    )
    tls: bool = Field(False, description="Whether edges and Consul's check speak https to it.")
    tags: tuple[str, ...] = Field((), max_length=16, description="Tags of the instance.")
    token_file: Path | None = Field(None, description="File with Consul's access token.")

    @model_validator(mode="after")
    def _has_an_address(self) -> ConsulSection:
        if self.url and not self.address:
            raise ValueError("address is needed: where shall edges find this cloud?")
        return self


class CloudSettings(Section):
    """Everything the cloud service can be told."""

    server: CloudServerSection = CloudServerSection()
    access: AccessSection = AccessSection()
    limits: LimitsSection = LimitsSection()
    engine: EngineSection = EngineSection()
    redis: RedisSection = RedisSection()
    worker: WorkerSection = WorkerSection()
    auth: AuthSection = AuthSection()
    rate: RateSection = RateSection()
    jobs: JobsSection = JobsSection()
    callbacks: CallbacksSection = CallbacksSection()
    consul: ConsulSection = ConsulSection()
    model: ModelSection = ModelSection()
    log: CloudLogSection = CloudLogSection()
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

    @model_validator(mode="after")
    def _metrics_stay_closed(self) -> CloudSettings:
        is_open = self.access.metrics_are_open or is_local_address(self.worker.host)
        if self.worker.port and not is_open:
            raise ValueError(
                "worker.port tells metrics to everybody who reaches worker.host: 127.0.0.1, or access.metrics_are_open"
            )
        return self

    @property
    def max_batch(self) -> int:
        """Tell how many pictures may be in one run on the configured device."""
        return self.engine.max_batch or (1 if self.model.device == "cpu" else 8)

    @property
    def is_local(self) -> bool:
        """Tell whether only this machine can reach the service, without a proxy that hands on what others ask."""
        return self.server.is_local

    @property
    def users_path(self) -> Path:
        """Tell where users and tokens are."""
        return self.access.users_file or self.state / "users.json"

    @property
    def keys_path(self) -> Path:
        """Tell where the keys are."""
        return self.auth.keys_file or self.state / "keys.json"
