"""The wire form of events and their frames. Ring: domain."""

from __future__ import annotations

from typing import Any

from edge.alert.notice import Notice
from edge.decide.reasons import sentence
from edge.event.fire_event import Origin
from edge.record.clock_set import clock_set_body
from edge.record.types import EventRecord, FrameRecord, Said, Signed
from edge.wire import detection_as_dict, rounded
from shared.types import MICROS, Box

_STANDING = (
    "Supplements listed fire alarms, never replaces one.",
    "补充而非替代经认证的火灾报警系统。",
)


def event_answer(record: EventRecord, *, is_chinese: bool = False) -> dict[str, Any]:
    """Write an event for the wire, its origin first."""
    event = record.event
    return {
        "origin": None if record.origin is None else _origin(event.event_id, record.origin),
        "event_id": event.event_id,
        "camera": event.camera,
        "zone": event.zone,
        "severity": event.severity.value,
        "grade": event.grade.value,
        "opened_at": event.opened_at.isoformat(),
        "last_seen_at": event.last_seen_at.isoformat(),
        "closed_at": event.closed_at.isoformat() if event.closed_at else None,
        "frame": event.frame_id,
        "box_xyxy": _corners(event.box),
        "peak": rounded(event.peak),
        "frames": event.frames,
        "is_test": event.is_test,
        "acknowledged": _signed(record.acknowledged),
        "mark": record.mark.value if record.mark else None,
        "marked": _signed(record.marked),
        "held": _signed(record.held),
        "frames_kept": record.frames_kept,
        "frames_gone": record.frames_gone,
        "bytes_kept": record.bytes_kept,
        "damaged": list(record.damaged),
        "clock_sets": [{"entry": seq, **clock_set_body(s)} for seq, s in record.clock_sets.items()],
        "reckoned_at": record.reckoned_at.isoformat() if record.reckoned_at else None,
        "camera_facts": record.camera_facts,
        "standing": _STANDING[is_chinese],
    }


def _origin(event_id: str, origin: Origin) -> dict[str, Any]:
    return {
        "captured_at": origin.captured_at.isoformat(),
        "box_xyxy": _corners(origin.box),
        "frame": origin.frame_id,
        "picture": f"/events/{event_id}/frames/{origin.frame_id}",
        "method": origin.method.value,
        "confidence": rounded(origin.confidence),
        "is_earliest_kept": origin.is_earliest_kept,
        "growth": [
            {
                "captured_at": point.captured_at.isoformat(),
                "frame": point.frame_id,
                "box_xyxy": point.box.as_list(),
                "score": rounded(point.score),
            }
            for point in origin.growth
        ],
    }


def frame_answer(event_id: str, frame: FrameRecord, *, is_chinese: bool = False) -> dict[str, Any]:
    """Write a frame for the wire, with every verdict and its reason."""
    return {
        "frame": frame.frame_id,
        "captured_at": frame.captured_at.isoformat(),
        "received_at": frame.received_at.isoformat() if frame.received_at else None,
        "clock_quality": frame.clock_quality.value,
        "width_px": frame.width_px,
        "height_px": frame.height_px,
        "bytes": frame.size_bytes,
        "sha256": frame.sha256,
        "picture": f"/events/{event_id}/frames/{frame.frame_id}",
        "verdicts": [_said(said, is_chinese=is_chinese) for said in frame.said],
    }


def notice_answer(notice: Notice) -> dict[str, Any]:
    """Write what came of a message to a sink."""
    return {
        "at": notice.at.isoformat(),
        "alert_id": notice.alert_id,
        "step": notice.step.value,
        "sink": notice.sink,
        "sink_kind": notice.sink_kind,
        "result": notice.result.value,
        "detail": notice.detail,
    }


def _said(said: Said, *, is_chinese: bool) -> dict[str, Any]:
    return {
        "at": said.at.isoformat(),
        "source": said.source.value,
        "label": said.label.value,
        "confidence": rounded(said.confidence),
        "edge": {"fire": rounded(said.fire), "smoke": rounded(said.smoke)},
        "detections": [detection_as_dict(detection) for detection in said.detections],
        "reason": said.reason.value,
        "message": sentence(said.reason, is_chinese=is_chinese),
        "policy": said.policy,
        "tier": said.tier,
        "value": said.value,
        "threshold": said.threshold,
        "price": said.price,
        "cost": said.charged_micros / MICROS,
        "model": said.model,
        "detail": said.detail,
        "is_pending": said.is_pending,
        "is_amendment": said.is_amendment,
    }


def _signed(signed: Signed | None) -> dict[str, Any] | None:
    if signed is None:
        return None
    return {"at": signed.at.isoformat(), "by": signed.by, "text": signed.text}


def _corners(box: Box | None) -> list[float] | None:
    return None if box is None else box.as_list()
