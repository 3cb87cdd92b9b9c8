"""Clouds that misbehave, on 127.0.0.1: one that is not there, one that says nothing, two that drip.

A process of its own would not matter here: they sleep, their CPU time is nil.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_DRIP_PAUSE_S = 1.0
_LONGEST_S = 120.0  # a stand-in lets go by itself after this
_Behaviour = Callable[[socket.socket, threading.Event], None]


@contextmanager
def dead() -> Iterator[str]:
    """Give the address of a port at which nobody listens and that nobody else can take meanwhile."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}"


@contextmanager
def hanging() -> Iterator[str]:
    """Run a cloud that takes the call and never answers."""
    with _listening(lambda sock, stopping: _wait(stopping)) as url:
        yield url


@contextmanager
def dripping_headers() -> Iterator[str]:
    """Run a cloud that sends its header one byte a second."""
    head = b"HTTP/1.1 200 OK\r\n" + b"X-Filler: 0123456789\r\n" * 100
    with _listening(lambda sock, stopping: _drip(sock, stopping, head)) as url:
        yield url


@contextmanager
def dripping_body() -> Iterator[str]:
    """Run a cloud that sends its header at once and its body one byte a second."""

    def behave(sock: socket.socket, stopping: threading.Event) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        sock.sendall(b"Content-Length: 1000\r\n\r\n")
        _drip(sock, stopping, b'{"err_no": 0, "result": {' + b" " * 975)

    with _listening(behave) as url:
        yield url


@contextmanager
def _listening(behave: _Behaviour) -> Iterator[str]:
    stopping = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)

    def serve(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            reader = threading.Thread(target=_swallow, args=(sock,), daemon=True)
            reader.start()
            behave(sock, stopping)

    def accept() -> None:
        while not stopping.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stopping.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _swallow(sock: socket.socket) -> None:
    """Read what the edge sends, so that it is never stopped by a full socket."""
    with contextlib.suppress(OSError):
        while sock.recv(65_536):
            pass


def _wait(stopping: threading.Event) -> None:
    stopping.wait(_LONGEST_S)


def _drip(sock: socket.socket, stopping: threading.Event, data: bytes) -> None:
    for number in range(min(len(data), int(_LONGEST_S / _DRIP_PAUSE_S))):
        sock.sendall(data[number : number + 1])
        if stopping.wait(_DRIP_PAUSE_S):
            return
