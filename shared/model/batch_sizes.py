"""How many pictures run at once on a card: a few fixed sizes, fewer after the memory ran out. Ring: domain.

Fixed sizes keep the runtime from planning memory anew for every count, and the card's memory from being cut into
pieces of odd lengths. When a size does not fit, the next smaller one holds from then on; after a calm time the larger
one is tried again, later after each failure, since whatever took the memory may be gone.
"""

from __future__ import annotations

import threading

from shared.clock import Clock

# Shorter fails again and again beside a neighbour that stays; longer wastes the card.
_FIRST_CALM_S = 60.0
_LONGEST_CALM_S = 3600.0


class BatchSizes:
    """Powers of two up to `most`, and `most` itself; safe for use by many threads."""

    def __init__(self, most: int, clock: Clock) -> None:
        """Start at the largest size; `most` ≥ 1."""
        powers = (1 << n for n in range(most.bit_length()))
        self.sizes = tuple(sorted({*powers, most}))
        self._clock = clock
        self._lock = threading.Lock()
        self._at = len(self.sizes) - 1
        self._calm_s = _FIRST_CALM_S
        self._grow_at_mono_s = 0.0

    @property
    def limit(self) -> int:
        """Tell the largest size that may be tried now."""
        with self._lock:
            return self.sizes[self._at]

    def padded(self, count: int) -> int:
        """Give the smallest size that holds `count` pictures, 1 ≤ count ≤ the largest size."""
        return next(size for size in self.sizes if size >= count)

    def shrink(self, failed: int) -> bool:
        """Note that a run of `failed` pictures found no memory; False: there is no smaller size."""
        with self._lock:
            self._at = min(self._at, max(0, self.sizes.index(failed) - 1))
            self._grow_at_mono_s = self._clock.mono_s() + self._calm_s
            self._calm_s = min(_LONGEST_CALM_S, 2 * self._calm_s)
            return failed > self.sizes[0]

    def grow(self) -> None:
        """Allow the next larger size, when it was calm long enough; called after a run that went well."""
        with self._lock:
            now_mono_s = self._clock.mono_s()
            if now_mono_s < self._grow_at_mono_s:
                return
            if self._at == len(self.sizes) - 1:
                self._calm_s = _FIRST_CALM_S
                return
            self._at += 1
            self._grow_at_mono_s = now_mono_s + self._calm_s
