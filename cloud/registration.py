"""Tells Consul that this cloud is here: service, address and a check on `/readyz`. Ring: adapter (network).

Registered again every half minute, because an agent that was restarted has forgotten; taken out when the service stops.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime

import requests

from cloud.config import CloudSettings
from cloud.troubles import consul_away
from shared.config import read_secret
from shared.logs import get_logger
from shared.watch.heartbeat import NOBODY, Watchman
from shared.watch.trouble import Trouble

_THREAD = "registration"
_EVERY_S = 30.0  # how long an agent that forgot us stays without us
_RETRY_S = 5.0
_TIMEOUT_S = 3.0
_SILENT_S = _EVERY_S + 5 * _TIMEOUT_S
_CHECK_EVERY = "5s"
_FORGET_AFTER = "10m"  # a machine that died without a word is taken off the list by Consul itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What is told: the agent's base URL, the service's name, and the address and port that edges use."""

    agent_url: str
    service: str
    address: str
    port: int
    tags: tuple[str, ...]
    is_tls: bool
    token: str | None

    @property
    def instance_id(self) -> str:
        """Name this instance: the same after a restart, another for another port or machine."""
        return f"{self.service}-{self.address}-{self.port}".replace(":", "-")


class Registration:
    """Keeps one instance registered from `start` to `stop`."""

    def __init__(self, what: Registered, watchman: Watchman = NOBODY) -> None:
        """Keep what to tell."""
        self._what = what
        self._watchman = watchman
        self._session = requests.Session()
        self._session.trust_env = False
        if what.token:
            self._session.headers["X-Consul-Token"] = what.token
        self._is_known: bool | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=_THREAD, daemon=True)

    def start(self) -> None:
        """Register now and from now on; an agent that is away is tried again."""
        self._watchman.watch(_THREAD, allowed_s=_SILENT_S)
        self._thread.start()

    def troubles(self, now_at: datetime) -> list[Trouble]:
        """Tell when the agent did not take this cloud on its list."""
        return [consul_away(now_at)] if self._is_known is False else []

    def stop(self) -> None:
        """Take the instance off the list, so that nobody is sent here while accepted work is finished."""
        self._stopping.set()
        self._watchman.unwatch(_THREAD)
        if self._thread.is_alive():
            self._thread.join(_TIMEOUT_S)
        if self._is_known:
            self._tell(f"/v1/agent/service/deregister/{self._what.instance_id}", None)
        self._session.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._watchman.beat(_THREAD)
            is_known = self._tell("/v1/agent/service/register", self._payload())
            if is_known and not self._is_known:
                get_logger().info("consul_registered", instance=self._what.instance_id)
            self._is_known = is_known
            self._stopping.wait(_EVERY_S if is_known else _RETRY_S)

    def _payload(self) -> dict[str, object]:
        what = self._what
        host = f"[{what.address}]" if ":" in what.address else what.address
        return {
            "ID": what.instance_id,
            "Name": what.service,
            "Address": what.address,
            "Port": what.port,
            "Tags": list(what.tags),
            "Check": {
                "HTTP": f"{'https' if what.is_tls else 'http'}://{host}:{what.port}/readyz",
                "Interval": _CHECK_EVERY,
                "Timeout": f"{_TIMEOUT_S:g}s",
                "DeregisterCriticalServiceAfter": _FORGET_AFTER,
            },
        }

    def _tell(self, path: str, payload: dict[str, object] | None) -> bool:
        try:
            answer = self._session.put(
                self._what.agent_url + path, json=payload, timeout=_TIMEOUT_S, allow_redirects=False
            )
            detail = "" if answer.ok else f"HTTP {answer.status_code}"
        except requests.RequestException as err:
            detail = type(err).__name__
        if detail and self._is_known is not False:
            get_logger().warning("consul_away", path=path, detail=detail)
        return not detail


def build_registration(
    settings: CloudSettings, port: int, watchman: Watchman
) -> Registration | None:
    """Prepare to tell Consul where this cloud is, where that is configured; `port` is the one that was bound."""
    consul = settings.consul
    if not (consul.url and consul.address):
        return None
    what = Registered(
        agent_url=consul.url,
        service=consul.service,
        address=consul.address,
        port=consul.port or port,
        tags=consul.tags,
        is_tls=consul.tls,
        token=read_secret(consul.token_file) if consul.token_file else None,
    )
    return Registration(what, watchman)
