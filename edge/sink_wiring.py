"""Sinks built from their settings; every problem of all of them is told at once. Ring: rim."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from pydantic import SecretStr

from edge.alert import Receiver
from edge.alert_message import Language, as_dict, sample
from edge.alert_rules import ReceiverRules
from edge.config_alerts import (
    AlertsSection,
    AnySink,
    LogSinkSection,
    WebhookSection,
    check_webhook_secret,
    check_webhook_url,
)
from edge.log_sink import LogSink
from edge.sinks import Sink
from edge.webhook import WebhookSink, WebhookTarget
from edge.webhook_template import READY, BodyTemplate
from shared.clock import Clock
from shared.config import read_secret
from shared.error_code import ErrorCode
from shared.errors import ConfigError

_ROBOTS = frozenset({"wecom", "dingtalk"})


def build_receivers(alerts: AlertsSection, clock: Clock) -> dict[str, Receiver]:
    """Build every configured sink.

    Raises:
        ConfigError(CONFIG_INVALID): with every problem, one a line.
    """
    found: dict[str, Receiver] = {}
    problems: list[str] = []
    for name, section in alerts.sinks.items():
        try:
            sink = _build_sink(section, section.language or alerts.language, clock)
        except ConfigError as err:
            problems.append(f"alerts.sinks.{name}: {err.detail}")
            continue
        except ValueError as err:
            problems.append(f"alerts.sinks.{name}: {err}")
            continue
        rules = ReceiverRules(least=section.least, escalate_after_s=section.escalate_after_s)
        found[name] = Receiver(name=name, kind=section.kind, sink=sink, rules=rules)
    if problems:
        for receiver in found.values():
            receiver.sink.close()
        raise ConfigError(ErrorCode.CONFIG_INVALID, "\n".join(problems))
    return found


def _build_sink(section: AnySink, language: Language, clock: Clock) -> Sink:
    match section:
        case LogSinkSection():
            return LogSink(language)
        case WebhookSection():
            return WebhookSink(_webhook_target(section, language), clock)
        case _:
            assert_never(section)


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
