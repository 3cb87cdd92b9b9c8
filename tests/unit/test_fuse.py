from __future__ import annotations

import pytest

from edge.decide.reasons import Reason
from edge.forward.cloud_client import CloudAnswer
from edge.forward.outcome import Outcome
from edge.fuse import Verdict, fuse
from shared.types import Box, Classification, Detection, Label, ModelIdentity, Source
from tests.helpers.frames import decision, frame

_EDGE = Classification(fire=0.55, smoke=0.1)
_MODEL = ModelIdentity(name="edge-classifier", version="0.1.0", sha256_12="a" * 12)
_BOX = Detection(label=Label.SMOKE, score=0.8, box=Box(x1=1, y1=2, x2=3, y2=4))
_ANSWER = CloudAnswer(
    label=Label.SMOKE, confidence=0.8, detections=(_BOX,), model={"name": "cloud-detector"}
)
_KEPT = [r for r in Reason if r.value.startswith("edge_")]
_FALLBACKS = [r for r in Reason if r.is_fallback]


def _fused(reason: Reason, outcome: Outcome | None = None, *, forward: bool = False) -> Verdict:
    decided = decision(reason=reason, forward=forward, charged_micros=20_000 if forward else 0)
    return fuse(frame(), _EDGE, decided, outcome, _MODEL)


def _without_answer(reason: Reason, charged_micros: int = 20_000) -> Verdict:
    outcome = Outcome(answer=None, reason=reason, charged_micros=charged_micros, detail="why")
    return _fused(Reason.CLOUD_ROUTINE, outcome, forward=True)


def _answered() -> Verdict:
    outcome = Outcome(answer=_ANSWER, reason=Reason.CLOUD_ROUTINE, charged_micros=20_000)
    return _fused(Reason.CLOUD_ROUTINE, outcome, forward=True)


@pytest.mark.parametrize("reason", _KEPT)
def test_what_the_policy_kept_is_the_edge_s_and_no_fallback(reason):
    assert _fused(reason).source is Source.EDGE


@pytest.mark.parametrize("reason", _FALLBACKS)
def test_what_the_policy_wanted_and_did_not_get_is_a_fallback(reason):
    assert _fused(reason).source is Source.EDGE_FALLBACK


@pytest.mark.parametrize("reason", _FALLBACKS)
def test_what_was_sent_and_came_back_without_an_answer_is_a_fallback(reason):
    assert _without_answer(reason).source is Source.EDGE_FALLBACK


def test_an_answer_of_the_cloud_rules():
    verdict = _answered()
    assert (verdict.source, verdict.label, verdict.confidence) == (Source.CLOUD, Label.SMOKE, 0.8)


def test_an_answer_of_the_cloud_brings_its_boxes_and_its_model():
    verdict = _answered()
    assert (verdict.detections, verdict.model) == ((_BOX,), {"name": "cloud-detector"})


def test_the_edge_s_own_view_stays_beside_the_cloud_s():
    assert _answered().edge is _EDGE


def test_a_fallback_carries_the_edge_s_verdict_and_model():
    verdict = _without_answer(Reason.FALLBACK_TIMEOUT)
    assert (verdict.label, verdict.confidence, verdict.model["name"]) == (
        Label.FIRE,
        0.55,
        "edge-classifier",
    )


def test_the_last_reason_rules():
    assert _without_answer(Reason.FALLBACK_TIMEOUT).decision.reason is Reason.FALLBACK_TIMEOUT


def test_a_refund_shows_in_the_charge_and_in_what_is_left():
    final = _without_answer(Reason.FALLBACK_REFUSED, charged_micros=0).decision
    assert (final.charged_micros, final.budget_remaining_micros) == (0, 100_000)


def test_a_call_that_may_have_run_stays_charged():
    final = _without_answer(Reason.FALLBACK_TIMEOUT).decision
    assert (final.charged_micros, final.budget_remaining_micros) == (20_000, 80_000)


def test_a_cloud_that_sees_nothing_overrules_an_edge_that_saw_fire():
    nothing = CloudAnswer(label=Label.NONE, confidence=0.9, detections=(), model={})
    outcome = Outcome(answer=nothing, reason=Reason.CLOUD_ROUTINE, charged_micros=20_000)
    assert _fused(Reason.CLOUD_ROUTINE, outcome, forward=True).label is Label.NONE
