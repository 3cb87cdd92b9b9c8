"""Callers on raw sockets: HTTP/1.1 with keep-alive, written by hand, in a process of their own.

Each caller posts, waits for the answer and posts again, so that no more requests are under way than there are callers.
Prints one JSON line an answer, in the order in which they came.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

_RECV_BYTES = 65_536
_GIVE_UP_S = 60.0  # no answer of the edge may take this long; a measurement must end


@dataclass(frozen=True, slots=True)
class Received:
    """One answer and how long it took."""

    ms: float
    status: int
    body: bytes

    def as_line(self) -> str:
        """Write what the measurements need of it."""
        body = json.loads(self.body)
        edge = body.get("edge") or {}
        fields = {
            "ms": self.ms,
            "status": self.status,
            "source": body.get("source"),
            "reason": (body.get("decision") or {}).get("reason"),
            "fire": edge.get("fire"),
            "smoke": edge.get("smoke"),
        }
        return json.dumps(fields)


class Caller:
    """One keep-alive connection that always posts the same bytes."""

    def __init__(self, port: int, path: str, jpeg: bytes) -> None:
        """Connect and prepare the request."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
        )
        self._request = head.encode() + jpeg
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_GIVE_UP_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self) -> Received:
        """Post once and read the whole answer."""
        started_s = time.perf_counter()
        self._socket.sendall(self._request)
        received = b""
        while (at := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        head, body = received[:at].decode("latin-1"), received[at + 4 :]
        status_line, *lines = head.split("\r\n")
        fields = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        while len(body) < int(fields["content-length"]):
            body += self._more()
        ms = 1000 * (time.perf_counter() - started_s)
        return Received(ms=ms, status=int(status_line.split(" ")[1]), body=body)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _more(self) -> bytes:
        chunk = self._socket.recv(_RECV_BYTES)
        if not chunk:
            raise ConnectionError("the service hung up in the middle of an answer")
        return chunk


def main() -> None:
    """Post `--count` times in all from `--callers` connections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--callers", type=int, default=1)
    parser.add_argument("--path", default="/joint_predict")
    wanted = parser.parse_args()
    jpeg = wanted.picture.read_bytes()
    left = iter(range(wanted.count))
    taking = threading.Lock()
    answers: list[Received] = []

    def post_until_done(_: int) -> None:
        with contextlib.closing(Caller(wanted.port, wanted.path, jpeg)) as caller:
            while True:
                with taking:
                    if next(left, None) is None:
                        return
                answers.append(caller.post())

    with ThreadPoolExecutor(wanted.callers) as pool:
        list(pool.map(post_until_done, range(wanted.callers)))
    for answer in answers:
        print(answer.as_line())


if __name__ == "__main__":
    main()
