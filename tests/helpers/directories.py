"""Stand-ins for the directories that tell where services are: a DNS server and Consul's agent."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dns.flags
import dns.message
import dns.rrset


@contextmanager
def dns_server(records: dict[str, list[str]]) -> Iterator[str]:
    """Answer SRV questions over UDP on loopback; `records` may be changed meanwhile. Gives `ip:port`."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    server.settimeout(0.2)
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            try:
                wire, peer = server.recvfrom(4096)
            except TimeoutError:
                continue
            question = dns.message.from_wire(wire)
            answer = dns.message.make_response(question)
            answer.flags |= dns.flags.RA
            asked = question.question[0]
            if rows := records.get(str(asked.name).rstrip(".")):
                answer.answer.append(dns.rrset.from_text(asked.name, 5, "IN", "SRV", *rows))
            server.sendto(answer.to_wire(), peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}"
    finally:
        stopping.set()
        thread.join()
        server.close()


class ConsulAgent:
    """Speaks as much of Consul's HTTP API as is used: registration and passing instances."""

    def __init__(self, token: str | None = None) -> None:
        """Start without services; with a `token` nobody else is answered."""
        self.services: dict[str, dict[str, Any]] = {}
        self.answer: bytes | None = None
        self.token = token
        self.registrations = 0

    def passing(self, name: str) -> list[dict[str, Any]]:
        """List instances as `/v1/health/service/<name>` does."""
        return [
            {
                "Node": {"Address": "127.0.0.1"},
                "Service": {"ID": s["ID"], "Address": s["Address"], "Port": s["Port"]},
                "Checks": [],
            }
            for s in self.services.values()
            if s["Name"] == name
        ]


@contextmanager
def consul_agent(token: str | None = None) -> Iterator[tuple[ConsulAgent, str]]:
    """Run an agent on loopback; gives it and `host:port`."""
    agent = ConsulAgent(token)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/v1/health/service/").partition("?")[0]
            body = agent.answer or json.dumps(agent.passing(name)).encode()
            self._reply(200 if self._may() else 403, body)

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if not self._may():
                self._reply(403, b"Permission denied")
                return
            if self.path.startswith("/v1/agent/service/register"):
                service = json.loads(body)
                agent.services[service["ID"]] = service
                agent.registrations += 1
            elif self.path.startswith("/v1/agent/service/deregister/"):
                agent.services.pop(self.path.rpartition("/")[2], None)
            self._reply(200, b"")

        def _may(self) -> bool:
            return agent.token is None or self.headers.get("X-Consul-Token") == agent.token

        def _reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield agent, f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
