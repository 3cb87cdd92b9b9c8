"""The report of an event, for a person: origin first, then everything that led to each word of it. Ring: rim (HTML)."""

from __future__ import annotations

import functools
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

import jinja2

from edge.alert.notice import Notice
from edge.decide.reasons import sentence
from edge.event.fire_event import Origin
from edge.record.report_texts import texts
from edge.record.types import EventRecord, FrameRecord, Said
from shared.types import Box, ClockQuality

_MOST_SHOWN = 24  # thumbnails; more make a page that nobody scrolls through
_CHART_WIDTH, _CHART_HEIGHT = 640, 150
_THIRDS = (("upper", "middle", "lower"), ("left", "centre", "right"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a report is made of; `pictures` are file names by frame, `lost` the frames whose picture was altered."""

    record: EventRecord
    frames: tuple[FrameRecord, ...]
    notices: tuple[Notice, ...]
    pictures: Mapping[str, str]
    lost: tuple[str, ...]
    chain_begin: str
    chain_end: str
    first_entry: int
    last_entry: int


def render(report: Report, *, zone: tzinfo, is_chinese: bool) -> str:
    """Write the page; every text that came from outside is escaped."""
    t = texts(is_chinese=is_chinese)
    record = report.record
    by_id = {frame.frame_id: frame for frame in report.frames}
    origin_frame = by_id.get(record.origin.frame_id) if record.origin else None
    return _template().render(
        t=t,
        report=report,
        record=record,
        event=record.event,
        camera=record.camera_facts.get("title") or record.event.camera,
        origin=record.origin,
        origin_frame=origin_frame,
        opening_frame=by_id.get(record.event.frame_id),
        place=_place(record.origin, origin_frame, t, is_chinese=is_chinese),
        growth=_growth(record.origin, by_id),
        timeline=_timeline(report),
        models=_models(report.frames),
        clock=_clock(report.frames),
        facts=_facts(record.camera_facts),
        local=functools.partial(_local, zone=zone),
        clock_time=functools.partial(_clock_time, zone=zone),
        utc=_utc,
        reason=lambda said: sentence(said.reason, is_chinese=is_chinese),
        boxes=_boxes,
    )


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edge.record", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html.jinja")


def _local(at: datetime, *, zone: tzinfo) -> str:
    """Write date, time to a tenth of a second, and the zone's offset."""
    here = at.astimezone(zone)
    offset = f"{here:%z}"
    return f"{here:%Y-%m-%d %H:%M:%S}.{here.microsecond // 100_000} UTC{offset[:3]}:{offset[3:]}"


def _clock_time(at: datetime, *, zone: tzinfo) -> str:
    here = at.astimezone(zone)
    return f"{here:%H:%M:%S}.{here.microsecond // 100_000}"


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")


def _place(
    origin: Origin | None, frame: FrameRecord | None, t: Mapping[str, str], *, is_chinese: bool
) -> str:
    """Say in words in which ninth of the picture the origin lies."""
    if origin is None or origin.box is None or frame is None:
        return ""
    box = origin.box
    ratios = (box.y1 + box.y2) / 2 / frame.height_px, (box.x1 + box.x2) / 2 / frame.width_px
    names = [_THIRDS[axis][min(2, max(0, int(3 * r)))] for axis, r in enumerate(ratios)]
    if names == ["middle", "centre"]:
        return t["centre"]
    words = [t[name] for name in names if name not in ("middle", "centre")]
    return "".join(reversed(words)) if is_chinese else " ".join(words)


def _growth(origin: Origin | None, by_id: Mapping[str, FrameRecord]) -> dict[str, Any] | None:
    """Lay out the curve of the box's share of the picture over the seconds since the origin."""
    if origin is None:
        return None
    points = [
        ((p.captured_at - origin.captured_at).total_seconds(), _share(p.box, by_id[p.frame_id]))
        for p in origin.growth
        if p.frame_id in by_id
    ]
    if len(points) < 2:
        return None
    last_s = max(second for second, _ in points) or 1.0
    top = max(share for _, share in points) or 1.0
    return {
        "width": _CHART_WIDTH,
        "height": _CHART_HEIGHT,
        "points": " ".join(
            f"{second / last_s * _CHART_WIDTH:.1f},{_CHART_HEIGHT * (1 - share / top):.1f}"
            for second, share in sorted(points)
        ),
        "last_s": last_s,
        "top": top,
    }


def _share(box: Box, frame: FrameRecord) -> float:
    area = max(0.0, box.x2 - box.x1) * max(0.0, box.y2 - box.y1)
    return min(1.0, area / (frame.width_px * frame.height_px))


def _timeline(report: Report) -> list[FrameRecord]:
    """Choose pictures over the whole length, with the origin and the one that opened the event among them."""
    frames = [frame for frame in report.frames if frame.frame_id in report.pictures]
    if len(frames) <= _MOST_SHOWN:
        return frames
    step = (len(frames) - 1) / (_MOST_SHOWN - 1)
    chosen = {frames[round(step * n)].frame_id for n in range(_MOST_SHOWN)}
    chosen.add(report.record.event.frame_id)
    if report.record.origin:
        chosen.add(report.record.origin.frame_id)
    return [frame for frame in frames if frame.frame_id in chosen]


def _boxes(frame: FrameRecord, origin: Origin | None) -> list[tuple[str, Box, str]]:
    """Give what is drawn on a picture: class of the box, where, and its caption."""
    if origin is not None and origin.box is not None and frame.frame_id == origin.frame_id:
        return [("origin", origin.box, "")]
    last: Said | None = frame.said[-1] if frame.said else None
    if last is None:
        return []
    return [(d.label.value, d.box, f"{d.label.value} {d.score:.2f}") for d in last.detections]


def _models(frames: Sequence[FrameRecord]) -> list[tuple[str, str, str, str]]:
    """Name every model that said something: where, name, version, hash."""
    found = {
        (
            s.source.value,
            s.model.get("name", ""),
            s.model.get("version", ""),
            s.model.get("sha256_12", ""),
        )
        for frame in frames
        for s in frame.said
    }
    return sorted(found)


def _clock(frames: Sequence[FrameRecord]) -> dict[str, Any]:
    by_source = sum(frame.clock_quality is ClockQuality.SOURCE for frame in frames)
    delays = [
        (frame.received_at - frame.captured_at).total_seconds()
        for frame in frames
        if frame.received_at is not None and frame.clock_quality is ClockQuality.SOURCE
    ]
    return {
        "source": by_source,
        "received": len(frames) - by_source,
        "delay_s": statistics.median(delays) if delays else None,
    }


def _facts(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in facts.items()
        if value not in (None, [], {}, "")
    ]
