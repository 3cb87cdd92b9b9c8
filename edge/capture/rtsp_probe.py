"""What a stream's server says before anybody logs in: whom it sends us to, why it gives nothing.

Ring: adapter (a socket). FFmpeg follows a redirect wherever it leads and gives the password to whoever asks there, and
cannot be told not to; of a stream that cannot be opened OpenCV does not say why.
"""

from __future__ import annotations

import re
import socket
from urllib.parse import SplitResult, urlsplit

from shared.clock import SystemClock
from shared.command.checkup import unreachable
from shared.deadline import Deadline
from shared.logs import redact

_PORT = 554
_WITHIN_S = 3.0
# Of the look before each opening: a camera answers within 0.1 s; one that hangs must not cost its reader the 15 s.
_LOOK_WITHIN_S = 1.5
_MOST_BYTES = 4096  # of an answer's head; a description after it is nobody's
_ANSWER = re.compile(rb"RTSP/\d\.\d (\d{3})")
_LOCATION = re.compile(rb"^location:[ \t]*([^\r\n]{1,200})", re.IGNORECASE | re.MULTILINE)
_SAYS = {
    401: "user, password or path are not right",
    403: "its user may not look",
    404: "it knows no such path",
}


def sent_elsewhere(bare_url: str) -> str | None:
    """Tell to which address a server sends whoever asks; None when it answers itself, or not at once.

    A server that sends only those away who log in is not found out: it has the password then, and could pass it on.

    Args:
        bare_url: rtsp://, without user and password: nobody is logged in for this.

    Raises:
        socket.gaierror: nobody knows the name; asking once more would take as long again.
    """
    parts = urlsplit(bare_url)
    until = Deadline.after(_LOOK_WITHIN_S, SystemClock())
    try:
        with _connected(parts, _LOOK_WITHIN_S) as sock:
            for number, method in enumerate(("OPTIONS", "DESCRIBE"), start=1):
                head = _ask(sock, method, number, bare_url, until)
                found = _ANSWER.match(head)
                if found is not None and found[1].startswith(b"3"):
                    where = _LOCATION.search(head)
                    return redact(where[1].decode("ascii", "replace")) if where else "elsewhere"
    except socket.gaierror:
        raise
    except OSError:
        pass  # whoever opens it finds out
    return None


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
        with _connected(parts, _WITHIN_S) as sock:
            until = Deadline.after(_WITHIN_S, SystemClock())
            answer = _ask(sock, "DESCRIBE", 1, bare_url, until)
    except OSError:
        return "it listens, and gives no answer"
    found = _ANSWER.match(answer)
    if found is None:
        return "what listens there speaks no RTSP"
    status = int(found[1])
    return _SAYS.get(status, f"it answers with {status}, and with no picture")


def _connected(parts: SplitResult, within_s: float) -> socket.socket:
    return socket.create_connection((parts.hostname or "", parts.port or _PORT), timeout=within_s)


def _ask(sock: socket.socket, method: str, number: int, bare_url: str, until: Deadline) -> bytes:
    """Give the head of an answer, or what came of it until the end of the connection or of the time."""
    asked = f"{method} {bare_url} RTSP/1.0\r\nCSeq: {number}\r\nAccept: application/sdp\r\n\r\n"
    sock.sendall(asked.encode())
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _MOST_BYTES:
        sock.settimeout(max(0.001, until.remaining_s()))
        try:
            came = sock.recv(_MOST_BYTES)
        except TimeoutError:
            if head:
                break
            raise
        if not came:
            break
        head += came
    return head
