"""More connections than fit, and clients that send requests and read no answers."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from shared.config import ServerSection
from shared.web.connections import most_connections
from shared.web.serve import WebServer
from tests.helpers.raw_http import raw_call
from tests.helpers.waiting import wait_until

_ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
_LONG = 4_000_000


def _app(environ, start_response):
    body = b"x" * (_LONG if environ["PATH_INFO"] == "/long" else 2)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@contextmanager
def _served(*, most: int = 1024, idle_s: float = 60) -> Iterator[int]:
    server = WebServer(_app, ServerSection(host="127.0.0.1", port=0, threads=2))
    listener = server._server
    listener.most, listener.adj.channel_timeout, listener.adj.cleanup_interval = most, idle_s, 0.1
    server.start()
    try:
        yield server.port
    finally:
        server.stop(1.0)


def _opened(port: int, sent: bytes = b"") -> socket.socket:
    client = socket.socket()
    # What is not read stays with the server.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(15)
    client.connect(("127.0.0.1", port))
    client.sendall(sent)
    return client


def _is_closed(client: socket.socket) -> Callable[[], bool]:
    def look() -> bool:
        client.setblocking(False)
        try:
            while client.recv(65_536):
                pass  # an answer from before
            return True
        except BlockingIOError:
            return False
        except OSError:
            return True

    return look


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HTTP/1.1\r\nX-A: ", b"POST / HTTP/1.1\r\nContent-Length: 9999\r\n\r\nab", _ASK],
    ids=["silent", "half_a_head", "half_a_body", "answered_once"],
)
def test_clients_that_ask_for_nothing_do_not_shut_out_one_that_asks(sent):
    with _served(most=8) as port, ExitStack() as idle:
        clients = [idle.enter_context(_opened(port, sent)) for _ in range(20)]
        for _ in range(5):
            assert raw_call(port, _ASK, hang_up=False).status == 200
        wait_until(lambda: 12 <= sum(_is_closed(client)() for client in clients) < 20)


def test_who_was_answered_last_stays_when_others_have_to_go():
    with _served(most=4) as port, ExitStack() as idle:
        regular = idle.enter_context(_opened(port))
        for _ in range(12):
            idle.enter_context(_opened(port))
            regular.sendall(_ASK)
            assert b"200 OK" in regular.recv(65_536)


def test_clients_that_read_nothing_hold_no_thread():
    request = b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n"
    with _served() as port, ExitStack() as deaf:
        for _ in range(6):
            deaf.enter_context(_opened(port, request * 20))
        for _ in range(5):
            assert raw_call(port, _ASK).status == 200


def test_requests_sent_ahead_are_all_answered_to_one_who_reads():
    request = b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n"
    with (
        _served() as port,
        _opened(
            port, request * 10 + _ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        ) as client,
    ):
        received = bytearray()
        while piece := client.recv(262_144):
            received += piece
    assert received.count(b"HTTP/1.1 200 OK") == 11
    assert received.count(b"x") == 10 * _LONG + 2


def test_an_answer_that_nobody_reads_is_let_go():
    request = b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n"
    with _served(idle_s=0.3) as port, _opened(port, request) as deaf:
        wait_until(lambda: _is_reset(deaf))


def _chunked(body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + body


def test_a_body_of_single_bytes_holds_up_nobody_else():
    """Each 256 kB of it took half a second of the loop that serves all connections."""
    with _served() as port:
        started_s = time.process_time()
        assert raw_call(port, _chunked(b"1\r\na\r\n" * 400_000 + b"0\r\n\r\n")).status == 200
        assert time.process_time() - started_s < 2.0


@pytest.mark.parametrize(
    "body",
    [b"1;a=" + b"b" * 100_000 + b"\r\na\r\n0\r\n\r\n", b"0\r\n" + b"X-A: b\r\n" * 20_000 + b"\r\n"],
    ids=["extension", "trailer"],
)
def test_what_stands_between_chunks_is_short_or_refused(body):
    with _served() as port:
        assert raw_call(port, _chunked(body)).status == 400


def test_a_client_refused_early_may_send_on_and_reads_why():
    with _served() as port, _opened(port) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        received = client.recv(1)
        for _ in range(100):
            client.sendall(b"x" * 100_000)
        client.shutdown(socket.SHUT_WR)
        while piece := client.recv(65_536):
            received += piece
    assert received.startswith(b"HTTP/1.1 413 ")


def test_a_client_refused_early_may_not_send_on_for_ever(monkeypatch):
    monkeypatch.setattr("shared.web.connections._READ_AWAY_S", 0)
    with _served() as port, _opened(port, b"nonsense\r\n\r\n") as client:
        wait_until(lambda: _is_reset(client))


def _is_reset(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        client.send(b"x")
    except BlockingIOError:
        return False
    except OSError:
        return True
    return False


def test_connections_leave_half_of_the_open_files_to_the_work():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1000, hard))
        assert most_connections() == 500
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
