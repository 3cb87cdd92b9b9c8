"""Where alerts go: what every sink can do, and the outcome words they share. Ring: domain, interface only."""

from __future__ import annotations

from typing import Protocol

from edge.alert.message import Alert
from edge.outbox.item import Outcome


class Sink(Protocol):
    """One receiver of alerts; used by one thread. It limits its own waits."""

    @property
    def trouble(self) -> str | None:
        """Tell what is wrong while there is nothing to send, for instance a lost connection; None when all is well."""
        ...

    @property
    def is_connected(self) -> bool:
        """Tell whether an alert could be sent now, as far as that is known before it is tried."""
        ...

    def start(self) -> None:
        """Connect, where the receiver keeps a connection; never waits."""
        ...

    def deliver(self, alert: Alert, picture: bytes | None) -> Outcome:
        """Send one alert; `picture` is a JPEG or PNG that shows it."""
        ...

    def show(self, burning: frozenset[str]) -> None:
        """Show, where the receiver can, which cameras have an open event now that it wants to hear of."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
