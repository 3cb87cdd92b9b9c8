"""Which frames of a long event are kept: all at first, then fewer: a lamp left on fills no disk. Ring: domain."""

from __future__ import annotations

from shared.clock import Clock

# (seconds since the event opened, seconds between kept frames): the first minute tells how it began; a fire that
# burns for hours looks much the same from one half minute to the next. A day of it takes some 450 MB at 150 kB.
_STEPS = ((60.0, 0.0), (600.0, 5.0))
_LATER_S = 30.0


class Thinning:
    """When each open event last kept a frame; one thread at a time."""

    def __init__(self, clock: Clock) -> None:
        """Start without events."""
        self._clock = clock
        self._kept: dict[str, tuple[float, float]] = {}

    def is_wanted(self, event_id: str) -> bool:
        """Tell whether this moment's frame is kept, and remember it if so."""
        now_s = self._clock.mono_s()
        since_s, last_s = self._kept.get(event_id, (now_s, now_s - _LATER_S))
        age_s = now_s - since_s
        apart_s = next((apart for until, apart in _STEPS if age_s < until), _LATER_S)
        if now_s - last_s < apart_s:
            return False
        self._kept[event_id] = (since_s, now_s)
        return True

    def forget(self, event_id: str) -> None:
        """Let go of an event that was closed."""
        self._kept.pop(event_id, None)
