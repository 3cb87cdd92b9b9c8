"""What follows the verdict, built from the settings: zones, events, pre-roll, origins, and where they go. Ring: rim."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.config.settings import EdgeSettings
from edge.decide.decider import Budget
from edge.decide.policies import PolicyName
from edge.event.announcing import Announcer, Announces
from edge.event.events import Events
from edge.event.fire_event import FireEvent, KeptFrame, Origin
from edge.forward.forwarder import Forwarder
from edge.incidents import Incidents, Records
from edge.origin.check import OriginCheck
from edge.origin.outbox import OriginOutbox
from edge.origin.tracing import Ask, Tracer
from edge.outbox.outbox import Outbox
from edge.zones.blackout import black_out
from edge.zones.zones import Masks
from shared.clock import Clock
from shared.ids import new_id
from shared.model.manifest import shipped_models
from shared.types import Frame
from shared.watch.heartbeat import Watchman

_RECORDER, _ANNOUNCER, _TRACER = "recorder", "announcer", "tracer"
_SILENT_S = 45.0  # above a slow disk's longest write
# At low priority, loading the detector took over 45 s on a machine at its limit.
_TRACER_SILENT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPorts:
    """Where events go.

    `keeps` is the record, `announces` the alert desk. `outbox` carries the question about an origin while the cloud is
    away. `took` is told how long each write took, stage `record`.
    """

    keeps: Records
    announces: Announces
    outbox: Outbox
    took: Callable[[str, float], None] = lambda stage, seconds: None


class EventPlane:
    """The parts behind `fuse`; `start` begins to record and to trace, `stop` ends both and keeps what is open."""

    def __init__(
        self,
        settings: EdgeSettings,
        ports: EventPorts,
        *,
        masks: Masks,
        ask: Ask | None,
        watchman: Watchman,
        clock: Clock,
    ) -> None:
        """Build the parts.

        Args:
            settings: of the service.
            ports: where events go.
            masks: the cameras' zones.
            ask: asks the cloud about the frame of an origin, see `origin_question`; None never does.
            watchman: hears whether the threads live.
            clock: of the service.
        """
        section = settings.events
        self._outbox = ports.outbox
        self._watchman = watchman
        self.masks = masks
        self.preroll = section.preroll(clock)
        models = settings.models or shipped_models()
        self._tracer = self._build_tracer(models, ask) if section.trace_origin else None
        self.announcer = Announcer(
            ports.announces, beat=functools.partial(watchman.beat, _ANNOUNCER)
        )
        self.incidents = Incidents(
            Events(
                section.event_settings(),
                masks=masks,
                clock=clock,
                new_id=lambda: new_id(clock.now_at()),
            ),
            preroll=self.preroll,
            keeps=ports.keeps,
            tells=self.announcer,
            traces=self._tracer,
            clock=clock,
            beat=functools.partial(watchman.beat, _RECORDER),
            took=ports.took,
        )

    def start(
        self,
        left: Sequence[FireEvent] = (),
        untraced: Iterable[tuple[FireEvent, Sequence[KeptFrame]]] = (),
    ) -> None:
        """Close what was `left` open, begin to record and to trace, first of all the `untraced`."""
        self.incidents.close_left(left)
        self._watchman.watch(_RECORDER, allowed_s=_SILENT_S)
        self.incidents.start()
        self._watchman.watch(_ANNOUNCER, allowed_s=_SILENT_S)
        self.announcer.start()
        if self._tracer:
            self._watchman.watch(_TRACER, allowed_s=_TRACER_SILENT_S)
            self._tracer.start()
            for event, frames in untraced:
                self._tracer.trace(event, frames)

    def stop(self, timeout_s: float) -> None:
        """Close what is open, write what waits, and end the threads."""
        if self._tracer:
            self._tracer.stop(timeout_s)
        self.incidents.stop(timeout_s)
        self.announcer.stop(timeout_s)

    def seen(self, frame: Frame) -> Frame:
        """Give a frame as everything behind this point may see it: its private zones blacked out.

        Raises:
            ImageError(IMAGE_DAMAGED): it has private zones and cannot be decoded.
        """
        return black_out(frame, self.masks.of(frame.camera).private)

    def camera_status(self, camera: str) -> dict[str, Any]:
        """Tell a camera's zones, and how often they took something out."""
        zones = self.masks.of(camera)
        return {
            "zones": zones.version if zones.zones else None,
            "suppressed": self.masks.suppressed(camera),
        }

    def _build_tracer(self, models: Path, ask: Ask | None) -> Tracer:
        beat = functools.partial(self._watchman.beat, _TRACER)
        if ask is None:
            return Tracer(models, found=self._found, ask=None, beat=beat)
        waiting = OriginOutbox(self._outbox, lambda unasked: tracer.ask_again(unasked))
        tracer = Tracer(models, found=self._found, ask=ask, wait=waiting.put, beat=beat)
        return tracer

    def _found(self, event: FireEvent, origin: Origin) -> None:
        self.incidents.found(event, origin)


def origin_question(
    settings: EdgeSettings, link: Forwarder | None, budget: Budget, clock: Clock
) -> Ask | None:
    """Build the one question to the cloud about the frame of an origin; None where the cloud is never asked."""
    policy = settings.policy
    if link is None or policy.name is PolicyName.EDGE_ONLY:
        return None
    return OriginCheck(
        policy.name,
        budget=budget,
        link=link,
        forwarder=link,
        cost_micros=policy.cost_micros,
        clock=clock,
    ).ask
