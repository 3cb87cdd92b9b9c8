"""Which connections are kept when there are too many, and what a client costs that does not read. Ring: adapter.

waitress alone takes no new connection at its limit, so that a thousand silent clients shut everybody out, and lets a
thread wait for as long as a client likes that sends requests and reads no answers.
"""

from __future__ import annotations

import resource
import socket
import time
from typing import Any

from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer

from shared.logs import get_logger

_MOST = 1024  # an idle one costs 20 kB; more would only let more of them wait
_READ_AWAY_S = 5  # what a refused client goes on sending; nginx' lingering_timeout


def most_connections() -> int:
    """Tell how many connections may be open: half of the files that this process may open, the rest is for its work."""
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if open_files == resource.RLIM_INFINITY else min(_MOST, open_files // 2)


class Connection(HTTPChannel):  # type: ignore[misc] # waitress has no types
    """One client. A request that it sent ahead gets a thread when the answer before it has left, not earlier."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Take over an accepted socket, see `HTTPChannel`."""
        self.rests_since_mono_s = time.monotonic()
        self._is_held_back = False
        self._reads_away_until_mono_s: float | None = None
        super().__init__(*arguments, **named)

    def service(self) -> None:
        """Answer one request."""
        super().service()
        self.rests_since_mono_s = time.monotonic()

    def handle_write(self) -> None:
        """Send what waits; with the last of it gone, the next request may have a thread."""
        super().handle_write()
        with self.outbuf_lock:
            is_free = self._is_held_back and not self.total_outbufs_len
            self._is_held_back = self._is_held_back and not is_free
        if is_free and self.connected:
            self.server.add_task(self)

    def handle_close(self) -> None:
        """Close; after an answer that ends the connection only when the client has closed, too, or time is up.

        To close with input unread is a reset, which can cost a client that still sends the answer (RFC 9112, 9.6).
        """
        has_just_answered = self.will_close and self._reads_away_until_mono_s is None
        if not (has_just_answered and self.connected and self._say_that_no_more_comes()):
            super().handle_close()

    def handle_read(self) -> None:
        """Take in what came, or throw it away after the last answer."""
        if self._reads_away_until_mono_s is None:
            super().handle_read()
        elif time.monotonic() > self._reads_away_until_mono_s:
            self.handle_close()
        else:
            self.recv(self.adj.recv_bytes)

    def readable(self) -> bool:
        """Tell the loop whether to wait for input."""
        return self._reads_away_until_mono_s is not None or bool(super().readable())

    def writable(self) -> bool:
        """Tell the loop whether there is something to send."""
        return self._reads_away_until_mono_s is None and bool(super().writable())

    def _say_that_no_more_comes(self) -> bool:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:  # the client has gone
            return False
        self._reads_away_until_mono_s = time.monotonic() + _READ_AWAY_S
        return True

    def hold_back(self) -> bool:
        """Put off the next request while an answer is on its way; `handle_write` comes back to it."""
        with self.outbuf_lock:
            self._is_held_back = self.total_outbufs_len > 0
            return self._is_held_back

    @property
    def is_waited_for(self) -> bool:
        """Tell whether it is the client's turn: it has sent no whole request yet, or does not read the answer."""
        return not self.requests or self.total_outbufs_len > 0


class Listener(TcpWSGIServer):  # type: ignore[misc] # waitress has no types
    """Takes everybody in: above `most` connections the client that was waited for longest makes room."""

    most = _MOST
    _is_full = False

    def add_task(self, connection: Connection) -> None:
        """Give a connection's next request to a thread, once its client has read what came before."""
        if not connection.hold_back():
            super().add_task(connection)

    def handle_accept(self) -> None:
        """Take a connection in, and let another one go where that is one too many."""
        super().handle_accept()
        if len(self.active_channels) > self.most:
            self._make_room()

    def maintenance(self, now: float) -> None:
        """Close connections on which nothing moved for `channel_timeout` while it was the client's turn."""
        for connection in list(self.active_channels.values()):
            if (
                connection.is_waited_for
                and now - connection.last_activity > self.adj.channel_timeout
            ):
                connection.handle_close()
        if self._is_full and len(self.active_channels) < self.most:
            self._is_full = False
            get_logger().info("connections_fit_again")

    def _make_room(self) -> None:
        if not self._is_full:
            self._is_full = True
            get_logger().warning("too_many_connections", most=self.most)
        waited_for = [one for one in self.active_channels.values() if one.is_waited_for]
        if waited_for:
            min(waited_for, key=lambda one: one.rests_since_mono_s).handle_close()
