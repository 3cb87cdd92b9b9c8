"""Why a stream cannot be opened, as its server tells in one line; OpenCV does not. Ring: adapter (a socket)."""

from __future__ import annotations

import re
import socket
from urllib.parse import urlsplit

from shared.checkup import unreachable

_PORT = 554
_WITHIN_S = 3.0
_ANSWER = re.compile(rb"RTSP/\d\.\d (\d{3})")
_SAYS = {
    401: "user, password or path are not right",
    403: "its user may not look",
    404: "it knows no such path",
}


def why_no_stream(bare_url: str) -> str:
    """Tell why an address that could not be opened gives nothing; it is asked for its description once more.

    Args:
        bare_url: rtsp://, without user and password: nobody is logged in for this.
    """
    parts = urlsplit(bare_url)
    host, port = parts.hostname or "", parts.port or _PORT
    if why := unreachable(host, port):
        return why
    try:
        answer = _describe(host, port, bare_url)
    except OSError:
        return "it listens, and gives no answer"
    found = _ANSWER.match(answer)
    if found is None:
        return "what listens there speaks no RTSP"
    status = int(found[1])
    return _SAYS.get(status, f"it answers with {status}, and with no picture")


def _describe(host: str, port: int, bare_url: str) -> bytes:
    asked = f"DESCRIBE {bare_url} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n"
    with socket.create_connection((host, port), timeout=_WITHIN_S) as sock:
        sock.sendall(asked.encode())
        return sock.recv(64)
