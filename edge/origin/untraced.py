"""Events whose origin a stop or a power cut left untraced, and their frames. Ring: adapter (the store).

A fire may take the power with it: what was on disk by then is enough to look for its beginning at the next start.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from edge.decide.decider import Decision
from edge.decide.policies import PolicyName
from edge.event.fire_event import FireEvent, KeptFrame
from edge.fuse import Verdict
from edge.record.records import Records
from edge.record.types import EventQuery, FrameRecord, Said
from shared.errors import FireError
from shared.logs import get_logger
from shared.types import Classification, Frame, Picture

_NEWEST = 4  # events; each brings back a minute of pictures, some 12 MB


def untraced(records: Records) -> Iterator[tuple[FireEvent, tuple[KeptFrame, ...]]]:
    """Give the newest events that have no origin, as closed ones, each with its frames up to the opening one."""
    try:
        page = records.events(EventQuery(limit=_NEWEST))
    except FireError as err:
        get_logger().error("untraced_not_read", detail=err.detail)
        return
    for record in page.events:
        event = record.event
        if record.origin is None and (frames := _frames_or_none(records, event)):
            yield replace(event, closed_at=event.closed_at or event.last_seen_at), frames


def _frames_or_none(records: Records, event: FireEvent) -> tuple[KeptFrame, ...]:
    """Read the frames of an event; none of one whose entries are damaged: the box must start all the same."""
    try:
        return tuple(_frames(records, event))
    except (FireError, ValueError) as err:  # ValueError: a policy that this version does not know
        get_logger().error("untraced_not_read", event_id=event.event_id, detail=str(err))
        return ()


def _frames(records: Records, event: FireEvent) -> Iterator[KeptFrame]:
    """Read the frames up to the opening one; one that was altered or is gone shows nothing and is left out."""
    for kept in records.frames(event.event_id):
        if kept.captured_at > event.opened_at:
            return
        try:
            encoded = records.picture(event.event_id, kept.frame_id)
        except FireError as err:
            get_logger().warning("frame_not_read", frame_id=kept.frame_id, detail=err.detail)
            continue
        yield _kept_frame(kept, encoded)


def _kept_frame(kept: FrameRecord, encoded: bytes) -> KeptFrame:
    picture = Picture(
        encoded=encoded,
        media_type=kept.media_type,
        width_px=kept.width_px,
        height_px=kept.height_px,
    )
    frame = Frame(
        frame_id=kept.frame_id,
        camera=kept.camera,
        picture=picture,
        captured_at=kept.captured_at,
        clock_quality=kept.clock_quality,
        received_at=kept.received_at,
    )
    return KeptFrame(frame=frame, verdict=_verdict(kept, kept.said[-1]) if kept.said else None)


def _verdict(kept: FrameRecord, said: Said) -> Verdict:
    decision = Decision(
        forward=said.charged_micros > 0,
        reason=said.reason,
        policy=PolicyName(said.policy),
        tier=said.tier,
        call_id=kept.frame_id,
        value=said.value,
        threshold=said.threshold,
        price=said.price,
        charged_micros=said.charged_micros,
        budget_remaining_micros=0,
    )
    return Verdict(
        frame_id=kept.frame_id,
        camera=kept.camera,
        captured_at=kept.captured_at,
        source=said.source,
        label=said.label,
        confidence=said.confidence,
        edge=Classification(fire=said.fire, smoke=said.smoke, where=said.detections),
        detections=said.detections,
        decision=decision,
        model=dict(said.model),
        detail=said.detail,
    )
