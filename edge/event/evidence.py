"""Gather evidence over time until it is enough for an alarm. Ring: domain.

One lone frame alarms nobody: evidence grows while the edge sees fire or smoke, by more when the cloud agrees, fades
when nothing is seen, and a cloud "no" holds it back for at most a minute. A cloud "yes" counts when both looks together
make fire clearly the likelier: faint boxes that the edge is sure are nothing alarm nobody, a clear one does, whatever
the edge says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from edge.decide.memory import CameraMemory, Memories, Told
from edge.fuse import Verdict
from shared.clock import Clock
from shared.types import Label, Source

_CONFIRMED_WITHIN_S = 60.0  # a cloud "yes" at most this old makes an alarm a checked one
# A detector that draws no box but nearly did has not cleared anything. Measured on 513 pictures with fire or smoke and
# 478 without: it answered "nothing" to 55 and 436 of them, and this surely or more to 10 and 333.
_SURE_NO = 0.75
# The log-odds of two looks at one picture add up, each by its weight: logistic regression on validation pictures by
# `python -m bench.evidence_weights`, for edge model 0.5.0 and cloud model 0.3.0.
_EDGE_WEIGHT, _CLOUD_WEIGHT, _BASE = 1.22, 1.76, 1.71
# Odds of e to 1. Of 508 pictures with fire or smoke, each of a source that the weights were not fitted to, 492 reach it
# (even odds 496), of 473 without 7 (even odds 9); at twice as much 18 fires more are lost.
_ENOUGH = 1.0
_LEAST_EDGE = -1.8  # however sure of nothing the edge is, a detector's 0.7 outvotes it
_MOST_ODDS = 20.0  # beyond this a logit says nothing more


class Grade(StrEnum):
    """Whether somebody checked an alarm."""

    CONFIRMED = "confirmed"
    EDGE_ONLY = "edge_only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Evidence is enough: on this camera, at this frame, checked or not."""

    camera: str
    frame_id: str
    grade: Grade


class Evidence:
    """Takes in verdicts and says when they add up to an alarm; safe for use by many threads."""

    def __init__(
        self, memories: Memories, *, score: Callable[[float, float], float], clock: Clock
    ) -> None:
        """Keep the memories.

        Args:
            memories: of all cameras.
            score: calibrates (x, resting x) into z, on the scale of the vetoes.
            clock: of the memories.
        """
        self._memories = memories
        self._score = score
        self._clock = clock

    def note(self, verdict: Verdict) -> Alarm | None:
        """Take in a verdict; frames without a camera have no history and never alarm."""
        with self._memories.of(verdict.camera) as memory:
            if memory is None or verdict.camera is None:
                return None
            if verdict.is_amendment:
                is_enough = self._note_amendment(memory, verdict)
            else:
                is_enough = self._note_frame(memory, verdict)
            if not is_enough:
                return None
            since_yes_s = self._clock.mono_s() - memory.last_yes_s
            grade = Grade.CONFIRMED if since_yes_s <= _CONFIRMED_WITHIN_S else Grade.EDGE_ONLY
        return Alarm(camera=verdict.camera, frame_id=verdict.frame_id, grade=grade)

    def _note_frame(self, memory: CameraMemory, verdict: Verdict) -> bool:
        now_s = self._clock.mono_s()
        x = verdict.edge.score
        is_broken = math.isnan(x)
        z = 0.0 if is_broken else self._score(x, memory.slow_x)
        if verdict.decision.forward:
            memory.note_sent(z, now_s)
        memory.is_in_flight = verdict.is_pending
        return memory.note_frame(
            None if is_broken else x,
            z,
            now_s,
            answer=_answer(verdict),
            is_in_flight=verdict.is_pending,
        )

    def _note_amendment(self, memory: CameraMemory, verdict: Verdict) -> bool:
        memory.is_in_flight = False
        answer = _answer(verdict)
        if answer is None:
            return False
        now_s = self._clock.mono_s()
        memory.note_answer(answer, now_s)
        return memory.is_enough(now_s)


def _answer(verdict: Verdict) -> Told | None:
    if verdict.source is not Source.CLOUD:
        return None
    if verdict.label is not Label.NONE:
        return Told.YES if is_agreed(verdict) else Told.UNSURE
    return Told.NO if verdict.confidence >= _SURE_NO else Told.UNSURE


def is_agreed(verdict: Verdict) -> bool:
    """Tell whether the boxes that the cloud drew count as a "yes", in the light of what the edge saw."""
    return verdict.source is Source.CLOUD and together(verdict) >= _ENOUGH


def is_faint(verdict: Verdict) -> bool:
    """Tell whether only the cloud saw something, and too faintly to count."""
    is_told = verdict.source is Source.CLOUD and verdict.label is not Label.NONE
    return is_told and verdict.edge.label is Label.NONE and not is_agreed(verdict)


def together(verdict: Verdict) -> float:
    """Tell the log-odds that something burns, given what the edge saw and the boxes that the cloud drew.

    0 is even. A classifier that is broken has no say: the cloud's boxes rule alone.
    """
    if verdict.edge.is_broken:
        return math.inf
    seen = max(_LEAST_EDGE, verdict.edge.score)
    best = max((d.score for d in verdict.detections), default=verdict.confidence)
    return _EDGE_WEIGHT * seen + _CLOUD_WEIGHT * _odds(best) + _BASE


def _odds(probability: float) -> float:
    if not 0.0 < probability < 1.0:
        return _MOST_ODDS if probability >= 1.0 else -_MOST_ODDS
    return max(-_MOST_ODDS, min(_MOST_ODDS, math.log(probability / (1.0 - probability))))
