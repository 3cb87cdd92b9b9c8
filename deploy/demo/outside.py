"""What lies outside of both services: a cable that can be cut, and a phone. Loopback, threads."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Network:
    """A cable between edge and cloud that can be pulled out: a relay on loopback."""

    def __init__(self, target: int) -> None:
        """Lead to a port."""
        self._target = target
        self._is_cut = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Pull it out: open connections break, new ones too."""
        self._is_cut.set()

    def mend(self) -> None:
        """Put it back."""
        self._is_cut.clear()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            threading.Thread(target=self._relay, args=(near,), daemon=True).start()

    def _relay(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near:
            if self._is_cut.is_set():
                return
            with socket.create_connection(("127.0.0.1", self._target)) as far:
                ways = {near: far, far: near}
                while not self._is_cut.is_set():
                    for ready in select.select(list(ways), [], [], 0.1)[0]:
                        data = ready.recv(65_536)
                        if not data:
                            return
                        ways[ready].sendall(data)


class Phone:
    """Somebody who is told of alarms: a webhook on loopback that keeps what it was told."""

    def __init__(self) -> None:
        """Begin to listen."""
        told: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.told = told
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
