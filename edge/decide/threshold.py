"""The sliding-window threshold of the simple adaptive rule. Ring: domain."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSettings:
    """The rule's constants as its tutorial gives them; floor and ceiling are ours and off by default."""

    window: int = 100
    initial: float = 0.7
    factor: float = 0.9
    floor: float = 0.0
    ceiling: float = 1.0


class SlidingWindowThreshold:
    """Threshold = factor × mean of the last `window` confidences, `initial` until that many were seen.

    Known weakness (measured): the busier the picture, the lower it sinks, so that it stops asking just when the edge
    is unsure. It is kept for comparison and for callers who rely on it. Not thread-safe.
    """

    def __init__(self, settings: WindowSettings | None = None) -> None:
        """Start with an empty window."""
        self._settings = settings or WindowSettings()
        self._seen: deque[float] = deque(maxlen=self._settings.window)

    @property
    def value(self) -> float:
        """Tell the threshold for the next frame."""
        settings = self._settings
        if len(self._seen) < settings.window:
            return settings.initial
        mean = sum(self._seen) / len(self._seen)
        return min(settings.ceiling, max(settings.floor, settings.factor * mean))

    def update(self, confidence: float) -> None:
        """Take in a frame's confidence (0…1), after its decision."""
        self._seen.append(confidence)
