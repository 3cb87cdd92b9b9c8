"""Events: open, update and close by evidence over time, per camera and place. Ring: domain.

The alarm of `edge.event.evidence` opens an event; a sighting at its place, however weak, keeps it open; only a quiet
time closes it, and fire that comes back soon continues it. So a verdict that flips makes one event, not hundreds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from edge.event.evidence import Alarm, Grade
from edge.event.fire_event import EventChange, EventStep, FireEvent
from edge.event.places import Place, nearest, sightings
from edge.fuse import Verdict
from edge.zones.zones import Masks, Zone
from shared.clock import Clock
from shared.types import Box, Frame, Label, Source

_ENOUGH = 4.4  # evidence that makes a second place an event of its own: twice what alarms a camera, for smoke drifts
_HERE = 2.0  # of an alarm's evidence at least so much must be from one place: two flashes in two corners are no fire
_FORGET_S = 10.0  # a candidate that was not seen for so long begins anew
# A camera that sends nothing shows no quiet; after this its event is closed all the same.
_BLIND_S = 600.0
_MOST_PLACES = 16  # of a camera; what is seen beyond joins the nearest one
_ANY_DISTANCE = 2.0  # in longer sides of the picture
_MOST_CAMERAS = 1024  # names may come with posts; the camera seen longest ago is forgotten


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSettings:
    """When an event ends, and when it goes on; see `[events]` in the settings."""

    quiet_s: float = 60.0
    reopen_s: float = 300.0
    apart: float = 0.1
    update_every_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a verdict did: changes in order, and the events that the frame is evidence of."""

    changes: tuple[EventChange, ...] = ()
    event_ids: tuple[str, ...] = ()


@dataclass(slots=True)
class _Watched:
    """A camera and its places; a test's pictures are watched apart from the real ones."""

    last_frame_mono_s: float
    places: list[Place] = field(default_factory=list)


class Events:
    """The events of all cameras; not thread-safe, whoever owns it calls from one thread at a time."""

    def __init__(
        self, settings: EventSettings, *, masks: Masks, clock: Clock, new_id: Callable[[], str]
    ) -> None:
        """Start without any.

        Args:
            settings: times and distances.
            masks: the cameras' zones.
            clock: durations by its monotonic reading, so that a clock set back closes nothing.
            new_id: names events, in order of time.
        """
        self._settings = settings
        self._masks = masks
        self._clock = clock
        self._new_id = new_id
        self._cameras: OrderedDict[tuple[str, bool], _Watched] = OrderedDict()

    def take(self, frame: Frame, verdict: Verdict, alarm: Alarm | None) -> Taken:
        """Take in a verdict; frames without a camera have no events.

        Args:
            frame: what was judged.
            verdict: of the frame; the cloud's later one as an amendment.
            alarm: what `Evidence` said of the verdict.
        """
        if frame.camera is None:
            return Taken()
        now_s = self._clock.mono_s()
        watched = self._recall(frame.camera, is_test=frame.is_test)
        changes = self._close_quiet(watched, now_s)
        watched.last_frame_mono_s = now_s
        seen = self._note(watched, frame, verdict, now_s)
        changes += [c for place in seen if (c := self._update(place, frame, verdict, now_s, alarm))]
        if alarm is not None:
            changes += [
                self._open(place, frame, verdict, alarm, now_s)
                for place in self._ripe(watched, frame, now_s)
            ]
        ids = tuple(p.event.event_id for p in watched.places if p.event and p.is_open)
        return Taken(changes=tuple(changes), event_ids=ids)

    def tick(self) -> tuple[EventChange, ...]:
        """Close what has been quiet, also on cameras that send nothing."""
        now_s = self._clock.mono_s()
        changes: list[EventChange] = []
        for watched in self._cameras.values():
            changes += self._close_quiet(watched, now_s)
        return tuple(changes)

    def open_events(self) -> tuple[FireEvent, ...]:
        """Give the events that are open now."""
        places = [place for watched in self._cameras.values() for place in watched.places]
        return tuple(place.event for place in places if place.event and place.is_open)

    def close_all(self) -> tuple[EventChange, ...]:
        """Close every event, when the service stops."""
        return tuple(
            self._close(place, "stopped")
            for watched in self._cameras.values()
            for place in watched.places
            if place.is_open
        )

    def _note(self, watched: _Watched, frame: Frame, verdict: Verdict, now_s: float) -> list[Place]:
        """Bring what was seen to its places; gives the places that were seen, each once."""
        self._forget(watched, now_s)
        if verdict.source is Source.CLOUD and verdict.label is Label.NONE:
            for place in watched.places:
                place.evidence = place.evidence if place.is_open else 0.0
            return []
        seen: list[Place] = []
        for sighting in sightings(verdict):
            place = self._place(watched, sighting.box, frame, now_s)
            if place in seen:
                place.widen(sighting, now_s)
            else:
                place.note(sighting, now_s)
                seen.append(place)
        return seen

    def _place(self, watched: _Watched, box: Box | None, frame: Frame, now_s: float) -> Place:
        """Choose the place that a box belongs to, a new one where there is none within reach."""
        place = nearest(box, watched.places, frame.picture, self._settings.apart)
        if place is None and len(watched.places) >= _MOST_PLACES:
            place = nearest(box, watched.places, frame.picture, _ANY_DISTANCE)
        if place is None:
            place = Place(first_mono_s=now_s, last_mono_s=now_s)
            watched.places.append(place)
        return place

    def _update(
        self, place: Place, frame: Frame, verdict: Verdict, now_s: float, alarm: Alarm | None
    ) -> EventChange | None:
        """Renew the event at a place; a closed one comes back only with an alarm."""
        if place.event is None or not (place.is_open or alarm is not None):
            return None
        zone = self._zone(place, frame)
        renewed = replace(place.renew(verdict, zone.name if zone else None), closed_at=None)
        return place.change(renewed, now_s, self._settings.update_every_s)

    def _ripe(self, watched: _Watched, frame: Frame, now_s: float) -> list[Place]:
        """Choose the places where an event opens now that the camera alarms."""
        candidates = [
            place for place in watched.places if place.event is None and self._lasts(place, frame)
        ]
        if any(place.is_open for place in watched.places):
            return [place for place in candidates if place.fade(now_s) >= _ENOUGH]
        first = max(candidates, key=lambda place: place.fade(now_s), default=None)
        return [first] if first is not None and first.fade(now_s) >= _HERE else []

    def _lasts(self, place: Place, frame: Frame) -> bool:
        zone = self._zone(place, frame)
        return zone is None or place.last_mono_s - place.first_mono_s >= zone.min_duration_s

    def _zone(self, place: Place, frame: Frame) -> Zone | None:
        return self._masks.of(frame.camera).watched(place.box, frame.picture)

    def _open(
        self, place: Place, frame: Frame, verdict: Verdict, alarm: Alarm, now_s: float
    ) -> EventChange:
        zone = self._zone(place, frame)
        is_checked = place.is_checked or alarm.grade is Grade.CONFIRMED
        place.told_mono_s = now_s
        place.event = FireEvent(
            event_id=self._new_id(),
            camera=alarm.camera,
            zone=zone.name if zone else None,
            severity=place.severity,
            grade=Grade.CONFIRMED if is_checked else Grade.EDGE_ONLY,
            opened_at=verdict.captured_at,
            last_seen_at=verdict.captured_at,
            closed_at=None,
            frame_id=frame.frame_id,
            box=place.box,
            peak=place.peak,
            frames=1,
            is_test=frame.is_test,
        )
        return EventChange(step=EventStep.OPENED, event=place.event)

    def _forget(self, watched: _Watched, now_s: float) -> None:
        """Let go of candidates that were not seen again, and of events that will not come back."""
        watched.places = [
            place
            for place in watched.places
            if place.is_open
            or now_s - place.last_mono_s
            <= (
                _FORGET_S
                if place.event is None
                else self._settings.quiet_s + self._settings.reopen_s
            )
        ]

    def _close_quiet(self, watched: _Watched, now_s: float) -> list[EventChange]:
        """Close the events whose camera has seen nothing there for a while, or sends nothing at all."""
        changes = []
        for place in watched.places:
            is_quiet = watched.last_frame_mono_s - place.last_mono_s >= self._settings.quiet_s
            is_blind = now_s - place.last_mono_s >= _BLIND_S
            if place.is_open and (is_quiet or is_blind):
                changes.append(self._close(place, "quiet" if is_quiet else "blind"))
        return changes

    def _close(self, place: Place, why: str) -> EventChange:
        assert place.event is not None  # noqa: S101 - asked of places with an open event only
        place.event = replace(place.event, closed_at=self._now_at(place.event))
        return EventChange(step=EventStep.CLOSED, event=place.event, why=why)

    def _now_at(self, event: FireEvent) -> datetime:
        """Tell the time, never before the event was last seen, whatever was done to the clock."""
        return max(self._clock.now_at(), event.last_seen_at)

    def _recall(self, camera: str, *, is_test: bool) -> _Watched:
        key = (camera, is_test)
        watched = self._cameras.get(key)
        if watched is None:
            watched = self._cameras[key] = _Watched(last_frame_mono_s=self._clock.mono_s())
            if len(self._cameras) > _MOST_CAMERAS:
                self._evict()
        self._cameras.move_to_end(key)
        return watched

    def _evict(self) -> None:
        """Forget the camera seen longest ago that has no open event; one with an open event is never forgotten."""
        for key, watched in self._cameras.items():
            if not any(place.is_open for place in watched.places):
                del self._cameras[key]
                return
