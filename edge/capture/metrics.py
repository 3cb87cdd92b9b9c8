"""What each camera gave, as metrics that are asked at each scrape. Ring: adapter."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge.capture.state import CameraState

_NEVER = float("nan")  # a camera that never gave a frame has no age; 0 would look healthy


class CameraCollector(Collector):
    """Tells the age of each camera's last frame and where the cloud begins to be asked, and counts what was dropped."""

    def __init__(
        self,
        states: Callable[[], Iterable[CameraState]],
        ask_at: Callable[[str], float | None],
        frames: Counter,
    ) -> None:
        """Keep whom to ask; `frames` counts by camera and outcome."""
        self._states = states
        self._ask_at = ask_at
        self._frames = frames
        self._lock = threading.Lock()  # two scrapes at once must not count the same frames
        self._dropped: dict[str, int] = {}

    def describe(self) -> Iterable[Metric]:
        """Name the metrics without asking anybody."""
        return self._families()

    def collect(self) -> Iterator[Metric]:
        """Ask every camera."""
        age, threshold = self._families()
        for state in self._states():
            seconds = state.frame_age_s
            age.add_metric([state.name], _NEVER if seconds is None else seconds)
            asked_from = self._ask_at(state.name)
            threshold.add_metric([state.name], _NEVER if asked_from is None else asked_from)
            self._count_dropped(state)
        yield age
        yield threshold

    def _count_dropped(self, state: CameraState) -> None:
        with self._lock:
            dropped = max(state.skipped + state.stale, self._dropped.get(state.name, 0))
            more = dropped - self._dropped.get(state.name, 0)
            self._dropped[state.name] = dropped
        self._frames.labels(state.name, "dropped").inc(more)

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily(
                "fire_edge_frame_age_seconds",
                "Since the last good frame; NaN before the first.",
                labels=["camera"],
            ),
            GaugeMetricFamily(
                "fire_edge_threshold_ratio",
                "From which probability of fire or smoke on the cloud is asked; NaN when it never is.",
                labels=["camera"],
            ),
        )
