"""Events, origins and verdicts as JSON for the journal, and back. Ring: domain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from edge.alert.message import AlertStep
from edge.alert.notice import Notice, NoticeResult
from edge.decide.reasons import Reason
from edge.event.evidence import Grade
from edge.event.fire_event import FireEvent, GrowthPoint, KeptFrame, Origin, OriginMethod, Severity
from edge.fuse import Verdict
from edge.record.types import FrameRecord, Said, Signed
from shared.types import Box, ClockQuality, Detection, Label, MediaType, Source

Body = dict[str, Any]


def event_body(event: FireEvent) -> Body:
    """Write an event."""
    return {
        "camera": event.camera,
        "zone": event.zone,
        "severity": event.severity.value,
        "grade": event.grade.value,
        "opened_at": event.opened_at.isoformat(),
        "last_seen_at": event.last_seen_at.isoformat(),
        "closed_at": None if event.closed_at is None else event.closed_at.isoformat(),
        "frame_id": event.frame_id,
        "box": _box_body(event.box),
        "peak": _finite(event.peak),
        "frames": event.frames,
        "is_test": event.is_test,
    }


def event_of(event_id: str, body: Mapping[str, Any]) -> FireEvent:
    """Read an event back."""
    return FireEvent(
        event_id=event_id,
        camera=body["camera"],
        zone=body["zone"],
        severity=Severity(body["severity"]),
        grade=Grade(body["grade"]),
        opened_at=datetime.fromisoformat(body["opened_at"]),
        last_seen_at=datetime.fromisoformat(body["last_seen_at"]),
        closed_at=_time_of(body["closed_at"]),
        frame_id=body["frame_id"],
        box=_box_of(body["box"]),
        peak=body["peak"] or 0.0,
        frames=body["frames"],
        is_test=body["is_test"],
    )


def origin_body(origin: Origin) -> Body:
    """Write an origin with its growth."""
    return {
        "captured_at": origin.captured_at.isoformat(),
        "frame_id": origin.frame_id,
        "box": _box_body(origin.box),
        "method": origin.method.value,
        "confidence": _finite(origin.confidence),
        "is_earliest_kept": origin.is_earliest_kept,
        "growth": [
            {
                "captured_at": point.captured_at.isoformat(),
                "frame_id": point.frame_id,
                "box": _box_body(point.box),
                "score": _finite(point.score),
            }
            for point in origin.growth
        ],
    }


def origin_of(body: Mapping[str, Any]) -> Origin:
    """Read an origin back."""
    return Origin(
        captured_at=datetime.fromisoformat(body["captured_at"]),
        frame_id=body["frame_id"],
        box=_box_of(body["box"]),
        method=OriginMethod(body["method"]),
        confidence=body["confidence"] or 0.0,
        is_earliest_kept=body["is_earliest_kept"],
        growth=tuple(
            GrowthPoint(
                captured_at=datetime.fromisoformat(point["captured_at"]),
                frame_id=point["frame_id"],
                box=_known_box(point["box"]),
                score=point["score"] or 0.0,
            )
            for point in body["growth"]
        ),
    )


def frame_body(kept: KeptFrame, sha256: str) -> Body:
    """Write a frame and what was said of it; the picture itself is named by its hash."""
    frame = kept.frame
    return {
        "frame_id": frame.frame_id,
        "camera": frame.camera,
        "captured_at": frame.captured_at.isoformat(),
        "received_at": None if frame.received_at is None else frame.received_at.isoformat(),
        "clock_quality": frame.clock_quality.value,
        "media_type": frame.picture.media_type.value,
        "width_px": frame.picture.width_px,
        "height_px": frame.picture.height_px,
        "bytes": len(frame.picture.encoded),
        "sha256": sha256,
        "verdict": None if kept.verdict is None else verdict_body(kept.verdict),
    }


def frame_of(seq: int, body: Mapping[str, Any], said: tuple[Said, ...]) -> FrameRecord:
    """Read a frame back."""
    return FrameRecord(
        seq=seq,
        frame_id=body["frame_id"],
        camera=body["camera"],
        captured_at=datetime.fromisoformat(body["captured_at"]),
        received_at=_time_of(body["received_at"]),
        clock_quality=ClockQuality(body["clock_quality"]),
        media_type=MediaType(body["media_type"]),
        width_px=body["width_px"],
        height_px=body["height_px"],
        sha256=body["sha256"],
        size_bytes=body["bytes"],
        said=said,
    )


def verdict_body(verdict: Verdict) -> Body:
    """Write a verdict with the decision behind it."""
    decision = verdict.decision
    return {
        "source": verdict.source.value,
        "label": verdict.label.value,
        "confidence": _finite(verdict.confidence),
        "fire": _finite(verdict.edge.fire),
        "smoke": _finite(verdict.edge.smoke),
        "is_broken": verdict.edge.is_broken,
        "detections": [
            {"label": d.label.value, "score": _finite(d.score), "box": _box_body(d.box)}
            for d in verdict.detections
        ],
        "reason": decision.reason.value,
        "policy": decision.policy.value,
        "tier": decision.tier,
        "value": _finite(decision.value),
        "threshold": _finite(decision.threshold),
        "price": _finite(decision.price),
        "charged_micros": decision.charged_micros,
        "model": verdict.model,
        "detail": verdict.detail,
        "is_pending": verdict.is_pending,
        "is_amendment": verdict.is_amendment,
    }


def said_of(at: datetime, body: Mapping[str, Any]) -> Said:
    """Read a verdict back."""
    return Said(
        at=at,
        source=Source(body["source"]),
        label=Label(body["label"]),
        confidence=body["confidence"] or 0.0,
        fire=body["fire"] or 0.0,
        smoke=body["smoke"] or 0.0,
        detections=tuple(_detection_of(detection) for detection in body["detections"]),
        reason=Reason(body["reason"]),
        policy=body["policy"],
        tier=body["tier"],
        value=body["value"],
        threshold=body["threshold"],
        price=body["price"],
        charged_micros=body["charged_micros"],
        model=body["model"],
        detail=body["detail"],
        is_pending=body["is_pending"],
        is_amendment=body["is_amendment"],
    )


def signed_of(at: datetime, body: Mapping[str, Any]) -> Signed:
    """Read who did something and when."""
    return Signed(at=at, by=body["by"], text=body.get("text", ""))


def notice_body(notice: Notice) -> Body:
    """Write what came of a message."""
    return {
        "at": notice.at.isoformat(),
        "alert_id": notice.alert_id,
        "step": notice.step.value,
        "sink": notice.sink,
        "sink_kind": notice.sink_kind,
        "result": notice.result.value,
        "detail": notice.detail,
    }


def notice_of(body: Mapping[str, Any]) -> Notice:
    """Read what came of a message."""
    return Notice(
        at=datetime.fromisoformat(body["at"]),
        alert_id=body["alert_id"],
        step=AlertStep(body["step"]),
        sink=body["sink"],
        sink_kind=body["sink_kind"],
        result=NoticeResult(body["result"]),
        detail=body["detail"],
    )


def sortable(at: datetime) -> str:
    """Write a time so that texts sort as times do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _detection_of(body: Mapping[str, Any]) -> Detection:
    return Detection(
        label=Label(body["label"]), score=body["score"] or 0.0, box=_known_box(body["box"])
    )


def _box_body(box: Box | None) -> list[float | None] | None:
    return None if box is None else [_finite(v) for v in (box.x1, box.y1, box.x2, box.y2)]


def _box_of(corners: list[float | None] | None) -> Box | None:
    return None if corners is None else _known_box(corners)


def _known_box(corners: list[float | None]) -> Box:
    x1, y1, x2, y2 = (corner or 0.0 for corner in corners)
    return Box(x1=x1, y1=y1, x2=x2, y2=y2)


def _time_of(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _finite(value: float | None) -> float | None:
    """JSON has no NaN, and a model may give one."""
    return value if value is not None and math.isfinite(value) else None
