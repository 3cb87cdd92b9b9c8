"""A fire as the whole line would keep it: rendered frames, verdicts, origin; for tests of what people look at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from edge.decide.policies import PolicyName
from edge.decide.reasons import Reason
from edge.event.evidence import Grade
from edge.event.fire_event import FireEvent, GrowthPoint, KeptFrame, Origin, OriginMethod, Severity
from edge.record.records import Records
from shared.ids import new_id
from shared.picture.imaging import jpeg_picture
from shared.rendered.composite import RenderedFrame
from shared.rendered.scene import Scene, SceneSettings
from shared.types import Box, Classification, Detection, Frame, Label, Source
from tests.helpers.evidence import verdict
from tests.helpers.frames import decision

_BEFORE_S, _STEP_S = 4.0, 0.5
_EDGE = {"name": "edge-classifier", "version": "0.1.0", "sha256_12": "3cdbe788a0e0"}


@dataclass(frozen=True)
class Step:
    """What was said at a moment of the story: the edge's probability, why, and the cloud's score if it was asked."""

    presence: float
    reason: Reason
    cloud: float | None = None


_STEPS = (
    Step(0.02, Reason.EDGE_BELOW_PRICE),
    Step(0.03, Reason.EDGE_BELOW_PRICE),
    Step(0.19, Reason.CLOUD_ROUTINE, 0.0),
    Step(0.34, Reason.EDGE_ALREADY_ASKED),
    Step(0.71, Reason.CLOUD_VERIFY, 0.78),
    Step(0.97, Reason.CLOUD_CONFIRM, 0.94),
    *(Step(0.99, Reason.EDGE_ALREADY_ALARMED),) * 12,
)


def tell_fire(
    records: Records,
    *,
    camera: str = "yard",
    began_at: datetime,
    seed: int = 0,
    severity: Severity = Severity.FIRE,
    grade: Grade = Grade.CONFIRMED,
    is_over: bool = False,
    with_origin: bool = True,
) -> FireEvent:
    """Write a fire that began at a moment, with four seconds before it; returns the event as it stands."""
    scene = Scene(SceneSettings(seed=seed, ignite_at_s=_BEFORE_S, growth_s=10.0))
    kept, boxes = [], {}
    for number in range(int(_BEFORE_S / _STEP_S) + len(_STEPS)):
        at_s = number * _STEP_S
        rendered = scene.render(at_s)
        at = began_at + timedelta(seconds=at_s - _BEFORE_S)
        frame = Frame(
            frame_id=new_id(at),
            camera=camera,
            picture=jpeg_picture(rendered.bgr_hwc_u8, 80),
            captured_at=at,
        )
        boxes[frame.frame_id] = _box(rendered)
        index = number - int(_BEFORE_S / _STEP_S)
        kept.append(_kept(frame, rendered, _STEPS[max(0, index)]))
    opens = kept[int(_BEFORE_S / _STEP_S) + 4]
    event = FireEvent(
        event_id=new_id(began_at),
        camera=camera,
        zone=None,
        severity=severity,
        grade=grade,
        opened_at=opens.frame.captured_at,
        last_seen_at=kept[-1].frame.captured_at,
        closed_at=None,
        frame_id=opens.frame.frame_id,
        box=boxes[opens.frame.frame_id],
        peak=0.99,
        frames=len(kept),
    )
    first = kept.index(opens) + 1
    records.open_event(event, kept[:first])
    for later in kept[first:]:
        records.add_frame(event.event_id, later)
    if with_origin:
        records.set_origin(event.event_id, _origin(kept, boxes))
    if is_over:
        event = replace(event, closed_at=event.last_seen_at)
        records.close_event(event)
    return event


def _kept(frame: Frame, rendered: RenderedFrame, step: Step) -> KeptFrame:
    asked = step.cloud is not None
    found = _detections(rendered, step.cloud) if step.cloud else ()
    said = verdict(
        frame,
        source=Source.CLOUD if asked else Source.EDGE,
        label=(Label.FIRE if found else Label.NONE)
        if asked
        else (Label.FIRE if step.presence >= 0.5 else Label.NONE),
        confidence=(step.cloud or 0.97) if asked else max(step.presence, 1 - step.presence),
        edge=Classification(fire=step.presence, smoke=step.presence / 3),
        detections=found
        if asked
        else _detections(rendered, step.presence)
        if step.presence >= 0.5
        else (),
        decision=decision(
            call_id=frame.frame_id,
            forward=asked,
            reason=step.reason,
            policy=PolicyName.PRICE,
            tier=step.reason.value.partition("_")[2] if asked else "routine",
            value=round(step.presence * (1 - step.presence), 3),
            price=0.021,
            threshold=None,
            charged_micros=20_000 if asked else 0,
        ),
    )
    return KeptFrame(frame=frame, verdict=said if asked else replace(said, model=_EDGE))


def _detections(rendered: RenderedFrame, score: float) -> tuple[Detection, ...]:
    found = (
        (Label.FIRE, rendered.fire_xyxy, score),
        (Label.SMOKE, rendered.smoke_xyxy, 0.9 * score),
    )
    return tuple(
        Detection(label=label, score=p, box=Box(x1=b[0], y1=b[1], x2=b[2], y2=b[3]))
        for label, b, p in found
        if b is not None
    )


def _box(rendered: RenderedFrame) -> Box | None:
    found = _detections(rendered, 0.5)
    return found[0].box if found else None


def _origin(kept: list[KeptFrame], boxes: dict[str, Box | None]) -> Origin:
    seen = [(k.frame, box) for k in kept if (box := boxes[k.frame.frame_id]) is not None]
    first, box = seen[0]
    return Origin(
        captured_at=first.captured_at,
        frame_id=first.frame_id,
        box=box,
        method=OriginMethod.CLOUD,
        confidence=0.52,
        is_earliest_kept=False,
        growth=tuple(
            GrowthPoint(captured_at=f.captured_at, frame_id=f.frame_id, box=b, score=0.6)
            for f, b in seen
        ),
    )
