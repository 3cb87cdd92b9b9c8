"""A trouble: something about the system, not the site, that a person can do something about. Ring: domain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class TroubleKind(StrEnum):
    """What kind of thing is wrong; the values are wire words and metric labels."""

    CAMERA = "camera"
    VIEW = "view"
    LINK = "link"
    DISK = "disk"
    CLOCK = "clock"
    MODEL = "model"
    BUDGET = "budget"
    SINK = "sink"
    OUTBOX = "outbox"
    THREAD = "thread"
    RESTART = "restart"
    EVIDENCE = "evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One trouble, unique by kind and subject.

    `subject` is the camera, sink, disk or thread it is about ("" for the box itself). `code` names the finding within
    its kind in snake_case (for instance `frozen` of a view), so that pages can say it in their language. `cause` and
    `remedy` are sentences. `needs_acknowledgement`: it does not go away by itself.
    """

    kind: TroubleKind
    subject: str
    code: str
    cause: str
    remedy: str
    since: datetime
    needs_acknowledgement: bool = False
