"""The doctor's look at the receivers of alerts: their settings, and whether anybody listens. Ring: adapter (sockets).

Nothing is sent; `emberlink-edge alerts test` does that.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit

from edge.config.alerts import AnySink, CommandSection, MqttSection, WebhookSection
from edge.config.settings import EdgeSettings
from edge.wiring.sinks import build_sink
from shared.clock import SystemClock
from shared.command.checkup import Finding, checked, fail, ok, unreachable, warn
from shared.config import read_secret


def sinks(settings: EdgeSettings) -> Iterator[Finding]:
    """Check each receiver."""
    for name, section in settings.alerts.sinks.items():
        yield from checked("sink", partial(_sink, name, section, settings))
    if all(section.kind == "log" for section in settings.alerts.sinks.values()):
        remedy = "Add a receiver under [alerts.sinks.NAME]; docs/alerts.md shows each kind."
        yield warn("sink", "alerts go to the log only: nobody is called", remedy)


def _sink(name: str, section: AnySink, settings: EdgeSettings) -> Iterator[Finding]:
    build_sink(name, settings.alerts, (), SystemClock(), is_sample=True).close()
    place = _place(section)
    if place is None:
        what = section.argv[0] if isinstance(section, CommandSection) else "lines of the log"
        yield ok("sink", f"{name}: {what}")
        return
    host, port = place
    if why := unreachable(host, port):
        remedy = (
            "Does the receiver run, is its name right, and its port open in the firewall? "
            f"`emberlink-edge alerts test {name}` tells more."
        )
        yield fail("sink", f"{name}: {host}:{port}: {why}", remedy)
    else:
        yield ok("sink", f"{name}: {host}:{port} listens")


def _place(section: AnySink) -> tuple[str, int] | None:
    """Tell where a receiver listens; None for one on this machine. Of a robot's address, a secret, only the host."""
    match section:
        case WebhookSection():
            url = section.url.get_secret_value() if section.url else ""
            parts = urlsplit(read_secret(section.url_file) if section.url_file else url)
            return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        case MqttSection():
            return section.host, section.port or (8883 if section.tls else 1883)
        case _:
            return None
