"""Real services on real sockets, on port 0, with tiny models and a folder of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from cloud.config import CloudSettings
from cloud.service import CloudService
from edge.config.settings import EdgeSettings
from edge.service import EdgeService
from shared.clock import Clock
from tests.helpers.waiting import wait_until


@dataclass(frozen=True, kw_only=True)
class Running:
    """A running service and a client for it."""

    service: Any
    port: int
    session: requests.Session = field(default_factory=requests.Session)

    @property
    def url(self) -> str:
        """Tell where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def call(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Send a request; no test waits for more than 60 s."""
        return self.session.request(method, self.url + path, timeout=60, **arguments)

    def get(self, path: str, **arguments: Any) -> requests.Response:
        """Send a GET."""
        return self.call("GET", path, **arguments)

    def post(self, path: str, **arguments: Any) -> requests.Response:
        """Send a POST."""
        return self.call("POST", path, **arguments)

    def show(
        self, path: str, picture: bytes, *, content_type: str = "image/jpeg", **headers: str
    ) -> requests.Response:
        """Post a picture as a raw body; `headers` with underscores for dashes."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.post(path, data=picture, headers={"Content-Type": content_type, **given})

    def settled(self, job_id: str) -> requests.Response:
        """Wait until a cloud has done a job, or failed at it; gives the answer that says so."""
        path, answers = f"/infer/result/{job_id}", list[requests.Response]()

        def is_over() -> bool:
            answers.append(self.get(path))
            return answers[-1].status_code != 202

        wait_until(is_over)
        return answers[-1]


def edge_settings(
    state: Path, models: Path, cloud_url: str = "", /, **sections: Any
) -> EdgeSettings:
    """Build settings for a test; `sections` are merged over them.

    A call to the cloud may take long: within the seconds that the defaults give it, a machine that does ten other
    things may stand still, and an answer of the cloud would be one of the edge by chance.
    """
    base = {
        "server": {"port": 0, "threads": 16, "stop_timeout_s": 3.0},
        "model": {"variant": "fp32"},
        "cloud": {"url": cloud_url, "timeout_s": 15.0},
        "policy": {"timezone": "UTC", "deadline_ms": 40_000},
        "state": state,
        "models": models,
    }
    return EdgeSettings.model_validate(_merged(base, sections))


def cloud_settings(state: Path, models: Path, /, **sections: Any) -> CloudSettings:
    """Build settings for a test; `sections` are merged over them."""
    base = {
        "server": {"port": 0, "threads": 16, "stop_timeout_s": 3.0},
        "state": state,
        "models": models,
    }
    return CloudSettings.model_validate(_merged(base, sections))


@contextmanager
def running_edge(
    state: Path,
    models: Path,
    cloud_url: str = "",
    /,
    *,
    clock: Clock | None = None,
    **sections: Any,
) -> Iterator[Running]:
    """Run an edge service for the length of a block."""
    yield from _running(EdgeService(edge_settings(state, models, cloud_url, **sections), clock))


@contextmanager
def running_cloud(
    state: Path, models: Path, /, *, clock: Clock | None = None, **sections: Any
) -> Iterator[Running]:
    """Run a cloud service for the length of a block."""
    yield from _running(CloudService(cloud_settings(state, models, **sections), clock))


def _running(service: EdgeService | CloudService) -> Iterator[Running]:
    service.start()
    with requests.Session() as session:
        session.trust_env = False
        try:
            yield Running(service=service, port=service.port, session=session)
        finally:
            session.close()
            service.stop()


def taken_place(cloud: Running) -> AbstractContextManager[None]:
    """Take one of a running cloud's places; with `engine.places = 1` the house is full."""
    place: AbstractContextManager[None] = cloud.service.house.admission.place()
    return place


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merged(merged[key], value)
        else:
            merged[key] = value
    return merged
