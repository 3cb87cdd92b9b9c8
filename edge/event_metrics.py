"""What events tell to Prometheus, read from where it is counted. Ring: adapter."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge.event.fire_event import Severity
from edge.metrics import POSTED
from edge.wiring.events import EventPlane


class EventMetrics(Collector):
    """Collects at each scrape; `cameras` are the configured names, the only ones used as labels."""

    def __init__(self, plane: EventPlane, cameras: Iterable[str]) -> None:
        """Keep what to ask."""
        self._plane = plane
        self._cameras = tuple(cameras)

    def collect(self) -> Iterable[Metric]:
        """Give the families with their values now."""
        suppressed = CounterMetricFamily(
            "fire_edge_suppressed",
            "Frames from which a zone took out what was seen.",
            labels=["camera"],
        )
        for camera in self._cameras:
            suppressed.add_metric([camera], self._plane.masks.suppressed(camera))
        yield suppressed
        yield self._events()
        yield GaugeMetricFamily(
            "fire_edge_events_open", "Events that are open now.", self._plane.incidents.open_count()
        )
        yield CounterMetricFamily(
            "fire_edge_frames_not_kept",
            "Frames and changes of events that the disk was too slow for.",
            self._plane.incidents.dropped,
        )
        yield CounterMetricFamily(
            "fire_edge_changes_not_told",
            "Changes of events that nobody was told of, because whoever tells was too slow.",
            self._plane.announcer.dropped,
        )
        yield GaugeMetricFamily(
            "fire_edge_preroll_bytes", "Pictures held in memory.", self._plane.preroll.held_bytes()
        )

    def _events(self) -> Metric:
        counts = {(c, s): 0 for c in (*self._cameras, POSTED) for s in Severity}
        for (camera, severity), number in self._plane.incidents.opened().items():
            counts[camera if camera in self._cameras else POSTED, severity] += number
        family = CounterMetricFamily(
            "fire_edge_events", "Events by what they began as.", labels=["camera", "class"]
        )
        for (camera, severity), number in counts.items():
            family.add_metric([camera, severity.value], number)
        return family
