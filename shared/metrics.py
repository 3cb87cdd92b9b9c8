"""Prometheus parts that both services use. Ring: adapter.

Each service owns a registry of its own, never the global one.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from shared.types import ModelIdentity

SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""From one model run to the default deadline; a stage above 5 s has failed anyway."""

EXPOSITION_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def exposition(registry: CollectorRegistry) -> bytes:
    """Write all metrics of a registry in the Prometheus text format."""
    return generate_latest(registry)


def set_build_info(registry: CollectorRegistry, prefix: str, version: str, commit: str) -> None:
    """Publish `<prefix>_build_info{version,commit} 1`."""
    gauge = Gauge(f"{prefix}_build_info", "What runs.", ["version", "commit"], registry=registry)
    gauge.labels(version, commit).set(1)


def add_model_info(registry: CollectorRegistry, prefix: str) -> Callable[[ModelIdentity], None]:
    """Add `<prefix>_model_info{name,version,sha256_12} 1`; what is returned names the model that runs from now on."""
    gauge = Gauge(
        f"{prefix}_model_info",
        "Which model runs.",
        ["name", "version", "sha256_12"],
        registry=registry,
    )

    def set_model(model: ModelIdentity) -> None:
        gauge.clear()
        gauge.labels(model.name, model.version, model.sha256_12).set(1)

    return set_model
