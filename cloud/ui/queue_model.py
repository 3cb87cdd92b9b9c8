"""What *Queue* and *Jobs* show, read off the metrics. Ring: rim."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A histogram: how many, their sum, and how many lie at or below each bound."""

    count: float = 0.0
    total: float = 0.0
    below: Mapping[float, float] = field(default_factory=dict)

    @property
    def mean(self) -> float | None:
        """Give the mean; None of nothing."""
        return self.total / self.count if self.count else None

    def percentile(self, share: float) -> float | None:
        """Give the bound below which at least this share lies; None of nothing, and beyond the last bound."""
        if not self.count:
            return None
        bounds = (b for b, n in sorted(self.below.items()) if n >= share * self.count)
        bound = next(bounds, math.inf)
        return bound if math.isfinite(bound) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads:
    """What happened since the start."""

    batches: Spread
    waits: Spread
    stages: Mapping[str, Spread]
    dropped: Mapping[str, int]
    jobs: Mapping[str, int]


def read_loads(registry: CollectorRegistry) -> Loads:
    """Read the cloud's metrics."""
    families = {family.name: family for family in registry.collect()}
    return Loads(
        batches=_spread(families["fire_cloud_batch_size"]),
        waits=_spread(families["fire_cloud_queue_wait_seconds"]),
        stages=_spreads(families["fire_cloud_stage_seconds"], "stage"),
        dropped=_counts(families["fire_cloud_dropped"], "reason"),
        jobs=_counts(families["fire_cloud_jobs"], "state"),
    )


def _spread(family: Metric) -> Spread:
    return _spreads(family, "").get("", Spread())


def _spreads(family: Metric, label: str) -> dict[str, Spread]:
    counts: dict[str, float] = {}
    totals: dict[str, float] = {}
    below: dict[str, dict[float, float]] = {}
    for sample in family.samples:
        key = sample.labels.get(label, "")
        if sample.name.endswith("_count"):
            counts[key] = sample.value
        elif sample.name.endswith("_sum"):
            totals[key] = sample.value
        elif sample.name.endswith("_bucket"):
            below.setdefault(key, {})[float(sample.labels["le"])] = sample.value
    return {
        key: Spread(count=number, total=totals[key], below=below[key])
        for key, number in counts.items()
    }


def _counts(family: Metric, label: str) -> dict[str, int]:
    totals = (sample for sample in family.samples if sample.name.endswith("_total"))
    return {sample.labels[label]: int(sample.value) for sample in totals}
