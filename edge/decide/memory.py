"""What a camera was seen and told: score history, the cloud's answers, and the evidence for an alarm. Ring: domain.

Times are readings of a clock in seconds that only moves forward; scores x are logits of "fire or smoke", 0 is even.
All policies share the evidence, so that they differ only in which frames they forward. May be lost at a restart: that
costs a few calls, never safety.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum

NEVER = -math.inf

# Where an unknown camera is thought to rest; higher hides a first fire, lower asks at each start.
_QUIET_X = -6.0
# Memory of the resting score; shorter follows a growing fire, longer stays behind dusk.
_SLOW_S = 120.0
# A frame counts for the time since the last one, at most this: a gap is no evidence.
_NEWEST_STEP_S = 1.0
_DECAY_PER_S = 0.9  # evidence of a lone frame is halved in 6.6 s
_ALARM_AT = 2.2  # three edge frames in three seconds, or two cloud "yes", or one of each
_IMMINENT_AT = 1.9  # one frame before the alarm: the moment to have it checked
_CLOUD_WEIGHT = 1.5  # a cloud answer counts like one and a half seconds of the edge, either way
# What an edge fire adds while the cloud's "no" holds it back, or while the cloud is asked.
_HELD_WEIGHT = 0.1
_TAU0_S = 8.0  # how long a "no" is news, at first; doubles with every "no" in a row
_MOST_DOUBLINGS = 5
_SHORTEST_VETO_S = 10.0
_MOST_CAMERAS = 1024  # of a box that is rated for 64
_JUMP = 0.5  # a score this much above what the cloud cleared breaks the veto


class Told(Enum):
    """What the cloud said of a frame: something burns, nothing does, or it cannot tell."""

    YES = "yes"
    NO = "no"
    UNSURE = "unsure"


@dataclass(slots=True)
class CameraMemory:
    """State of one camera; owned by its policy, not thread-safe.

    `is_backing_off`: whether a "no" holds longer when it is repeated; the simple rules hold for ten seconds each time.
    """

    veto_max_s: float = 60.0
    is_backing_off: bool = True
    slow_x: float = _QUIET_X
    sent_z: float = -99.0
    cleared_z: float = -99.0
    last_no_s: float = NEVER
    noes: int = 0
    last_yes_s: float = NEVER
    last_call_s: float = NEVER
    last_alarm_s: float = NEVER
    veto_until_s: float = NEVER
    evidence: float = 0.0
    last_seen_s: float = NEVER
    is_in_flight: bool = False

    def step_s(self, now_s: float) -> float:
        """Tell how much time this frame stands for, 0…1 s; a camera's first frame stands for a whole second."""
        return min(_NEWEST_STEP_S, max(0.0, now_s - self.last_seen_s))

    def tau_s(self) -> float:
        """Tell how long the cloud's last "no" stays news."""
        return _TAU0_S * 2.0 ** min(self.noes, _MOST_DOUBLINGS)

    def news(self, z: float, now_s: float, delta: float = 2.0) -> float:
        """Tell what is new about a frame: 1 nothing known, towards 0 the cloud just cleared something like it."""
        age_s = max(0.0, now_s - self.last_no_s)
        return 1.0 - math.exp(-age_s / self.tau_s() - max(0.0, z - self.cleared_z) / delta)

    def is_held(self, z: float, now_s: float) -> bool:
        """Tell whether a cloud "no" holds this frame's alarm back."""
        return now_s <= self.veto_until_s and z <= self.cleared_z + _JUMP

    def is_imminent(self, x: float, z: float, now_s: float) -> bool:
        """Tell whether this frame brings an edge alarm within reach, so that it is worth a check."""
        after = self.evidence * _DECAY_PER_S ** self._decay_s(now_s) + self.step_s(now_s)
        return x >= 0.0 and after >= _IMMINENT_AT and not self.is_held(z, now_s)

    def note_sent(self, z: float, now_s: float) -> None:
        """Remember that a frame of this score was sent."""
        self.last_call_s, self.sent_z = now_s, z

    def note_answer(self, told: Told, now_s: float) -> None:
        """Take in the cloud's answer to the frame that was sent last.

        An unsure one is no reason to ask again soon, but it takes no evidence away and holds no alarm back.
        """
        if told is Told.YES:
            self.evidence += _CLOUD_WEIGHT
            self.last_yes_s, self.noes = now_s, 0
            self.last_no_s = self.veto_until_s = NEVER
            self.cleared_z = -99.0
            return
        if told is Told.NO:
            self.evidence = max(0.0, self.evidence - _CLOUD_WEIGHT)
        if not self.is_backing_off:
            if told is Told.NO:
                self.veto_until_s, self.cleared_z = now_s + _SHORTEST_VETO_S, math.inf
            return
        self._back_off(now_s)
        if told is Told.NO:
            veto_s = max(_SHORTEST_VETO_S, 0.7 * self.tau_s())
            self.veto_until_s = now_s + min(self.veto_max_s, veto_s)

    def _back_off(self, now_s: float) -> None:
        """Make the next question about something like the frame that was sent less urgent."""
        gap_s = now_s - self.last_no_s
        self.noes = self.noes + 1 if gap_s < 4.0 * self.tau_s() else max(0, self.noes - 1)
        self.cleared_z = max(self.sent_z, self.cleared_z - min(gap_s, 6000.0) / 60.0)
        self.last_no_s = now_s

    def note_frame(
        self, x: float | None, z: float, now_s: float, *, answer: Told | None, is_in_flight: bool
    ) -> bool:
        """Take in one frame, after its decision.

        Args:
            x: its score; None for a broken one, which adds no evidence.
            z: its calibrated score.
            now_s: when.
            answer: the cloud's answer that came in with it; None without.
            is_in_flight: whether the camera waits for an answer.

        Returns:
            whether the evidence is enough for an alarm.
        """
        step_s = self.step_s(now_s)
        self.evidence *= _DECAY_PER_S ** self._decay_s(now_s)
        if answer is not None:
            self.note_answer(answer, now_s)
        if x is not None:
            if x >= 0.0 and answer is not Told.YES:
                is_held = is_in_flight or self.is_held(z, now_s)
                self.evidence += step_s * (_HELD_WEIGHT if is_held else 1.0)
            self.slow_x += (x - self.slow_x) * min(1.0, step_s / _SLOW_S)
        self.last_seen_s = now_s
        return self.is_enough(now_s)

    def is_enough(self, now_s: float) -> bool:
        """Tell whether the evidence is enough for an alarm, and remember when it was."""
        if self.evidence < _ALARM_AT:
            return False
        self.last_alarm_s = now_s
        return True

    def _decay_s(self, now_s: float) -> float:
        """Time over which evidence faded; unlike `step_s` it is not cut short."""
        return min(3600.0, now_s - self.last_seen_s) if self.last_seen_s > NEVER else 1.0


class Memories:
    """The memories of all cameras behind one lock; safe for use by many threads.

    Camera names may come with posts, so their number is bounded: the camera that was seen longest ago is forgotten.
    """

    def __init__(self, *, veto_max_s: float = 60.0, is_backing_off: bool = True) -> None:
        """Start without any; both values are those of every memory."""
        self._veto_max_s = veto_max_s
        self._is_backing_off = is_backing_off
        self._lock = threading.Lock()
        self._of: OrderedDict[str, CameraMemory] = OrderedDict()

    @contextmanager
    def of(self, camera: str | None) -> Iterator[CameraMemory | None]:
        """Hold a camera's memory; None for a frame without history."""
        with self._lock:
            yield None if camera is None else self._recall(camera)

    def peek(self, camera: str) -> CameraMemory:
        """Give a copy of a camera's memory, an empty one for a camera never seen."""
        with self._lock:
            memory = self._of.get(camera)
            return replace(memory) if memory else CameraMemory()

    def _recall(self, camera: str) -> CameraMemory:
        memory = self._of.get(camera)
        if memory is None:
            memory = self._of[camera] = CameraMemory(
                veto_max_s=self._veto_max_s, is_backing_off=self._is_backing_off
            )
            if len(self._of) > _MOST_CAMERAS:
                self._of.popitem(last=False)
        self._of.move_to_end(camera)
        return memory
