"""Connections that end at a deadline, whatever the peer does. Ring: adapter (urllib3).

A timeout in requests is per read: a peer that drips one byte a second held a call of timeout 1.0 for 14.8 s. Here one
thread shuts the socket down when the deadline passes, so that every read and write on it ends at once.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class _Call:
    """One call in progress on this thread: its sockets are shut when it is over time."""

    def __init__(self, ends_mono_s: float) -> None:
        self.ends_mono_s = ends_mono_s
        self.is_over = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []

    def watch(self, sock: socket.socket | None) -> None:
        with self._lock:
            if sock is not None and sock not in self._sockets:
                self._sockets.append(sock)
            if self.is_over:
                self._shut()

    def expire(self) -> None:
        with self._lock:
            self.is_over = True
            self._shut()

    def finish(self) -> None:
        with self._lock:
            self._sockets.clear()

    def _shut(self) -> None:
        for sock in self._sockets:
            # A TLS socket is shut below its encryption: a TLS goodbye could block on the same peer.
            with contextlib.suppress(OSError):  # already closed: what we wanted
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


_current = threading.local()


class _WatchedConnection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _watch(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _watch(self.sock)
        super().request(*args, **kwargs)


class _WatchedTlsConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _watch(self.sock)

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        _watch(sock)  # before the TLS handshake, which a silent peer could hold
        return sock

    def request(self, *args: Any, **kwargs: Any) -> None:
        _watch(self.sock)
        super().request(*args, **kwargs)


class _WatchedPool(HTTPConnectionPool):
    ConnectionCls = _WatchedConnection


class _WatchedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTlsConnection


class DeadlineAdapter(HTTPAdapter):
    """An adapter for `requests` whose connections obey `SocketDeadlines.call`."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use watched connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _WatchedPool, "https": _WatchedTlsPool}


class SocketDeadlines:
    """Owns the thread that shuts sockets; one per client."""

    def __init__(self) -> None:
        """Start the thread."""
        self._order = itertools.count()
        self._heap: list[tuple[float, int, _Call]] = []
        self._wake = threading.Condition()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._work, name="socket-deadlines", daemon=True)
        self._thread.start()

    @contextmanager
    def call(self, seconds: float) -> Iterator[_Call]:
        """Bound everything this thread does on `DeadlineAdapter` connections inside the block to `seconds`."""
        call = _Call(time.monotonic() + seconds)
        with self._wake:
            heapq.heappush(self._heap, (call.ends_mono_s, next(self._order), call))
            call.is_over = self._is_stopping
            self._wake.notify()
        _current.call = call
        try:
            yield call
        finally:
            _current.call = None
            call.finish()

    def stop(self) -> None:
        """End the thread; it cuts the calls that are left, since nobody would bound them any more."""
        with self._wake:
            self._is_stopping = True
            self._wake.notify()
        self._thread.join(timeout=1.0)

    def _work(self) -> None:
        while True:
            with self._wake:
                is_last = self._is_stopping
                until_mono_s = math.inf if is_last else time.monotonic()
                due = []
                while self._heap and self._heap[0][0] <= until_mono_s:
                    due.append(heapq.heappop(self._heap)[2])
                if not due and not is_last:
                    self._wake.wait(self._heap[0][0] - until_mono_s if self._heap else None)
            for call in due:
                call.expire()
            if is_last:
                return


def _watch(sock: socket.socket | None) -> None:
    call: _Call | None = getattr(_current, "call", None)
    if call is not None:
        call.watch(sock)
