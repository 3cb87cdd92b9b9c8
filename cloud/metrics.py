"""The cloud's metrics, named as the wire contract says. Ring: adapter."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cloud.local_engine import BatchReport
from shared.metrics import SECONDS_BUCKETS


class CloudMetrics:
    """Counters and histograms of one service; labels come from closed sets."""

    def __init__(self, queued: Callable[[], int]) -> None:
        """Create them in a registry of their own; `queued` is asked at each scrape."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "fire_cloud_requests",
            "Requests by route and status.",
            ["route", "code"],
            registry=self.registry,
        )
        self.dropped = Counter(
            "fire_cloud_dropped", "Pictures not run, by reason.", ["reason"], registry=self.registry
        )
        self._queue = Gauge(
            "fire_cloud_queue_items", "Pictures that wait for the session.", registry=self.registry
        )
        self._queue.set_function(queued)
        self._wait = Histogram(
            "fire_cloud_queue_wait_seconds",
            "Wait for the session.",
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self._batch = Histogram(
            "fire_cloud_batch_size",
            "Pictures in one run.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )
        self._infer = Histogram(
            "fire_cloud_infer_seconds",
            "One run of the model.",
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )

    def observe_batch(self, report: BatchReport) -> None:
        """Count one turn of the session thread."""
        for wait_s in report.waits_s:
            self._wait.observe(wait_s)
        if report.size:
            self._batch.observe(report.size)
            self._infer.observe(report.run_s)
        if report.dropped:
            self.dropped.labels("deadline").inc(report.dropped)
