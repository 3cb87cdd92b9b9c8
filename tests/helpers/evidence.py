"""Events, frames and evidence stores, with everything that a test does not care about filled in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from edge.event.evidence import Grade
from edge.event.fire_event import FireEvent, GrowthPoint, KeptFrame, Origin, OriginMethod, Severity
from edge.fuse import Verdict
from edge.record.records import Records
from edge.record.types import EventRecord
from shared.clock import Clock
from shared.types import (
    Box,
    Classification,
    Detection,
    Frame,
    Label,
    MediaType,
    Picture,
    Source,
)
from shared.watch.supervise import Supervisor
from tests.helpers.clock import FakeClock
from tests.helpers.frames import decision

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
BOX = Box(x1=10.0, y1=20.0, x2=60.0, y2=80.0)


def fire_event(event_id: str = "event", **changes: Any) -> FireEvent:
    """Build an open, confirmed fire."""
    values: dict[str, Any] = {
        "event_id": event_id,
        "camera": "yard",
        "zone": None,
        "severity": Severity.FIRE,
        "grade": Grade.CONFIRMED,
        "opened_at": AT,
        "last_seen_at": AT,
        "closed_at": None,
        "frame_id": f"{event_id}-0",
        "box": BOX,
        "peak": 0.9,
        "frames": 3,
    }
    return FireEvent(**{**values, **changes})


def event_record(event: FireEvent | None = None, **changes: Any) -> EventRecord:
    """Build what is kept of an event that nobody has judged and that was not traced."""
    values: dict[str, Any] = {
        "event": event or fire_event(),
        "origin": None,
        "acknowledged": None,
        "mark": None,
        "marked": None,
        "held": None,
        "camera_facts": {},
        "frames_kept": 0,
        "frames_gone": 0,
        "bytes_kept": 0,
    }
    return EventRecord(**{**values, **changes})


def verdict(frame: Frame, **changes: Any) -> Verdict:
    """Build what the pair says of a frame: the cloud saw a fire."""
    values: dict[str, Any] = {
        "frame_id": frame.frame_id,
        "camera": frame.camera,
        "captured_at": frame.captured_at,
        "source": Source.CLOUD,
        "label": Label.FIRE,
        "confidence": 0.9,
        "edge": Classification(fire=0.8, smoke=0.1),
        "detections": (Detection(label=Label.FIRE, score=0.9, box=BOX),),
        "decision": decision(call_id=frame.frame_id),
        "model": {"name": "cloud-detector", "version": "1.0.0", "sha256_12": "0123456789ab"},
        "detail": "",
        "stages_s": {"classify": 0.005},
    }
    return Verdict(**{**values, **changes})


def kept_frame(
    frame_id: str = "event-0",
    *,
    encoded: bytes | None = None,
    after_s: float = 0.0,
    with_verdict: bool = True,
    camera: str = "yard",
) -> KeptFrame:
    """Build a frame whose picture is its own unless `encoded` is given."""
    content = b"\xff\xd8\xff" + frame_id.encode() if encoded is None else encoded
    picture = Picture(encoded=content, media_type=MediaType.JPEG, width_px=320, height_px=240)
    captured_at = AT + timedelta(seconds=after_s)
    frame = Frame(frame_id=frame_id, camera=camera, picture=picture, captured_at=captured_at)
    return KeptFrame(frame=frame, verdict=verdict(frame) if with_verdict else None)


def origin(frame_id: str = "event-0", **changes: Any) -> Origin:
    """Build an origin with two points of growth."""
    points = tuple(
        GrowthPoint(
            captured_at=AT + timedelta(seconds=n), frame_id=f"event-{n}", box=BOX, score=0.8
        )
        for n in range(2)
    )
    made = Origin(
        captured_at=AT,
        frame_id=frame_id,
        box=BOX,
        method=OriginMethod.DETECTOR,
        confidence=0.8,
        is_earliest_kept=False,
        growth=points,
    )
    return replace(made, **changes)


@contextmanager
def open_records(
    folder: Path, clock: Clock | None = None, supervisor: Supervisor | None = None, **more: Any
) -> Iterator[Records]:
    """Open an evidence store for the length of a block."""
    clock = clock or FakeClock(AT)
    records = Records(folder, clock=clock, troubles=supervisor or Supervisor(clock), **more)
    try:
        yield records
    finally:
        records.close()


def fill(
    records: Records,
    event_id: str = "event",
    frames: int = 3,
    *,
    is_traced: bool = True,
    **changes: Any,
) -> FireEvent:
    """Record a whole event: opened with its frames, traced to its origin unless told not to, closed."""
    event = fire_event(event_id, **changes)
    before = [
        kept_frame(f"{event_id}-{n}", after_s=float(n), camera=event.camera) for n in range(frames)
    ]
    records.open_event(event, before)
    if is_traced:
        records.set_origin(event_id, origin(f"{event_id}-0"))
    closed = replace(event, closed_at=event.opened_at + timedelta(seconds=frames))
    records.close_event(closed)
    return closed
