"""An alert: what a person is told of an event, as fields and as text in English and Chinese. Ring: domain, values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from edge.event.evidence import Grade
from edge.event.fire_event import Severity
from shared.types import Box

SUPPLEMENTS_EN = "Supplements listed fire alarms; never replaces one."
SUPPLEMENTS_ZH = "本系统为辅助预警，不替代消防报警设备。"


class AlertStep(StrEnum):
    """Why a message goes out; the values are the wire words."""

    OPENED = "opened"
    UPDATED = "updated"
    ESCALATED = "escalated"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


class Place(StrEnum):
    """Where in the picture, by thirds; the values are the wire words."""

    UPPER_LEFT = "upper left"
    UPPER = "upper middle"
    UPPER_RIGHT = "upper right"
    LEFT = "left"
    MIDDLE = "middle"
    RIGHT = "right"
    LOWER_LEFT = "lower left"
    LOWER = "lower middle"
    LOWER_RIGHT = "lower right"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One message about an event, as the receiver gets it.

    `began_at` is the origin's time where it was traced (`is_traced`), else when the event opened. `box` is in pixels of
    the camera's picture, `place` is that in words. `peak` is the highest probability so far, 0…1. Times are in the
    zone of the site. `is_test` marks a fire that was drawn into the picture by a test, and a sample.
    """

    alert_id: str
    step: AlertStep
    why: str
    event_id: str
    box_name: str
    camera: str
    zone: str | None
    severity: Severity
    grade: Grade
    began_at: datetime
    is_traced: bool
    opened_at: datetime
    last_seen_at: datetime
    closed_at: datetime | None
    box: Box | None
    place: Place | None
    peak: float
    acknowledged_by: str | None
    link: str
    is_test: bool
    camera_title: str = ""

    @property
    def camera_name(self) -> str:
        """Name the camera as people know it."""
        return self.camera_title or self.camera


class Language(StrEnum):
    """In which language a message is written; `both` writes English and then Chinese."""

    EN = "en"
    ZH = "zh"
    BOTH = "both"


def place_of(box: Box | None, size_px: tuple[int, int] | None) -> Place | None:
    """Say in which ninth of the picture the middle of a box lies; None when box or size (width, height) is unknown."""
    if box is None or size_px is None:
        return None
    column = min(2, max(0, int(3 * (box.x1 + box.x2) / 2 / size_px[0])))
    row = min(2, max(0, int(3 * (box.y1 + box.y2) / 2 / size_px[1])))
    return tuple(Place)[3 * row + column]


def sample(camera: str = "sample", box_name: str = "box") -> Alert:
    """Give an alert that looks real and says that it is a test, to try a sink or a template with."""
    at = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    return Alert(
        alert_id="sample",
        step=AlertStep.OPENED,
        why="",
        event_id="sample",
        box_name=box_name,
        camera=camera,
        zone=None,
        severity=Severity.FIRE,
        grade=Grade.EDGE_ONLY,
        began_at=at,
        is_traced=False,
        opened_at=at,
        last_seen_at=at,
        closed_at=None,
        box=Box(x1=80, y1=60, x2=240, y2=200),
        place=Place.UPPER_LEFT,
        peak=0.97,
        acknowledged_by=None,
        link="",
        is_test=True,
    )


_SEVERITY = {
    Severity.FIRE: ("Fire", "明火"),
    Severity.SMOKE: ("Smoke", "烟雾"),
    Severity.UNCERTAIN: ("Possible fire", "疑似火情"),
}
_GRADE = {
    Grade.CONFIRMED: ("confirmed by the cloud's detector", "云端检测模型已核实"),
    Grade.EDGE_ONLY: ("seen by the box alone, not confirmed", "仅由边缘设备发现，未经核实"),
}
_STEP = {
    AlertStep.OPENED: ("", ""),
    AlertStep.UPDATED: ("Update", "更新"),
    AlertStep.ESCALATED: ("Nobody has acknowledged", "无人接警"),
    AlertStep.ACKNOWLEDGED: ("Acknowledged", "已接警"),
    AlertStep.CLOSED: ("No longer seen", "已不再可见"),
}
_PLACE_ZH = ("左上", "上方", "右上", "左侧", "中间", "右侧", "左下", "下方", "右下")
_TEST = ("TEST, no real fire", "测试，并非真实火情")


def title(alert: Alert, *, is_chinese: bool) -> str:
    """Write the one line that shows on a locked phone: what, where, and whether it is only a test."""
    step, severity = (pair[is_chinese] for pair in (_STEP[alert.step], _SEVERITY[alert.severity]))
    spot = alert.camera_name + ("" if alert.zone is None else f" / {alert.zone}")
    place = _place(alert, is_chinese=is_chinese)
    if is_chinese:
        head = "".join(f"【{part}】" for part in (_TEST[1] if alert.is_test else "", step) if part)
        return f"{head}{severity}：摄像机 {spot}" + (f"，画面{place}" if place else "")
    head = "".join(f"{part}: " for part in (_TEST[0] if alert.is_test else "", step) if part)
    return f"{head}{severity} on camera {spot}" + (f", {place}" if place else "")


def text(alert: Alert, language: Language) -> str:
    """Write the whole message."""
    parts = {
        Language.EN: [_text_en(alert)],
        Language.ZH: [_text_zh(alert)],
        Language.BOTH: [_text_en(alert), _text_zh(alert)],
    }
    return "\n\n".join(parts[language])


def as_dict(alert: Alert, language: Language) -> dict[str, Any]:
    """Give the wire form: every field, and the texts."""
    return {
        "alert_id": alert.alert_id,
        "type": f"fire.{'test' if alert.is_test else 'event'}.{alert.step.value}",
        "step": alert.step.value,
        "why": alert.why,
        "is_test": alert.is_test,
        "event_id": alert.event_id,
        "box_name": alert.box_name,
        "camera": alert.camera,
        "camera_title": alert.camera_name,
        "zone": alert.zone,
        "severity": alert.severity.value,
        "grade": alert.grade.value,
        "began_at": _utc(alert.began_at),
        "is_traced": alert.is_traced,
        "opened_at": _utc(alert.opened_at),
        "last_seen_at": _utc(alert.last_seen_at),
        "closed_at": _utc(alert.closed_at) if alert.closed_at else None,
        "box_xyxy": alert.box.as_list() if alert.box else None,
        "place": alert.place.value if alert.place else None,
        "peak": round(alert.peak, 4),
        "acknowledged_by": alert.acknowledged_by,
        "link": alert.link,
        "title": title(alert, is_chinese=language is Language.ZH),
        "text": text(alert, language),
        "title_en": title(alert, is_chinese=False),
        "title_zh": title(alert, is_chinese=True),
        "supplements": SUPPLEMENTS_EN,
    }


def _text_en(alert: Alert) -> str:
    began = "Began (traced back)" if alert.is_traced else "First seen"
    lines = [
        title(alert, is_chinese=False),
        f"{began}: {_time(alert.began_at)}",
        f"Grade: {_GRADE[alert.grade][0]}, probability up to {alert.peak:.0%}",
        *([f"Change: {alert.why}"] if alert.why else []),
        *([f"Box: {_box(alert.box)} px"] if alert.box else []),
        *([f"Not seen since: {_time(alert.closed_at)}"] if alert.closed_at else []),
        *([f"Acknowledged by: {alert.acknowledged_by}"] if alert.acknowledged_by else []),
        *([alert.link] if alert.link else []),
        f"Emberlink {alert.box_name}. {SUPPLEMENTS_EN}",
    ]
    return "\n".join(lines)


def _text_zh(alert: Alert) -> str:
    began = "起火时间（回溯）" if alert.is_traced else "首次发现"
    lines = [
        title(alert, is_chinese=True),
        f"{began}：{_time(alert.began_at)}",
        f"级别：{_GRADE[alert.grade][1]}，最高概率 {alert.peak:.0%}",
        *([f"位置：{_box(alert.box)} 像素"] if alert.box else []),
        *([f"此后不再可见：{_time(alert.closed_at)}"] if alert.closed_at else []),
        *([f"接警人：{alert.acknowledged_by}"] if alert.acknowledged_by else []),
        *([alert.link] if alert.link else []),
        f"Emberlink {alert.box_name}。{SUPPLEMENTS_ZH}",
    ]
    return "\n".join(lines)


def _place(alert: Alert, *, is_chinese: bool) -> str:
    if alert.place is None:
        return ""
    if is_chinese:
        return _PLACE_ZH[tuple(Place).index(alert.place)]
    return f"{alert.place.value} of the picture"


def _time(at: datetime) -> str:
    """Write a time as the site's clocks show it, with their distance from UTC."""
    offset = at.strftime("%z")
    zone = "" if offset == "+0000" else f"{offset[:3]}:{offset[3:5]}"
    return f"{at:%Y-%m-%d %H:%M:%S} UTC{zone}"


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _box(box: Box) -> str:
    return f"{box.x1:.0f}, {box.y1:.0f} – {box.x2:.0f}, {box.y2:.0f}"
