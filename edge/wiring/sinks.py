"""Sinks built from their settings; every problem of all of them is told at once. Ring: rim."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import assert_never

from pydantic import SecretStr

from edge.alert.command_sink import CommandSink
from edge.alert.deliveries import Receiver
from edge.alert.log_sink import LogSink
from edge.alert.message import Language, as_dict, sample
from edge.alert.mqtt_topics import Topics
from edge.alert.rules import ReceiverRules
from edge.alert.sinks import Sink
from edge.alert.webhook import WebhookSink, WebhookTarget
from edge.alert.webhook_template import READY, BodyTemplate
from edge.config.alerts import (
    AlertsSection,
    CommandSection,
    LogSinkSection,
    MqttSection,
    WebhookSection,
    check_webhook_secret,
    check_webhook_url,
)
from shared.clock import Clock
from shared.config import read_secret
from shared.error_code import ErrorCode
from shared.errors import CommandError, ConfigError
from shared.version import version

_ROBOTS = frozenset({"wecom", "dingtalk"})


def build_receivers(
    alerts: AlertsSection, cameras: Sequence[str], clock: Clock
) -> dict[str, Receiver]:
    """Build every configured sink.

    Args:
        alerts: settings of all of them.
        cameras: names of the configured cameras.
        clock: of the service.

    Raises:
        ConfigError(CONFIG_INVALID): with every problem, one a line.
    """
    found: dict[str, Receiver] = {}
    problems: list[str] = []
    for name, section in alerts.sinks.items():
        try:
            sink = build_sink(name, alerts, cameras, clock)
        except ConfigError as err:
            problems.append(err.detail)
            continue
        rules = ReceiverRules(least=section.least, escalate_after_s=section.escalate_after_s)
        found[name] = Receiver(name=name, kind=section.kind, sink=sink, rules=rules)
    if problems:
        for receiver in found.values():
            receiver.sink.close()
        raise ConfigError(ErrorCode.CONFIG_INVALID, "\n".join(problems))
    return found


def build_sink(
    name: str,
    alerts: AlertsSection,
    cameras: Sequence[str],
    clock: Clock,
    *,
    is_sample: bool = False,
) -> Sink:
    """Build one sink; `is_sample` for one that sends a single message beside a running service.

    Raises:
        CommandError: not configured.
        ConfigError(CONFIG_INVALID): with a wrong setting.
    """
    section = alerts.sinks.get(name)
    if section is None:
        names = ", ".join(sorted(alerts.sinks)) or "none"
        remedy = "Name one of those; with --config FILE those of FILE are known."
        raise CommandError(f"no sink is called {name!r}; there are {names}", remedy)
    language = section.language or alerts.language
    try:
        match section:
            case LogSinkSection():
                return LogSink(language)
            case WebhookSection():
                return WebhookSink(_webhook_target(section, language), clock)
            case CommandSection():
                return CommandSink(_argv(section), language, section.timeout_s, clock)
            case MqttSection():
                return _mqtt_sink(section, alerts, cameras, clock, is_sample=is_sample)
            case _:
                assert_never(section)
    except ConfigError as err:
        raise ConfigError(err.code, f"alerts.sinks.{name}: {err.detail}") from err
    except ValueError as err:
        detail = f"alerts.sinks.{name}: {err}"
        raise ConfigError(ErrorCode.CONFIG_INVALID, detail) from err


def _argv(section: CommandSection) -> tuple[str, ...]:
    if shutil.which(section.argv[0]) is None:
        raise ValueError(f"argv: {section.argv[0]!r} is not a program that can be run")
    return section.argv


def _mqtt_sink(
    section: MqttSection,
    alerts: AlertsSection,
    cameras: Sequence[str],
    clock: Clock,
    *,
    is_sample: bool,
) -> Sink:
    try:
        from edge.alert.mqtt import Broker, MqttSink  # paho is an extra
    except ImportError as err:
        raise ValueError("kind mqtt needs `pip install 'emberlink[mqtt]'`") from err
    topics = Topics(
        root=section.topic,
        discovery=section.discovery,
        box_name=alerts.box_name,
        version=version(),
        cameras=tuple(cameras),
    )
    broker = Broker(
        host=section.host,
        port=section.port or (8883 if section.tls else 1883),
        client_id=f"emberlink-{topics.node}" + ("-sample" if is_sample else ""),
        user=section.user,
        password=_secret(section.password, section.password_file, "password_file", str),
        is_tls=section.tls,
        ca_file=section.ca_file,
        timeout_s=section.timeout_s,
    )
    language = section.language or alerts.language
    return MqttSink(broker, topics, language, clock, is_sample=is_sample)


def _webhook_target(section: WebhookSection, language: Language) -> WebhookTarget:
    url = _secret(section.url, section.url_file, "url_file", check_webhook_url)
    secret = _secret(section.secret, section.secret_file, "secret_file", check_webhook_secret)
    if section.ca_file is not None and not section.ca_file.is_file():
        raise ValueError(f"ca_file {section.ca_file}: no such file")
    return WebhookTarget(
        url=url or "",
        secret=secret,
        template=_template(section),
        is_robot=section.template in _ROBOTS,
        language=language,
        timeout_s=section.timeout_s,
        ca_file=section.ca_file,
    )


def _template(section: WebhookSection) -> BodyTemplate | None:
    fields = frozenset(as_dict(sample(), Language.EN))
    if section.template_file is not None:
        try:
            text = section.template_file.read_text(encoding="utf-8")
        except OSError as err:
            raise ValueError(f"template_file {section.template_file}: {err.strerror}") from err
        try:
            return BodyTemplate.parse(text, fields)
        except ValueError as err:
            raise ValueError(f"template_file {section.template_file}: {err}") from err
    ready = READY.get(section.template)
    return None if ready is None else BodyTemplate(ready, fields)


def _secret(
    value: SecretStr | None, path: Path | None, name: str, check: Callable[[str], str]
) -> str | None:
    """Give a secret wherever it stands; one in a file is checked here, as the file is read only now."""
    if path is None:
        return value.get_secret_value() if value else None
    try:
        return check(read_secret(path))
    except ValueError as err:
        raise ValueError(f"{name} {path}: {err}") from err
