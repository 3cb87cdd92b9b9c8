"""What the edge answers, as schemas. Ring: rim."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from edge.alert.message import AlertStep
from edge.alert.notice import NoticeResult
from edge.capture.state import ViewFinding
from edge.decide.policies import PolicyName
from edge.decide.reasons import Reason
from edge.event.evidence import Grade
from edge.event.fire_event import OriginMethod, Severity
from edge.record.types import Mark
from shared.breaker import BreakerState
from shared.types import ClockQuality, Label, Source
from shared.web.answers import (
    Answer,
    BoxCorners,
    FoundBox,
    ItemProblem,
    ModelName,
    Probability,
    Sha256,
)


class Scores(Answer):
    """What the edge's classifier thinks."""

    fire: Probability
    smoke: Probability


class EdgeResult(Answer):
    """What the edge alone says of a picture."""

    label: Label
    confidence: Probability = Field(description="max(p, 1 − p).")
    fire: Probability
    smoke: Probability
    detections: list[FoundBox] = Field(description="Coarse, read off the classifier's map.")


class PredictFields(Answer):
    """What stands beside the result of `/predict`."""

    source: Literal["edge"]
    label: Label
    confidence: Probability
    model: ModelName


class JointResult(Answer):
    """What the pair says of a picture."""

    frame_id: str
    label: Label
    confidence: Probability
    detections: list[FoundBox]


class DecisionAnswer(Answer):
    """Whether the cloud was asked, and which one reason ruled."""

    forward: bool
    reason: Reason
    policy: PolicyName
    tier: str
    value: float | None
    threshold: Probability | None
    price: float | None
    charged: bool
    budget_remaining: float


class JointFields(Answer):
    """What stands beside the result of a joint answer."""

    source: Source
    label: Label
    confidence: Probability
    edge_confidence: Probability
    edge: Scores
    detections: list[FoundBox]
    cost: float
    decision: DecisionAnswer
    message: str
    timing_ms: dict[str, float]
    model: ModelName


class EdgeItem(EdgeResult):
    """One picture of several, asked of the edge alone."""

    index: int
    err_no: Literal[0]
    model: ModelName


class JointItem(JointFields):
    """One picture of several, asked of the pair."""

    index: int
    err_no: Literal[0]


class BatchResult(Answer):
    """Several pictures, in order; one that is broken does not fail the others."""

    results: list[EdgeItem | JointItem | ItemProblem]
    failed: int


class Reserve(Answer):
    """Money that is kept for later today."""

    routine: float
    verify: float


class CameraMoney(Answer):
    """What a camera spent, and what it remembers."""

    spent: float
    weight: float
    evidence: float
    noes_in_a_row: int
    vetoed_for_s: float


class PolicyAnswer(Answer):
    """The day's money and the price."""

    policy: PolicyName
    day: str
    elapsed: Probability
    daily_limit: float
    spent: float
    left: float
    cost_per_call: float
    reserve: Reserve
    price: float
    battery: Probability
    latency_p90_s: float
    cameras: dict[str, CameraMoney]
    breaker: BreakerState | None


class WishAnswer(Answer):
    """What the policy would want now."""

    forward: bool
    reason: Reason
    message: str
    tier: str | None
    value: float | None
    price: float | None
    threshold: float | None


class Explained(EdgeResult):
    """What would be decided now, without charging."""

    camera: str | None
    decision: WishAnswer


class BandAnswer(Answer):
    """Audits of one band of edge probabilities."""

    name: str
    audits: int
    misses: int
    upper_bound: Probability = Field(description="Of the miss rate, with 95 % confidence.")


class AuditsAnswer(Answer):
    """What random checks of quiet frames found today."""

    day: str
    total: BandAnswer
    bands: list[BandAnswer]
    has_drifted: bool


class CameraAnswer(Answer):
    """How a camera is."""

    name: str
    address: str
    state: Literal["ended", "lost", "late", "impaired", "starting", "watching"]
    frame_age_s: float | None
    fps: float = Field(description="Frames a second that came lately.")
    received: int
    skipped: int = Field(description="Replaced by a newer frame before there was time.")
    stale: int = Field(description="Too old when there was time.")
    replaced_readers: int = Field(description="How often a reader that hung was replaced.")
    clock_quality: ClockQuality | None
    view: list[ViewFinding] = Field(description="What is wrong with its picture.")
    trouble: str | None
    ended: bool
    ask_at: Probability | None = Field(description="From which probability on the cloud is asked.")
    zones: str | None = Field(description="Version of its zones; null when it has none.")
    suppressed: int = Field(description="Frames from which its zones took out what was seen.")


class CamerasAnswer(Answer):
    """All cameras, in their configured order."""

    cameras: list[CameraAnswer]


class SignedAnswer(Answer):
    """Who did something and when."""

    at: AwareDatetime
    by: str
    text: str


class GrowthAnswer(Answer):
    """Where the fire was in one picture."""

    captured_at: AwareDatetime
    frame: str
    box_xyxy: BoxCorners
    score: Probability


class OriginAnswer(Answer):
    """The earliest picture that shows the fire."""

    captured_at: AwareDatetime
    box_xyxy: BoxCorners | None
    frame: str
    picture: str
    method: OriginMethod
    confidence: Probability
    is_earliest_kept: bool
    growth: list[GrowthAnswer]


class ClockSetAnswer(Answer):
    """The box's clock was set: an entry of the journal says from where and to where."""

    entry: int
    was_at: AwareDatetime
    set_at: AwareDatetime
    offset_s: float


class EventAnswer(Answer):
    """One event, its origin first; null where that was not traced, and `opened_at` is then no beginning.

    `damaged` numbers the journal's entries about it that were altered or are damaged; what the others say is here.
    Of one event, not of a page's, `clock_sets` tells when the box's clock was set in that run of it, and `reckoned_at`
    when it began by the clock as it was set; all other times are as they were recorded.
    """

    origin: OriginAnswer | None
    event_id: str
    camera: str
    zone: str | None
    severity: Severity
    grade: Grade
    opened_at: AwareDatetime
    last_seen_at: AwareDatetime
    closed_at: AwareDatetime | None
    frame: str
    box_xyxy: BoxCorners | None
    peak: Probability
    frames: int
    is_test: bool
    acknowledged: SignedAnswer | None
    mark: Mark | None
    marked: SignedAnswer | None
    held: SignedAnswer | None
    frames_kept: int
    frames_gone: int
    bytes_kept: int
    damaged: list[int]
    clock_sets: list[ClockSetAnswer]
    reckoned_at: AwareDatetime | None
    camera_facts: dict[str, Any]
    standing: str


class EventsAnswer(Answer):
    """Events, newest first; `cursor` asks for the page after, `unreadable` names those that were altered or damaged."""

    events: list[EventAnswer]
    cursor: str | None
    unreadable: list[str]


class SaidAnswer(Answer):
    """One verdict on a frame, with the decision behind it."""

    at: AwareDatetime
    source: Source
    label: Label
    confidence: Probability
    edge: Scores
    detections: list[FoundBox]
    reason: Reason
    message: str
    policy: str
    tier: str
    value: float | None
    threshold: float | None
    price: float | None
    cost: float
    model: dict[str, str]
    detail: str
    is_pending: bool
    is_amendment: bool


class FrameAnswer(Answer):
    """A frame that was kept."""

    frame: str
    captured_at: AwareDatetime
    received_at: AwareDatetime | None
    clock_quality: ClockQuality
    width_px: int
    height_px: int
    bytes: int
    sha256: Sha256
    picture: str
    verdicts: list[SaidAnswer]


class NoticeAnswer(Answer):
    """What came of one message to one sink; `detail` says why it did not arrive."""

    at: AwareDatetime
    alert_id: str
    step: AlertStep
    sink: str
    sink_kind: str
    result: NoticeResult
    detail: str


class AlertsAnswer(Answer):
    """Who was told of an event, in the order in which it came."""

    alerts: list[NoticeAnswer]


class FramesAnswer(Answer):
    """Frames in the order of time; `cursor` asks for the page after."""

    frames: list[FrameAnswer]
    cursor: int | None
