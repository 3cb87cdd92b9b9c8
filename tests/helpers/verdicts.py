"""Verdicts and a line of events without models, pictures or threads."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from edge.decide.memory import Memories
from edge.event.events import Events, EventSettings, Taken
from edge.event.evidence import Evidence
from edge.fuse import Verdict
from edge.zones.zones import Masks, Zones
from shared.types import Box, Classification, Detection, Frame, Label, Source
from tests.helpers.clock import FakeClock
from tests.helpers.frames import decision, frame, picture

WIDTH_PX, HEIGHT_PX = 640, 360
LEFT = Box(x1=40.0, y1=200.0, x2=120.0, y2=320.0)
RIGHT = Box(x1=480.0, y1=200.0, x2=600.0, y2=320.0)


def seen(box: Box, label: Label = Label.FIRE, score: float = 0.9) -> Detection:
    """Build a detection."""
    return Detection(label=label, score=score, box=box)


def verdict(of: Frame, *boxes: Detection, fire: float = 0.01, **changes: Any) -> Verdict:
    """Build the edge's verdict of a frame: fire at `fire`, with boxes."""
    edge = Classification(fire=fire, smoke=0.01, where=boxes)
    values: dict[str, Any] = {
        "frame_id": of.frame_id,
        "camera": of.camera,
        "captured_at": of.captured_at,
        "source": Source.EDGE,
        "label": edge.label,
        "confidence": edge.confidence,
        "edge": edge,
        "detections": boxes,
        "decision": decision(forward=False),
        "model": {"name": "edge-classifier", "version": "0.1.0", "sha256_12": "0" * 12},
        "detail": "",
        "stages_s": {},
    }
    return Verdict(**{**values, **changes})


class Line:
    """Evidence and events on a clock of their own; `see` is one frame half a second after the last."""

    def __init__(self, settings: EventSettings | None = None, zones: Zones | None = None) -> None:
        """Start with a camera that was never seen."""
        self.clock = FakeClock()
        self._evidence = Evidence(Memories(), score=lambda x, slow: x - 2.0, clock=self.clock)
        names = itertools.count()
        self.events = Events(
            settings or EventSettings(),
            masks=Masks({"gate": zones or Zones()}),
            clock=self.clock,
            new_id=lambda: f"event-{next(names):04d}",
        )
        self._frames = itertools.count()
        self.changes: list[Any] = []

    def frame(self, camera: str = "gate") -> Frame:
        """Take a frame now."""
        taken = frame(f"frame-{next(self._frames):06d}", camera, picture(WIDTH_PX, HEIGHT_PX))
        return replace(taken, captured_at=self.clock.now_at())

    def see(
        self, *boxes: Detection, fire: float | None = None, after_s: float = 0.5, **changes: Any
    ) -> Taken:
        """Let time pass and take in the edge's verdict; fire is 0.95 where there are boxes."""
        self.clock.advance(after_s)
        of = self.frame()
        probability = (0.95 if boxes else 0.01) if fire is None else fire
        return self.judge(of, verdict(of, *boxes, fire=probability, **changes))

    def cloud(self, label: Label, *boxes: Detection, confidence: float = 0.9) -> Taken:
        """Let the cloud answer to a frame that the edge is sure of."""
        self.clock.advance(0.5)
        of = self.frame()
        told = verdict(
            of,
            *boxes,
            fire=0.95,
            source=Source.CLOUD,
            label=label,
            confidence=confidence,
            detections=boxes,
        )
        return self.judge(of, told)

    def judge(self, of: Frame, told: Verdict) -> Taken:
        """Take in any verdict."""
        taken = self.events.take(of, told, self._evidence.note(told))
        self.changes += taken.changes
        return taken

    def wait(self, seconds: float) -> None:
        """Show a quiet picture for a while, twice a second."""
        for _ in range(int(seconds * 2)):
            self.see()

    def silence(self, seconds: float) -> None:
        """Let a while pass without any frame."""
        self.clock.advance(seconds)
        self.changes += self.events.tick()

    def steps(self) -> list[str]:
        """Name what happened so far that a person would hear of."""
        return [c.why or c.step.value for c in self.changes if c.why or c.step.value != "updated"]
