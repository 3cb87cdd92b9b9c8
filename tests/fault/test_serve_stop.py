"""A server that is told to stop closes once, whatever its connections do at that moment."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from shared.config import ServerSection
from shared.web.serve import WebServer

pytestmark = pytest.mark.fault


class _SlowApp:
    """Answers after a while; `began` and `ended` tell how far its last request has come."""

    def __init__(self, takes_s: float) -> None:
        self._takes_s = takes_s
        self.began, self.ended = threading.Event(), threading.Event()

    def __call__(self, environ, start_response):
        self.began.set()
        time.sleep(self._takes_s)
        start_response("200 OK", [("Content-Length", "2")])
        self.ended.set()
        return [b"ok"]


def _server(app, threads: int = 2) -> WebServer:
    server = WebServer(app, ServerSection(host="127.0.0.1", port=0, threads=threads))
    server.start()
    return server


def _ask(port: int, path: str = "/") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=40)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: edge\r\n\r\n".encode())
    return connection


def test_a_stop_holds_while_a_request_that_will_not_end_wakes_the_loop():
    for _ in range(40):
        server = _server(_SlowApp(0))
        is_over = threading.Event()
        failures: list[OSError] = []
        server._server.task_dispatcher.add_task(_Endless(is_over))
        waker = threading.Thread(target=_wake, args=(server, is_over, failures))
        waker.start()
        server.stop(0.05)
        is_over.set()
        waker.join()
        assert failures == []


def _wake(server: WebServer, is_over: threading.Event, failures: list[OSError]) -> None:
    """Do what a thread does that is still sending an answer."""
    try:
        while not is_over.wait(0.0001):
            server._server.pull_trigger()
    except OSError as err:
        failures.append(err)


class _Endless:
    """A task that runs until it is told to end."""

    requests = (None,)

    def __init__(self, is_over: threading.Event) -> None:
        self._is_over = is_over

    def service(self) -> None:
        self._is_over.wait(40)


def test_a_request_that_runs_longer_than_the_stop_gets_no_strangers_file(tmp_path: Path):
    app = _SlowApp(1.0)
    server = _server(app)
    connection = _ask(server.port)
    assert app.began.wait(40)
    server.stop(0.1)
    # Files opened now take the lowest free numbers; a thread that still writes to a closed wake-up pipe would hit them.
    files = [(tmp_path / str(index)).open("w+b", buffering=0) for index in range(32)]
    assert app.ended.wait(40)
    time.sleep(0.2)  # its answer is being written now
    for file in files:
        file.seek(0)
        assert file.read() == b""
        file.close()
    connection.close()


def test_a_running_request_is_answered_before_the_server_closes():
    app = _SlowApp(0.5)
    server = _server(app)
    connection = _ask(server.port)
    assert app.began.wait(40)
    server.stop(30.0)
    assert connection.recv(4096).startswith(b"HTTP/1.1 200 OK")
    connection.close()


def test_health_is_answered_while_every_thread_is_taken():
    is_over = threading.Event()

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/joint_predict":
            is_over.wait(30)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    server = _server(app)
    taken = [_ask(server.port, "/joint_predict") for _ in range(6)]
    try:
        time.sleep(0.2)
        for path in ("/healthz", "/readyz", "/health", "/metrics", "/version"):
            with _ask(server.port, path) as asked:
                assert asked.recv(100).startswith(b"HTTP/1.1 200")
    finally:
        is_over.set()
        for connection in taken:
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
            connection.close()
        server.stop(5)
