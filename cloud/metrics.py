"""The cloud's metrics, named as the wire contract says. Ring: adapter."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cloud.engine import BatchReport
from cloud.fleet.fleet import Fleet
from cloud.jobs.answer import Answer
from cloud.jobs.jobs import JobState
from cloud.troubles import CLOUD_KINDS
from shared.error_code import ErrorCode
from shared.errors import FireError
from shared.metrics import SECONDS_BUCKETS, add_model_info
from shared.watch.trouble import Trouble, TroubleKind

_REFUSALS = {
    ErrorCode.CLOUD_OVERLOADED: "full",
    ErrorCode.DEADLINE_MISSED: "deadline",
    ErrorCode.HTTP_RATE_LIMITED: "rate",
    ErrorCode.HTTP_UNAVAILABLE: "stopping",
    ErrorCode.MODEL_NOT_READY: "not_ready",
}


class RunMetrics:
    """What a process with the model counts, a service or a worker of Redis; labels come from closed sets."""

    def __init__(self) -> None:
        """Create them in a registry of their own."""
        self.registry = CollectorRegistry()
        self.set_model = add_model_info(self.registry, "fire_cloud")
        self.dropped = self._counter("dropped", "Pictures not run, by reason.", "reason")
        for reason in _REFUSALS.values():
            # From the first scrape on, or a rise from nothing is not seen.
            self.dropped.labels(reason)
        self._jobs = self._counter("jobs", "Finished jobs by state.", "state")
        self._callbacks = self._counter("callbacks", "Callbacks by outcome.", "outcome")
        self._wait = self._seconds("queue_wait_seconds", "Wait for the session.")
        self._infer = self._seconds("infer_seconds", "One run of the model.")
        self._stage = self._seconds("stage_seconds", "Time by stage.", "stage")
        self._batch = Histogram(
            "fire_cloud_batch_size",
            "Pictures in one run.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )

    def add_troubles(self, troubles: Callable[[], Iterable[Trouble]]) -> None:
        """Publish how many troubles of each kind hold."""
        gauge = self._gauge("trouble_active", "Troubles that hold now.", "kind")
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

    def job_finished(self, answer: Answer) -> JobState:
        """Count a job by what came of it, and tell that."""
        state = JobState.DONE if answer.error is None else JobState.FAILED
        self._jobs.labels(state.value).inc()
        if answer.error is not None:
            self.refused(FireError(answer.error, answer.detail))
        return state

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

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"fire_cloud_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"fire_cloud_{name}", text, labels, registry=self.registry)

    def _seconds(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(
            f"fire_cloud_{name}", text, labels, buckets=SECONDS_BUCKETS, registry=self.registry
        )


class CloudMetrics(RunMetrics):
    """What a service counts besides: requests, what waits, and the edges that report."""

    def __init__(self, waiting: Callable[[], Mapping[str, int]]) -> None:
        """Create them; `waiting` is asked for `queue` and `jobs` at each scrape."""
        super().__init__()
        self.requests = self._counter("requests", "Requests by route and status.", "route", "code")
        queue = self._gauge("queue_items", "Pictures that wait for the session.")
        queue.set_function(lambda: waiting()["queue"])
        jobs = self._gauge("jobs_waiting", "Jobs that wait.")
        jobs.set_function(lambda: waiting()["jobs"])

    def add_fleet(self, fleet: Fleet) -> None:
        """Publish how many edges report, and how many fell silent."""
        gauge = self._gauge("edges", "Edges by state.", "state")
        gauge.labels("reporting").set_function(lambda: fleet.count(is_silent=False))
        gauge.labels("silent").set_function(lambda: fleet.count(is_silent=True))


def _count(troubles: Callable[[], Iterable[Trouble]], kind: TroubleKind) -> float:
    return float(sum(trouble.kind is kind for trouble in troubles()))
