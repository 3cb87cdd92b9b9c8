"""Which frames a policy wants to forward. Ring: domain; money, breaker and links are asked elsewhere.

The rules act on the edge's confidence, max(p, 1 − p).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from edge.decide.reasons import Reason
from edge.decide.threshold import SlidingWindowThreshold
from shared.deadline import Deadline
from shared.types import Classification


class PolicyName(StrEnum):
    """Forwarding policies, by the name in the configuration."""

    PRICE = "price"
    FIXED = "fixed"
    SLIDING_WINDOW = "sliding_window"
    ALWAYS = "always"
    EDGE_ONLY = "edge_only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a policy wants for one frame, before anybody asks whether it can be had.

    `keep_micros`: money that the call must leave untouched. `keep_places`: places on the link that it must leave free.
    """

    forward: bool
    reason: Reason
    tier: str = "routine"
    threshold: float | None = None
    value: float | None = None
    price: float | None = None
    keep_micros: int = 0
    keep_places: int = 0


class Policy(Protocol):
    """A forwarding rule; safe for use by many threads."""

    @property
    def name(self) -> PolicyName:
        """Tell the rule's name."""
        ...

    def wish(
        self, camera: str | None, classification: Classification, deadline: Deadline | None = None
    ) -> Wish:
        """Judge one frame; `camera` is None for a frame without history, `deadline` when nobody waits."""
        ...

    def explain(self, camera: str | None, classification: Classification) -> Wish:
        """Tell what would be wished for now, and change nothing."""
        ...

    def ask_at(self, camera: str | None) -> float | None:
        """Tell the probability from which on a frame would be asked about now; None when none would."""
        ...


class FixedPolicy:
    """Forward what the edge is less sure of than a fixed threshold."""

    name = PolicyName.FIXED

    def __init__(self, threshold: float = 0.7) -> None:
        """Keep the threshold, 0.5…1."""
        self._threshold = threshold

    def wish(
        self, camera: str | None, classification: Classification, deadline: Deadline | None = None
    ) -> Wish:
        """Judge one frame."""
        return _by_threshold(classification, self._threshold)

    def explain(self, camera: str | None, classification: Classification) -> Wish:
        """Judge one frame; nothing is remembered anyway."""
        return self.wish(camera, classification)

    def ask_at(self, camera: str | None) -> float | None:
        """Tell where the doubt begins."""
        return 1.0 - self._threshold


class SlidingWindowPolicy:
    """Forward what the edge is less sure of than 0.9 × the mean of its last 100 confidences.

    One window for the whole box, as the rule was published; decision before update.
    """

    name = PolicyName.SLIDING_WINDOW

    def __init__(self, threshold: SlidingWindowThreshold | None = None) -> None:
        """Start with an empty window."""
        self._threshold = threshold or SlidingWindowThreshold()
        self._lock = threading.Lock()

    def wish(
        self, camera: str | None, classification: Classification, deadline: Deadline | None = None
    ) -> Wish:
        """Judge one frame, then take it into the window."""
        with self._lock:
            wish = _by_threshold(classification, self._threshold.value)
            self._threshold.update(classification.confidence)
        return wish

    def explain(self, camera: str | None, classification: Classification) -> Wish:
        """Judge without taking the frame into the window."""
        with self._lock:
            return _by_threshold(classification, self._threshold.value)

    def ask_at(self, camera: str | None) -> float | None:
        """Tell where the doubt begins."""
        with self._lock:
            return 1.0 - self._threshold.value


class AlwaysPolicy:
    """Forward every frame."""

    name = PolicyName.ALWAYS

    def wish(
        self, camera: str | None, classification: Classification, deadline: Deadline | None = None
    ) -> Wish:
        """Judge one frame."""
        return Wish(forward=True, reason=Reason.CLOUD_ROUTINE)

    def explain(self, camera: str | None, classification: Classification) -> Wish:
        """Judge one frame; nothing is remembered anyway."""
        return self.wish(camera, classification)

    def ask_at(self, camera: str | None) -> float | None:
        """Everything is asked about."""
        return 0.0


class EdgeOnlyPolicy:
    """Forward nothing."""

    name = PolicyName.EDGE_ONLY

    def wish(
        self, camera: str | None, classification: Classification, deadline: Deadline | None = None
    ) -> Wish:
        """Judge one frame."""
        return Wish(forward=False, reason=Reason.EDGE_POLICY)

    def explain(self, camera: str | None, classification: Classification) -> Wish:
        """Judge one frame; nothing is remembered anyway."""
        return self.wish(camera, classification)

    def ask_at(self, camera: str | None) -> float | None:
        """Nothing is asked about."""
        return None


def build_simple_policy(name: PolicyName, *, threshold: float) -> Policy:
    """Build one of the simple policies."""
    builders: Mapping[PolicyName, Callable[[], Policy]] = {
        PolicyName.FIXED: lambda: FixedPolicy(threshold),
        PolicyName.SLIDING_WINDOW: SlidingWindowPolicy,
        PolicyName.ALWAYS: AlwaysPolicy,
        PolicyName.EDGE_ONLY: EdgeOnlyPolicy,
    }
    return builders[name]()


def _by_threshold(classification: Classification, threshold: float) -> Wish:
    is_unsure = classification.confidence < threshold
    reason = Reason.CLOUD_ROUTINE if is_unsure else Reason.EDGE_CONFIDENT
    return Wish(forward=is_unsure, reason=reason, threshold=threshold)
