"""HTTP by hand, for requests that no client would send."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class RawAnswer:
    """One answer as it came; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Parse the body."""
        return json.loads(self.body)


def raw_call(port: int, request: bytes, *, hang_up: bool = True) -> RawAnswer:
    """Send bytes and read the one answer, until the peer closes or its body is complete.

    Args:
        port: on this machine.
        request: sent as it is.
        hang_up: half-close after sending, so that the peer knows that nothing more comes.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        sock.sendall(request)
        if hang_up:
            sock.shutdown(socket.SHUT_WR)
        received = b""
        while b"\r\n\r\n" not in received:
            received += _more(sock, received)
        head, _, body = received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", "0"))
        while len(body) < length:
            body += _more(sock, body)
    return RawAnswer(status=int(lines[0].split()[1]), headers=headers, body=body)


def _more(sock: socket.socket, so_far: bytes) -> bytes:
    chunk = sock.recv(65_536)
    if not chunk:
        raise ConnectionError(f"closed after {so_far[:200]!r}")
    return chunk
