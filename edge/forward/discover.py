"""Where the clouds are: static URLs, DNS SRV records, or Consul's health API. Ring: adapter (network).

`https://host:port` is itself; `dns+srv://_emberlink._tcp.example.com` reads SRV records (RFC 2782); the address
`consul://host:8500/service` asks Consul for the passing instances of a service. What a directory says is hostile until
parsed: bounded time, bytes and number, host names only.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import dns.exception
import dns.resolver
import requests
from urllib3.exceptions import HTTPError

from edge.forward.balance import Endpoint
from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import LinkError
from shared.logs import get_logger, redact
from shared.watch.supervise import Supervisor
from shared.watch.trouble import Trouble, TroubleKind
from shared.web.socket_deadline import DeadlineAdapter, SocketDeadlines

_MAX_ANSWER_BYTES = 256_000  # some 500 instances; a directory that says more is not believed
_MAX_ENDPOINTS = 16  # each holds a connection pool; more clouds than this want a load balancer
_TIMEOUT_S = 3.0  # for the whole answer; a directory is near, and asked again soon
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?")
_THREAD = "discover"


def resolve(address: str, token: str | None = None) -> list[Endpoint]:
    """Look up the clouds behind one address.

    Args:
        address: `http(s)://…`, `dns+srv://_service._proto.name[?scheme=&server=ip:port]`, or
            `consul://host:port/service[?tag=&scheme=&tls=1]`; `scheme` is how the clouds are asked, https unless said.
        token: of Consul's access control.

    Raises:
        LinkError(CLOUD_UNREACHABLE): the directory cannot be asked, or names no usable cloud.
    """
    parts = urlsplit(address)
    if parts.scheme in ("http", "https"):
        return [Endpoint(url=address.rstrip("/"))]
    options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    try:
        found = (
            _service_records(parts.netloc, options)
            if parts.scheme == "dns+srv"
            else _healthy_instances(address, options, token)
        )
    except (
        dns.exception.DNSException,
        requests.RequestException,
        HTTPError,
        ValueError,
        RecursionError,
        OSError,
    ) as err:
        detail = f"{redact(address)}: {type(err).__name__}: {str(err)[:200]}"
        raise LinkError(ErrorCode.CLOUD_UNREACHABLE, detail, certainly_not_run=True) from err
    if not found:
        detail = f"{redact(address)} names no cloud"
        raise LinkError(ErrorCode.CLOUD_UNREACHABLE, detail, certainly_not_run=True)
    return found[:_MAX_ENDPOINTS]


def _service_records(name: str, options: dict[str, str]) -> list[Endpoint]:
    """Read SRV records; their priority is the rank."""
    resolver = dns.resolver.Resolver()
    if "server" in options:
        host, _, port = options["server"].rpartition(":")
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = [host.strip("[]")], int(port)
    answer = resolver.resolve(name, "SRV", lifetime=_TIMEOUT_S)
    records = sorted(answer, key=lambda r: (r.priority, -r.weight))
    return [
        _endpoint(str(r.target).rstrip("."), int(r.port), options, rank=int(r.priority))
        for r in records
    ]


def _healthy_instances(address: str, options: dict[str, str], token: str | None) -> list[Endpoint]:
    parts = urlsplit(address)
    scheme = "https" if options.get("tls") == "1" else "http"
    query = {"passing": "1"} | ({"tag": options["tag"]} if "tag" in options else {})
    service = parts.path.strip("/")
    url = f"{scheme}://{parts.netloc}/v1/health/service/{service}?{urlencode(query)}"
    rows = _read_json(url, {"X-Consul-Token": token} if token else {})
    if not isinstance(rows, list):
        raise ValueError("the answer is no list")
    return [_instance(row, options) for row in rows[:_MAX_ENDPOINTS]]


def _instance(row: Any, options: dict[str, str]) -> Endpoint:
    try:
        service = row["Service"]
        host = service["Address"] or row["Node"]["Address"]
        port = int(service["Port"])
    except (KeyError, TypeError, ValueError, OverflowError) as err:
        raise ValueError("an instance without address and port") from err
    return _endpoint(str(host), port, options, rank=0)


def _endpoint(host: str, port: int, options: dict[str, str], *, rank: int) -> Endpoint:
    if not (_HOST.fullmatch(host) and 0 < port < 65_536):
        raise ValueError(f"not a host and port: {host[:60]!r}, {port}")
    wrapped = f"[{host}]" if ":" in host else host
    return Endpoint(url=f"{options.get('scheme', 'https')}://{wrapped}:{port}", rank=rank)


def _read_json(url: str, headers: dict[str, str]) -> Any:
    deadlines = SocketDeadlines()
    try:
        with requests.Session() as session, deadlines.call(_TIMEOUT_S):
            session.trust_env = False
            session.mount("http://", DeadlineAdapter())
            session.mount("https://", DeadlineAdapter())
            with session.get(
                url, headers=headers, timeout=_TIMEOUT_S, stream=True, allow_redirects=False
            ) as response:
                if response.status_code != 200:
                    raise ValueError(f"HTTP {response.status_code}")
                body = response.raw.read(_MAX_ANSWER_BYTES + 1)
    finally:
        deadlines.stop()
    if len(body) > _MAX_ANSWER_BYTES:
        raise ValueError(f"more than {_MAX_ANSWER_BYTES} bytes")
    return json.loads(body)


class Discovery:
    """Looks the clouds up again and again; what was found last stays in use while a directory is away."""

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        every_s: float,
        token: str | None,
        use: Callable[[Sequence[Endpoint]], None],
        supervisor: Supervisor,
        clock: Clock,
    ) -> None:
        """Keep what to look up and whom to tell."""
        self._addresses = tuple(addresses)
        self._every_s = every_s
        self._token = token
        self._use = use
        self._supervisor = supervisor
        self._clock = clock
        self._found: dict[str, list[Endpoint]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=_THREAD, daemon=True)

    def start(self) -> None:
        """Look up now and from now on."""
        longest_turn_s = self._every_s + 2 * _TIMEOUT_S * len(self._addresses)
        self._supervisor.watch(_THREAD, allowed_s=longest_turn_s + 15.0)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a look-up that runs is bounded by its own timeout."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_TIMEOUT_S)
        self._supervisor.unwatch(_THREAD)

    def look_up(self) -> None:
        """Ask every directory once and pass on what is known."""
        for address in self._addresses:
            try:
                self._found[address] = resolve(address, self._token)
            except LinkError as err:
                self._complain(address, err.detail)
            else:
                self._supervisor.clear(TroubleKind.LINK, redact(address))
        ranked = [
            endpoint for address in self._addresses for endpoint in self._found.get(address, [])
        ]
        self._use(ranked[:_MAX_ENDPOINTS])

    def _complain(self, address: str, cause: str) -> None:
        self._supervisor.raise_trouble(
            Trouble(
                kind=TroubleKind.LINK,
                subject=redact(address),
                code="directory",
                cause=cause,
                remedy="Check the address in `cloud.endpoints`; the clouds found last stay in use.",
                since=self._clock.now_at(),
                figures={"detail": cause},
            )
        )

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look_up()
            except (
                Exception
            ) as err:  # thread top: a directory that goes mad must not end the look-ups
                get_logger().error("discovery_failed", exc_info=err)
            self._supervisor.beat(_THREAD)
            self._stopping.wait(self._every_s)
