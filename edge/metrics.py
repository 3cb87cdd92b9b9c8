"""The edge's metrics, named as the wire contract says. Ring: adapter."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from edge.decide.reasons import Reason
from edge.fuse import Verdict
from edge.outbox.item import ItemClass, OutboxStatus
from shared.breaker import BreakerState
from shared.error_code import ErrorCode
from shared.errors import FireError
from shared.metrics import SECONDS_BUCKETS
from shared.types import Source
from shared.watch.trouble import Trouble, TroubleKind

_KINDS_OF_CAMERAS = frozenset({TroubleKind.CAMERA, TroubleKind.VIEW})
_REFUSALS = {ErrorCode.EDGE_OVERLOADED: "full", ErrorCode.DEADLINE_MISSED: "deadline"}
STAGES = ("capture", "queue", "decode", "classify", "decide", "forward", "fuse", "record", "alert")
"""What the time of a frame is booked on: `capture` is the source's work on it, `queue` the wait for the classifier,
`record` one write to the evidence store, `alert` one try to hand a message to a sink."""
_CONFIDENCE_BUCKETS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)  # it is never below a half
POSTED = "http"  # a camera name that came with a post is free text; as a label it would grow without bound


class EdgeMetrics:
    """Counters and histograms of one service; `cameras` are the configured names, the only ones used as labels."""

    def __init__(
        self,
        cameras: Iterable[str],
        *,
        budgets: Mapping[str, Callable[[], float]],
        breaker_state: Callable[[], BreakerState | None],
        troubles: Callable[[], Iterable[Trouble]],
    ) -> None:
        """Create them in a registry of their own; the callables are asked at each scrape."""
        self.registry = CollectorRegistry()
        self._cameras = frozenset(cameras)
        cameras_and_posts = (*self._cameras, POSTED)
        outcomes = [*(source.value for source in Source), "failed"]
        self.frames = self._counter("frames", "Frames by outcome.", "camera", "outcome")
        self._frames = {
            (camera, outcome): self.frames.labels(camera, outcome)
            for camera in cameras_and_posts
            for outcome in outcomes
        }
        stages = self._histogram("stage_seconds", "Time by stage.", "stage", SECONDS_BUCKETS)
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        certainty = "Certainty of verdicts, max(p, 1 − p)."
        confidence = self._histogram("confidence", certainty, "camera", _CONFIDENCE_BUCKETS)
        self._confidence = {camera: confidence.labels(camera) for camera in cameras_and_posts}
        decisions = self._counter("decisions", "Decisions by reason.", "reason")
        self._decisions = {reason: decisions.labels(reason.value) for reason in Reason}
        refused = self._counter("refused", "Posted frames refused, by reason.", "reason")
        self._refused = {code: refused.labels(reason) for code, reason in _REFUSALS.items()}
        broken = "Frames whose score was not a finite number."
        self._broken = self._counter("broken_scores", broken)
        self._add_gauges(budgets, breaker_state)
        self._add_troubles(troubles)

    def observe(self, verdict: Verdict) -> None:
        """Count one verdict and its stages."""
        camera = self._camera(verdict.camera)
        self._frames[camera, verdict.source.value].inc()
        self._confidence[camera].observe(verdict.confidence)
        self._decisions[verdict.decision.reason].inc()
        if verdict.edge.is_broken:
            self._broken.inc()
        for stage, seconds in verdict.stages_s.items():
            self.took(stage, seconds)

    def took(self, stage: str, seconds: float) -> None:
        """Count how long a stage took."""
        self._stages[stage].observe(seconds)

    def refused(self, error: FireError) -> bool:
        """Count a posted frame that was refused; False for an error that is no refusal."""
        counter = self._refused.get(error.code)
        if counter is not None:
            counter.inc()
        return counter is not None

    def count_failed(self, camera: str | None) -> None:
        """Count a frame that got no verdict."""
        self._frames[self._camera(camera), "failed"].inc()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"fire_edge_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, label: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(
            f"fire_edge_{name}", text, [label], buckets=buckets, registry=self.registry
        )

    def _camera(self, camera: str | None) -> str:
        return camera if camera in self._cameras else POSTED

    def _add_gauges(
        self,
        budgets: Mapping[str, Callable[[], float]],
        breaker_state: Callable[[], BreakerState | None],
    ) -> None:
        budget = Gauge(
            "fire_edge_budget_remaining",
            "What may still be spent: `money` today, `month` of the monthly limit, `uplink_bytes` at this moment.",
            ["kind"],
            registry=self.registry,
        )
        for kind, left in budgets.items():
            budget.labels(kind).set_function(left)
        breaker = Gauge(
            "fire_edge_breaker_state",
            "1 for the state that holds.",
            ["state"],
            registry=self.registry,
        )
        for state in BreakerState:
            is_state = functools.partial(_is_state, breaker_state, state)
            breaker.labels(state.value).set_function(is_state)

    def _add_troubles(self, troubles: Callable[[], Iterable[Trouble]]) -> None:
        gauge = Gauge(
            "fire_edge_trouble_active",
            "Troubles that hold now; `camera` is empty for what is about no camera.",
            ["kind", "camera"],
            registry=self.registry,
        )
        for kind in TroubleKind:
            cameras = self._cameras if kind in _KINDS_OF_CAMERAS else ("",)
            for camera in cameras:
                count = functools.partial(_count, troubles, kind, camera)
                gauge.labels(kind.value, camera).set_function(count)


def _count(troubles: Callable[[], Iterable[Trouble]], kind: TroubleKind, camera: str) -> float:
    return sum(t.kind is kind and (not camera or t.subject == camera) for t in troubles())


def _is_state(now: Callable[[], BreakerState | None], state: BreakerState) -> float:
    return float(now() is state)


class AlertMetrics:
    """What waits in the outbox, and what came of alerts by sink."""

    def __init__(
        self,
        registry: CollectorRegistry,
        sinks: Iterable[str],
        outbox: Callable[[], OutboxStatus],
    ) -> None:
        """Create them; `outbox` is asked at each scrape."""
        alerts = Counter(
            "fire_edge_alerts", "Tries to deliver an alert.", ["sink", "result"], registry=registry
        )
        self._alerts = {
            (sink, result): alerts.labels(sink, result)
            for sink in sinks
            for result in ("delivered", "retried", "refused", "held")
        }
        items = Gauge(
            "fire_edge_outbox_items", "Items that wait to be sent.", ["class"], registry=registry
        )
        for item_class in ItemClass:
            count = functools.partial(_waiting, outbox, item_class)
            items.labels(item_class.value).set_function(count)
        size = Gauge(
            "fire_edge_outbox_bytes", "Bytes that wait, pictures included.", registry=registry
        )
        size.set_function(lambda: outbox().size_bytes)
        oldest = Gauge(
            "fire_edge_outbox_oldest_seconds", "Age of the oldest item.", registry=registry
        )
        oldest.set_function(lambda: outbox().oldest_s)
        quarantined = Gauge(
            "fire_edge_outbox_quarantined_items", "Items refused for good.", registry=registry
        )
        quarantined.set_function(lambda: outbox().quarantined)

    def count(self, sink: str, result: str) -> None:
        """Count one try."""
        self._alerts[sink, result].inc()


def _waiting(outbox: Callable[[], OutboxStatus], item_class: ItemClass) -> float:
    return outbox().items[item_class]
