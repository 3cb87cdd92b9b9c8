"""Settings of events, of the frames before them, of tracing their origin, and of zones. Ring: rim."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from edge.event.events import EventSettings
from edge.event.preroll import Preroll
from edge.zones.zones import Zone, ZoneKind, Zones, find_fault
from shared.clock import Clock
from shared.config import Section

_MB = 1_000_000
_MOST_POINTS = 32
_MOST_ZONES = 16


class EventsSection(Section):
    """When an event ends, what is kept of the time before it, and how its origin is traced."""

    quiet_s: float = Field(
        60.0, ge=5, le=3600, description="An event closes when nothing was seen there for so long."
    )
    reopen_s: float = Field(
        300.0,
        ge=0,
        le=86_400,
        description="What comes back within this time after the close continues the same event.",
    )
    apart: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Two fires are two events when they are further apart, as a share of the picture's longer side.",
    )
    preroll_s: float = Field(
        60.0, ge=0, le=600, description="How much of the time before an event is kept in memory."
    )
    preroll_fps: float = Field(
        2.0, gt=0, le=10, description="Frames a second of it, at most those that are classified."
    )
    preroll_max_mb: int = Field(
        128,
        ge=1,
        le=16_384,
        description="Memory for it over all cameras; the longest gives way first.",
    )
    trace_origin: bool = Field(
        True, description="Look for the first picture that shows the fire, with the local detector."
    )

    def event_settings(self) -> EventSettings:
        """Give the value that the events work from."""
        return EventSettings(quiet_s=self.quiet_s, reopen_s=self.reopen_s, apart=self.apart)

    def preroll(self, clock: Clock) -> Preroll:
        """Build the ring that keeps the time before an event."""
        return Preroll(
            length_s=self.preroll_s,
            fps=self.preroll_fps,
            max_bytes=self.preroll_max_mb * _MB,
            clock=clock,
        )


class ZoneSection(Section):
    """One zone of a camera, a polygon in shares of its picture."""

    kind: ZoneKind = Field(
        description="ignore (counts for nothing), watch (own threshold and duration), privacy (blacked out)."
    )
    points: tuple[tuple[float, float], ...] = Field(
        min_length=3,
        max_length=_MOST_POINTS,
        description="Corners as [x, y], each 0…1 from the top left; the sides must not cross.",
    )
    threshold: float = Field(
        0.5,
        ge=0.5,
        lt=1,
        description="watch: probability from which on the edge's sighting counts.",
    )
    min_duration_s: float = Field(
        0.0,
        ge=0,
        le=600,
        description="watch: how long it must be seen there before an event opens.",
    )

    @field_validator("points")
    @classmethod
    def _simple(cls, points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        fault = find_fault(points)
        if fault:
            raise ValueError(fault)
        return points

    @model_validator(mode="after")
    def _only_watch_has_rules(self) -> ZoneSection:
        has_rules = self.threshold != 0.5 or self.min_duration_s != 0.0
        if has_rules and self.kind is not ZoneKind.WATCH:
            raise ValueError("threshold and min_duration_s are for zones of the kind watch")
        return self


ZoneName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
ZoneSections = Annotated[dict[ZoneName, ZoneSection], Field(max_length=_MOST_ZONES)]


def zones_of(sections: dict[str, ZoneSection]) -> Zones:
    """Give the value that masks and events work from."""
    zones = [
        Zone(
            name=name,
            kind=section.kind,
            points=section.points,
            threshold=section.threshold,
            min_duration_s=section.min_duration_s,
        )
        for name, section in sections.items()
    ]
    return Zones(zones=tuple(zones))
