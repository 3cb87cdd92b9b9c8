"""Clouds that misbehave, on raw sockets: what answers a call is a function of the connection."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.helpers.processes import free_port

MODEL = {"name": "stand-in", "version": "1.0.0", "sha256_12": "0" * 12}


@dataclass(kw_only=True)
class Exchange:
    """One call as it reached a stand-in, and the socket to answer on."""

    sock: socket.socket
    head: bytes
    body: bytes
    number: int
    stopping: threading.Event

    def header(self, name: str) -> str | None:
        """Read a request header."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.decode("latin-1").lower() == name.lower():
                return value.strip().decode("latin-1")
        return None

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.sock.sendall(data)

    def reply(
        self,
        status: int,
        body: bytes = b"",
        content_type: str = "application/json",
        **headers: str,
    ) -> None:
        """Send a whole HTTP answer; `headers` with underscores for dashes."""
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {content_type}", "Connection: close"]
        lines += [f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode() + body)


Answer = Callable[[Exchange], None]


@dataclass(kw_only=True)
class StandIn:
    """A running stand-in; `calls` are kept in the order in which they came."""

    port: int
    calls: list[Exchange] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Tell where it listens."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def stand_in_cloud(answer: Answer, *, port: int = 0) -> Iterator[StandIn]:
    """Run a stand-in for the length of a block; each connection has a thread and carries one call."""
    stopping = threading.Event()
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    running = StandIn(port=listener.getsockname()[1])
    open_sockets: set[socket.socket] = set()
    threads: list[threading.Thread] = []

    def serve(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            exchange = _read_call(sock, len(running.calls), stopping)
            if exchange is not None and b" /edges/heartbeat " in exchange.head:
                exchange.reply(404)  # an old cloud knows no fleet; it is no call about a picture
            elif exchange is not None:
                running.calls.append(exchange)
                answer(exchange)
        open_sockets.discard(sock)

    def accept() -> None:
        while not stopping.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            open_sockets.add(sock)
            thread = threading.Thread(target=serve, args=(sock,), daemon=True)
            threads.append(thread)
            thread.start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield running
    finally:
        stopping.set()
        for sock in (listener, *open_sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(timeout=5)
        for thread in threads:
            thread.join(timeout=5)


@contextmanager
def dead_url() -> Iterator[str]:
    """Give the address of a port that refuses connections and that nobody else can take meanwhile."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", free_port()))  # some tests let somebody listen there afterwards
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}"


def good_answer(
    label: str = "fire", confidence: float = 0.9, boxes: tuple[tuple[float, ...], ...] = ()
) -> dict[str, Any]:
    """Give the body that an Emberlink cloud would answer with."""
    detections = [{"label": label, "score": confidence, "box_xyxy": list(box)} for box in boxes]
    result = {
        "label": label,
        "confidence": confidence,
        "detections": detections,
        "model": dict(MODEL),
    }
    return {"req_id": "x", "err_no": 0, "err_msg": "success", "result": result}


def answers(
    body: Any = None, status: int = 200, raw: bytes | None = None, **headers: str
) -> Answer:
    """Answer every call alike: `body` as JSON, or `raw` bytes."""
    encoded = json.dumps(good_answer() if body is None else body).encode() if raw is None else raw
    return lambda exchange: exchange.reply(status, encoded, **headers)


def hangs(exchange: Exchange) -> None:
    """Take the call and say nothing until the test is over."""
    exchange.stopping.wait(60)


def drips(exchange: Exchange) -> None:
    """Send a right answer, its body one byte every 0.2 s."""
    body = json.dumps(good_answer()).encode()
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    exchange.send(b"Content-Length: %d\r\n\r\n" % len(body))
    _drip(exchange, body)


def drips_headers(exchange: Exchange) -> None:
    """Send header lines one byte every 0.2 s, for ever."""
    _drip(exchange, b"HTTP/1.1 200 OK\r\n" + b"X-Filler: 0123456789\r\n" * 1000)


def closes_at_once(exchange: Exchange) -> None:
    """Take the call and hang up."""


def closes_mid_body(exchange: Exchange) -> None:
    """Promise more than is sent."""
    body = json.dumps(good_answer()).encode()
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
    exchange.send(body[: len(body) // 2])


def speaks_garbage(exchange: Exchange) -> None:
    """Answer with what is not HTTP."""
    exchange.send(b"\x16\x03\x01 220 mail.example ESMTP\r\n\r\n" * 20)


def sends_without_end(exchange: Exchange) -> None:
    """Send a body of unlimited length as fast as it is taken."""
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while not exchange.stopping.is_set():
        exchange.send(b" " * 65_536)


def _with_result(**changes: Any) -> dict[str, Any]:
    body = good_answer(boxes=((1.0, 2.0, 30.0, 40.0),))
    body["result"].update(changes)
    return body


def _with_box(box: list[Any], score: Any = 0.9, label: str = "fire") -> dict[str, Any]:
    return _with_result(detections=[{"label": label, "score": score, "box_xyxy": box}])


def _without(*keys: str) -> dict[str, Any]:
    body = good_answer()
    for key in keys:
        body["result"].pop(key)
    return body


HOSTILE: Mapping[str, Answer] = {
    "not_http": speaks_garbage,
    "closes_at_once": closes_at_once,
    "closes_mid_body": closes_mid_body,
    "endless_body": sends_without_end,
    "huge_body": answers(raw=b'{"err_no": 0, "x": "' + b"a" * 2_000_000 + b'"}'),
    "not_json": answers(raw=b"<html>it works</html>"),
    "empty": answers(raw=b""),
    "not_utf8": answers(raw=b'{"err_no": 0, "result": "\xff\xfe"}'),
    "deep_json": answers(raw=b"[" * 100_000),
    "huge_number": answers(raw=b'{"err_no": ' + b"9" * 100_000 + b"}"),
    "a_list": answers([1, 2, 3]),
    "null": answers(raw=b"null"),
    "no_result": answers({"err_no": 0}),
    "error_in_a_200": answers({**good_answer(), "err_no": 2002}),
    "gzip": answers(raw=gzip.compress(json.dumps(good_answer()).encode()), Content_Encoding="gzip"),
    "redirect": answers(raw=b"", status=302, Location="http://127.0.0.1:1/infer"),
    "no_content": answers(raw=b"", status=204),
    "not_found": answers({"err_no": 404}, status=404),
    "forbidden": answers({"err_no": 403}, status=403),
    "server_error": answers({"err_no": 9002}, status=500),
    "bad_gateway": answers(raw=b"<html>", status=502),
    "nan_confidence": answers(_with_result(confidence=float("nan"))),
    "infinite_score": answers(_with_box([0, 0, 1, 1], score=float("inf"))),
    "nan_box": answers(_with_box([0, 0, float("nan"), 1])),
    "box_of_three": answers(_with_box([0, 0, 1])),
    "box_of_texts": answers(_with_box(["a", "b", "c", "d"])),
    "box_far_away": answers(_with_box([0, 0, 1e300, 1])),
    "confidence_above_one": answers(_with_result(confidence=1.5)),
    "unknown_label": answers(_with_result(label="dragon")),
    "unknown_box_label": answers(_with_box([0, 0, 1, 1], label="none")),
    "too_many_boxes": answers(_with_result(detections=good_answer(boxes=((0, 0, 1, 1),) * 1000))),
    "boxes_of_nothing": answers(_with_result(label="none", confidence=0.99)),
    "negative_cost": answers(_with_result(cost=-0.02)),
    "no_model": answers(_without("model")),
    "long_model_name": answers(_with_result(model={**MODEL, "name": "x" * 10_000})),
    "no_confidence": answers(_without("confidence")),
}
"""Answers that must all end in the edge's own verdict."""


def _drip(exchange: Exchange, data: bytes) -> None:
    for number in range(len(data)):
        exchange.send(data[number : number + 1])
        if exchange.stopping.wait(0.2):
            return


def _read_call(sock: socket.socket, number: int, stopping: threading.Event) -> Exchange | None:
    sock.settimeout(30)
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = sock.recv(65_536)
        if not chunk:
            return None
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    exchange = Exchange(sock=sock, head=head, body=body, number=number, stopping=stopping)
    length = int(exchange.header("Content-Length") or 0)
    while len(exchange.body) < length:
        chunk = sock.recv(65_536)
        if not chunk:
            return None
        exchange.body += chunk
    return exchange
