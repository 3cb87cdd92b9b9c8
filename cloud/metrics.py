"""The cloud's metrics, named as the wire contract says. Ring: adapter."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cloud.fleet import Fleet
from cloud.jobs import JobState
from cloud.local_engine import BatchReport
from cloud.troubles import CLOUD_KINDS
from shared.error_code import ErrorCode
from shared.errors import FireError
from shared.metrics import SECONDS_BUCKETS, add_model_info
from shared.trouble import Trouble, TroubleKind

_REFUSALS = {
    ErrorCode.CLOUD_OVERLOADED: "full",
    ErrorCode.DEADLINE_MISSED: "deadline",
    ErrorCode.HTTP_RATE_LIMITED: "rate",
    ErrorCode.HTTP_UNAVAILABLE: "stopping",
    ErrorCode.MODEL_NOT_READY: "not_ready",
}


class CloudMetrics:
    """Counters and histograms of one service; labels come from closed sets."""

    def __init__(self, waiting: Callable[[], Mapping[str, int]]) -> None:
        """Create them in a registry of their own; `waiting` is asked for `queue` and `jobs` at each scrape."""
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
        for (
            reason
        ) in _REFUSALS.values():  # from the first scrape on, or a rise from nothing is not seen
            self.dropped.labels(reason)
        self._queue = Gauge(
            "fire_cloud_queue_items", "Pictures that wait for the session.", registry=self.registry
        )
        self._queue.set_function(lambda: waiting()["queue"])
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

        self._stage = Histogram(
            "fire_cloud_stage_seconds",
            "Time by stage.",
            ["stage"],
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        jobs = Gauge("fire_cloud_jobs_waiting", "Jobs that wait.", registry=self.registry)
        jobs.set_function(lambda: waiting()["jobs"])
        self.set_model = add_model_info(self.registry, "fire_cloud")
        self._jobs = Counter(
            "fire_cloud_jobs", "Finished jobs by state.", ["state"], registry=self.registry
        )
        self._callbacks = Counter(
            "fire_cloud_callbacks",
            "Callbacks by outcome.",
            ["outcome"],
            registry=self.registry,
        )

    def add_fleet(self, fleet: Fleet) -> None:
        """Publish how many edges report, and how many fell silent."""
        gauge = Gauge("fire_cloud_edges", "Edges by state.", ["state"], registry=self.registry)
        gauge.labels("reporting").set_function(lambda: fleet.count(is_silent=False))
        gauge.labels("silent").set_function(lambda: fleet.count(is_silent=True))

    def add_troubles(self, troubles: Callable[[], Iterable[Trouble]]) -> None:
        """Publish how many troubles of each kind hold."""
        gauge = Gauge(
            "fire_cloud_trouble_active",
            "Troubles that hold now.",
            ["kind"],
            registry=self.registry,
        )
        for kind in CLOUD_KINDS:
            gauge.labels(kind.value).set_function(functools.partial(_count, troubles, kind))

    def refused(self, error: FireError) -> None:
        """Count a picture that was refused or given up, by reason; its own faults do not count."""
        reason = _REFUSALS.get(error.code)
        if reason:
            self.dropped.labels(reason).inc()

    def observe_stages(self, stage_ms: Mapping[str, float]) -> None:
        """Count the stages of one finished picture."""
        for stage, ms in stage_ms.items():
            self._stage.labels(stage).observe(ms / 1000)

    def job_finished(self, state: JobState) -> None:
        """Count a job."""
        self._jobs.labels(state.value).inc()

    def callback(self, outcome: str) -> None:
        """Count a callback: delivered, failed or refused."""
        self._callbacks.labels(outcome).inc()

    def observe_batch(self, report: BatchReport) -> None:
        """Count one turn of the session thread."""
        for wait_s in report.waits_s:
            self._wait.observe(wait_s)
        if report.size:
            self._batch.observe(report.size)
            self._infer.observe(report.run_s)


def _count(troubles: Callable[[], Iterable[Trouble]], kind: TroubleKind) -> float:
    return float(sum(trouble.kind is kind for trouble in troubles()))
