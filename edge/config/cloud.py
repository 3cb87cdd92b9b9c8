"""Settings of the way to the cloud. Ring: rim."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from edge.forward.cloud_client import MockCloudClient
from shared.breaker import BreakerSettings
from shared.config import Seconds, Section


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
    def in_the_clear(self) -> tuple[str, ...]:
        """Give the addresses whose clouds are asked over plain http, other than on this machine."""
        return tuple(address for address in self.addresses if _is_in_the_clear(address))

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


def _is_in_the_clear(address: str) -> bool:
    parts = urlsplit(address)
    if parts.scheme == "http":
        return parts.hostname not in ("127.0.0.1", "localhost", "::1")
    return parse_qs(parts.query).get("scheme") == ["http"]  # of the clouds that a directory names


class BreakerSection(Section):
    """When to stop asking the cloud, and when to try again."""

    failures_to_open: int = Field(
        3, ge=1, le=100, description="Failed calls in a row that open the breaker."
    )
    probe_after_s: Seconds = Field(
        5.0, description="First pause before one call is let through again; doubles."
    )
    probe_after_max_s: Seconds = Field(15.0, description="The longest such pause.")

    @model_validator(mode="after")
    def _grows(self) -> BreakerSection:
        if self.probe_after_s > self.probe_after_max_s:
            raise ValueError("probe_after_s is above probe_after_max_s")
        return self

    def breaker_settings(self) -> BreakerSettings:
        """Give the value that the breaker works from."""
        return BreakerSettings(**self.model_dump())
