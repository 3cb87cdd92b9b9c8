"""Tells systemd that the service is ready, alive and stopping. Ring: adapter (a datagram socket).

The protocol of sd_notify(3): assignments in a datagram to the socket that `NOTIFY_SOCKET` names. Without that variable
nothing is sent.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

from shared.logs import get_logger


class ServiceManager:
    """The way to systemd, or to nobody."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read where to send; a name that begins with @ is in the abstract namespace."""
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._has_failed = False

    def ready(self) -> None:
        """Tell that the start is over (`Type=notify`)."""
        self._send("READY=1")

    def alive(self) -> None:
        """Feed the watchdog (`WatchdogSec=`)."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Tell that the stop has begun."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(message.encode(), self._address)
        except OSError as err:
            if not self._has_failed:
                get_logger().warning("service_manager_unreachable", detail=str(err))
            self._has_failed = True
