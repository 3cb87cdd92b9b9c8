"""Settings of the outbox and of alerts. Ring: rim."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from edge.alert.message import Language
from edge.event.fire_event import Severity
from edge.selftest.rules import Weekday
from shared.access.webhook_secret import webhook_key
from shared.config import Seconds, Section

_Days = Annotated[float, Field(gt=0, le=366)]
_KIND = "Which kind of sink: webhook, mqtt, command or log."


class OutboxSection(Section):
    """What waits to be sent, and how patiently."""

    max_items: int = Field(
        20_000,
        ge=100,
        le=1_000_000,
        description="Most items that wait; above, telemetry is dropped first, then evidence, alarms never.",
    )
    max_bytes: int = Field(
        500_000_000,
        ge=1_000_000,
        le=1_000_000_000_000,
        description="Most bytes that wait, pictures included.",
    )
    keep_alarms_days: _Days = Field(
        7.0, description="How long an alert is tried before it expires; that is counted and shown."
    )
    keep_evidence_days: _Days = Field(7.0, description="The same for evidence on its way.")
    keep_telemetry_days: _Days = Field(1.0, description="The same for telemetry.")
    items_per_s: float = Field(
        20.0,
        gt=0,
        le=1000,
        description="How fast a backlog that is no alarm drains, so that live frames stay unaffected.",
    )


class SinkSection(Section):
    """What all sinks have in common."""

    least: Severity = Field(
        Severity.UNCERTAIN, description="Least severity that is told: uncertain, smoke or fire."
    )
    escalate_after_s: float = Field(
        0.0,
        ge=0,
        le=86_400,
        description="0 tells at once; otherwise only events that nobody acknowledged for so long.",
    )
    language: Language | None = Field(
        None, description="en, zh or both; alerts.language when unset."
    )


class LogSinkSection(SinkSection):
    """Alerts as lines of the log."""

    kind: Literal["log"] = Field(description=_KIND)


class WebhookSection(SinkSection):
    """Alerts to an HTTP address."""

    kind: Literal["webhook"] = Field(description=_KIND)
    url: SecretStr | None = Field(
        None, description="http(s)://…; a robot's address is a secret, see url_file."
    )
    url_file: Path | None = Field(None, description="File that holds the address.")
    secret: SecretStr | None = Field(
        None, description="whsec_… after Standard Webhooks; without it messages are not signed."
    )
    secret_file: Path | None = Field(None, description="File that holds the secret.")
    template: Literal["standard", "wecom", "dingtalk", "slack"] = Field(
        "standard", description="Form of the body: standard, wecom, dingtalk or slack."
    )
    template_file: Path | None = Field(
        None, description="JSON file with ${placeholders}, instead of a ready template."
    )
    timeout_s: Seconds = Field(5.0, le=60, description="Longest time for one post, all of it.")
    ca_file: Path | None = Field(
        None, description="PEM file of the authority that signed the receiver's certificate."
    )

    @model_validator(mode="after")
    def _one_of_each(self) -> WebhookSection:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("needs url or url_file, one of them")
        if self.secret and self.secret_file:
            raise ValueError("secret and secret_file exclude each other")
        if self.template_file and self.template != "standard":
            raise ValueError("template and template_file exclude each other")
        return self

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            check_webhook_url(url.get_secret_value())
        return url

    @field_validator("secret")
    @classmethod
    def _is_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            check_webhook_secret(secret.get_secret_value())
        return secret


def check_webhook_url(url: str) -> str:
    """Refuse what is no HTTP address.

    Raises:
        ValueError: without the address itself, which may hold a token.
    """
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0
    except ValueError as err:
        raise ValueError("is not an address") from err
    if parts.scheme not in ("http", "https") or not parts.hostname or not has_port:
        raise ValueError("must be http:// or https:// with a host name")
    if parts.username or parts.password:
        raise ValueError("must not hold a user or password")
    return url


def check_webhook_secret(secret: str) -> str:
    """Refuse what is no Standard Webhooks secret: `whsec_` and 24 to 64 bytes in base64.

    Raises:
        ValueError: without the secret itself.
    """
    webhook_key(secret)
    return secret


class MqttSection(SinkSection):
    """Alerts over MQTT, with Home Assistant discovery."""

    kind: Literal["mqtt"] = Field(description=_KIND)
    host: str = Field(
        pattern=r"^[A-Za-z0-9.:_-]{1,253}$", description="The broker's name or address."
    )
    port: Annotated[int, Field(ge=1, le=65_535)] | None = Field(
        None, description="Its port; 8883 with tls, else 1883, when unset."
    )
    user: str | None = Field(None, min_length=1, max_length=256, description="User name.")
    password: SecretStr | None = Field(None, description="Password of the user.")
    password_file: Path | None = Field(None, description="File that holds the password.")
    tls: bool = Field(False, description="Whether the connection is encrypted.")
    ca_file: Path | None = Field(
        None, description="PEM file of the authority that signed the receiver's certificate."
    )
    topic: str = Field(
        "emberlink",
        pattern=r"^[^+#/\x00]+(/[^+#/\x00]+)*$",
        max_length=200,
        description="What topics begin with; the box's name and the camera follow.",
    )
    discovery: str = Field(
        "homeassistant",
        pattern=r"^[^+#/\x00]+(/[^+#/\x00]+)*$",
        max_length=200,
        description="Home Assistant's discovery prefix.",
    )
    timeout_s: Seconds = Field(
        5.0, le=60, description="Longest time until the broker has acknowledged an alert."
    )

    @model_validator(mode="after")
    def _fits(self) -> MqttSection:
        if self.password and self.password_file:
            raise ValueError("password and password_file exclude each other")
        if (self.password or self.password_file) and self.user is None:
            raise ValueError("a password needs a user")
        if self.ca_file and not self.tls:
            raise ValueError("ca_file does nothing without tls = true")
        return self


class CommandSection(SinkSection):
    """Alerts to a program."""

    kind: Literal["command"] = Field(description=_KIND)
    argv: tuple[str, ...] = Field(
        min_length=1,
        max_length=64,
        description="The program and its arguments; no shell. It gets the alert as JSON on its input.",
    )
    timeout_s: Seconds = Field(10.0, le=60, description="After so long it is ended.")


AnySink = Annotated[
    LogSinkSection | WebhookSection | MqttSection | CommandSection, Field(discriminator="kind")
]
SinkName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


class AlertsSection(Section):
    """Who is told about events, and how often."""

    base_url: str = Field(
        "",
        pattern=r"^(https?://[^\s?#]+)?$",
        description="Where people open this box, for links in alerts; empty leaves them out.",
    )
    box_name: str = Field(
        "box",
        min_length=1,
        max_length=64,
        description="What this box is called in alerts and evidence.",
    )
    language: Language = Field(Language.EN, description="en, zh or both.")
    cooldown_s: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="After a delivered alert a new event of that camera that is no worse waits this long.",
    )
    sinks: dict[SinkName, AnySink] = Field(
        {"log": LogSinkSection(kind="log")},
        max_length=16,
        description="Receivers by name, each a table of its own.",
    )


class SelfTestSection(Section):
    """A test alarm each week, through the whole chain."""

    weekday: Weekday | None = Field(
        None,
        description="Day of the weekly test alarm, mon to sun; each week another camera. Never when unset.",
    )
    at: time = Field(time(10, 0), description="Local time of the test, for instance 10:00.")
