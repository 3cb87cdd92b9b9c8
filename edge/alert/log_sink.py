"""Alerts as lines of the log. Ring: adapter (the log)."""

from __future__ import annotations

from edge.alert.message import Alert, Language, as_dict
from edge.outbox.item import Delivered, Outcome
from shared.logs import get_logger


class LogSink:
    """Writes each alert as one line at warning level."""

    trouble: str | None = None
    is_connected = True

    def __init__(self, language: Language) -> None:
        """Keep the language of the text."""
        self._language = language

    def start(self) -> None:
        """Nothing to connect to before the first alert."""

    def deliver(self, alert: Alert, picture: bytes | None) -> Outcome:
        """Write the line; the picture stays in the evidence."""
        get_logger().warning("alert", **as_dict(alert, self._language))
        return Delivered()

    def show(self, burning: frozenset[str]) -> None:
        """Nothing is shown between alerts."""

    def close(self) -> None:
        """Nothing to let go of."""
