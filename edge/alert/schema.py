"""What a webhook gets without a template, as a schema. Ring: rim."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import AwareDatetime, Field

from edge.alert.message import AlertStep, Place
from edge.event.evidence import Grade
from edge.event.fire_event import Severity
from shared.web.answers import Answer, BoxCorners, Probability
from shared.web.openapi import Message

_TYPE = Field(description="`fire.event.` and the step; `fire.test.` and the step for a test.")


class AlertData(Answer):
    """One message about an event, as fields and as text."""

    alert_id: str
    type: str = _TYPE
    step: AlertStep
    why: str
    is_test: bool
    event_id: str
    box_name: str
    camera: str
    camera_title: str
    zone: str | None
    severity: Severity
    grade: Grade
    began_at: AwareDatetime
    is_traced: bool = Field(description="Whether `began_at` was traced back to the first picture.")
    opened_at: AwareDatetime
    last_seen_at: AwareDatetime
    closed_at: AwareDatetime | None
    box_xyxy: BoxCorners | None
    place: Place | None
    peak: Probability
    acknowledged_by: str | None
    link: str
    title: str
    text: str
    title_en: str
    title_zh: str
    supplements: str
    snapshot_base64: str | None = Field(description="The picture in which it was seen.")


class AlertBody(Answer):
    """The standard body of a webhook."""

    type: str = _TYPE
    timestamp: AwareDatetime
    data: AlertData


_ALERT = Message(
    summary="Takes an alert about an event; it is signed where the sink has a secret.",
    model=AlertBody,
    is_always_signed=False,
    otherwise="Tried again, but for 400, 413, 415 and 422, which set the message aside.",
)
ALERTS: Mapping[str, Message] = MappingProxyType({"alert": _ALERT})
