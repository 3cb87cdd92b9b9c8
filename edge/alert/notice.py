"""What came of telling somebody of an event. Ring: domain, values only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from edge.alert.message import AlertStep


class NoticeResult(StrEnum):
    """What came of telling somebody; the values are stored, and the words of the metric."""

    DELIVERED = "delivered"
    RETRIED = "retried"
    REFUSED = "refused"
    HELD = "held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What came of one message about an event to one sink, from `at` on; `detail` says why where it did not arrive.

    `alert_id` is the same over all tries of a message. One that a cool-down holds back has none yet.
    """

    at: datetime
    alert_id: str
    step: AlertStep
    sink: str
    sink_kind: str
    result: NoticeResult
    detail: str = ""
